#include "trace_files.h"

#include <gtest/gtest.h>

#include <vector>

#include "trainer_fixture.h"

namespace forerun {
namespace {

// The first tokens of the records in the order they come.
std::vector<int32_t> first_tokens(TraceFiles& files) {
  std::vector<int32_t> tokens;
  while (const std::optional<TraceRecord> record = files.next())
    tokens.push_back(record->tokens[0]);
  return tokens;
}

using Tokens = std::vector<int32_t>;

TEST(TraceFiles, ReadsRecordsInTheirOrder) {
  const TraceFolder folder;
  folder.write_records({folder.make_record(3, 12), folder.make_record(1, 9)});
  folder.write("notes.txt", "no trace");
  const LearningTarget target = folder.target();
  TraceFiles files = *TraceFiles::open(folder.path(), target);
  EXPECT_EQ(first_tokens(files), (Tokens{3, 1}));
  EXPECT_EQ(files.refused().count, 0);
}

TEST(TraceFiles, EndsWhereAWriterWasKilled) {
  const TraceFolder folder;
  folder.write_records({folder.make_record(1, 9), folder.make_record(2, 9)});
  const std::string whole = read_file(folder.file("000001.trace"));
  for (const size_t lost : {size_t{1}, whole.size() / 4}) {
    folder.write("000001.trace", whole.substr(0, whole.size() - lost));
    const LearningTarget target = folder.target();
    TraceFiles files = *TraceFiles::open(folder.path(), target);
    EXPECT_EQ(first_tokens(files), (Tokens{1})) << lost;
    EXPECT_EQ(files.refused().count, 0) << lost;
  }
}

TEST(TraceFiles, RefusesRecordsOfOtherTargets) {
  const TraceFolder folder;
  const auto of_other = [](TraceHeader& header) { header.weights = 0xff; };
  std::vector<uint8_t> beyond = folder.make_record(1, 9);
  beyond[sizeof(TraceHeader) + 1] = 1;  // token 257
  folder.write_records({folder.make_record(1, 9, of_other), beyond, folder.make_record(2, 9)});
  const LearningTarget target = folder.target();
  TraceFiles files = *TraceFiles::open(folder.path(), target);
  EXPECT_EQ(first_tokens(files), (Tokens{2}));
  EXPECT_EQ(files.refused().count, 2);
  EXPECT_EQ(files.refused().first, folder.path() +
                                       ": a record is of weights 00000000000000ff; the target's "
                                       "are 0123456789abcdef");
}

TEST(TraceFiles, RefusesBranchesOfOtherTokens) {
  const TraceFolder folder;
  folder.write_records({folder.make_record(1, 9, nullptr, {{4, -1, 1, 48}}),
                        folder.make_record(2, 9, nullptr, {{4, -1, 1, -1}}),
                        folder.make_record(3, 9, nullptr, {{4, -1, 1, 47}})});
  const LearningTarget target = folder.target();
  TraceFiles files = *TraceFiles::open(folder.path(), target);
  EXPECT_EQ(first_tokens(files), (Tokens{3}));
  EXPECT_EQ(files.refused().count, 2);
  EXPECT_NE(files.refused().first.find("token 48; the target's vocabulary is 48"),
            std::string::npos);
}

TEST(TraceFiles, LeavesOutWhatIsHeldOut) {
  const TraceFolder folder;
  const auto held_out = [](TraceHeader& h) { h.conversation = TraceFolder::kHeldOut; };
  folder.write_records(
      {folder.make_record(1, 9), folder.make_record(2, 9, held_out), folder.make_record(3, 9)});
  const LearningTarget target = folder.target();
  TraceFiles files = *TraceFiles::open(folder.path(), target);
  EXPECT_EQ(first_tokens(files), (Tokens{1, 3}));
  EXPECT_EQ(files.refused().count, 0);
  EXPECT_EQ(files.refused().held_out, 1);
}

TEST(TraceFiles, LeavesOutWhatIsDamaged) {
  const TraceFolder folder;
  folder.write_records({folder.make_record(1, 9), folder.make_record(2, 9)});
  std::string bytes = read_file(folder.file("000001.trace"));
  bytes[bytes.size() / 4] ^= 1;
  folder.write("000001.trace", bytes);
  const LearningTarget target = folder.target();
  TraceFiles files = *TraceFiles::open(folder.path(), target);
  EXPECT_EQ(first_tokens(files), (Tokens{2}));
  EXPECT_EQ(files.refused().count, 1);
  EXPECT_EQ(files.refused().first, folder.path() + ": a file of traces is damaged");
}

std::string fault_of(const TraceFolder& folder) {
  const Result<LearningTarget> target = read_target(folder.path());
  return target.ok() ? "" : target.error().message.substr(folder.path().size());
}

TEST(LearningTarget, SaysWhatIsWrongWithItsFiles) {
  const TraceFolder folder;
  const Json good = *read_json_file(folder.file("target.json"));
  const auto fault = [&](const Json& changes) {
    Json changed = good;
    changed.update(changes);
    folder.write("target.json", changed.dump());
    return fault_of(folder);
  };
  EXPECT_EQ(fault(Json::object()), "");
  EXPECT_EQ(fault({{"fingerprint", "12"}}),
            "/target.json: fingerprint is not 16 hexadecimal digits");
  EXPECT_EQ(fault({{"num_kv_heads", 3}}),
            "/target.json: num_heads is not a multiple of num_kv_heads");
  EXPECT_EQ(fault({{"num_kv_heads", 0}}),
            "/target.json: num_kv_heads is 0; it must be a whole number from 1 to 1024");
  EXPECT_EQ(fault({{"head_dim", 7}}), "/target.json: head_dim is odd; rotations turn pairs");
  EXPECT_EQ(fault({{"rms_norm_eps", -1}}), "/target.json: rms_norm_eps is not above 0");
  EXPECT_EQ(fault({{"state_layers", {1, 2}}}), "/target.json: state_layers are not three");
  EXPECT_EQ(
      fault({{"vocab_size", 49}}),
      "/target.safetensors: embed_tokens.weight has shape [48, 32]; what is needed is [49, 32]");
  folder.write("target.json", "{");
  EXPECT_NE(fault_of(folder), "");
}

}  // namespace
}  // namespace forerun
