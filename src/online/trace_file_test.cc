#include "online/trace_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmath>
#include <csignal>
#include <functional>
#include <numbers>

#include "base/philox.h"
#include "formats/temporary_folder.h"
#include "online/trace_record.h"

namespace forerun {
namespace {

using Record = std::vector<uint64_t>;

uint16_t to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// Of standard normal states, different for each `id`, which is also its conversation; with a chain
// of branch rows behind the first token.
Record make_record(uint32_t id, int64_t num_tokens = 8, int64_t d_model = 32,
                   int32_t num_branch_rows = 0) {
  const TraceLayout layout =
      trace_layout(num_tokens, num_tokens, d_model, /*num_marks=*/0, num_branch_rows);
  Record record(static_cast<size_t>(layout.end) / sizeof(uint64_t));
  auto* bytes = reinterpret_cast<uint8_t*>(record.data());
  TraceHeader header;
  header.bytes = static_cast<uint64_t>(layout.end);
  header.conversation = id;
  header.num_tokens = num_tokens;
  header.num_states = num_tokens;
  header.d_model = d_model;
  header.num_branch_rows = static_cast<uint32_t>(num_branch_rows);
  std::memcpy(bytes, &header, sizeof(header));
  auto* values = reinterpret_cast<uint16_t*>(bytes + layout.states);
  const int64_t count = (layout.end - layout.states) / static_cast<int64_t>(sizeof(uint16_t));
  for (int64_t i = 0; i < count; ++i) {
    const auto bits = philox({static_cast<uint32_t>(i), id, 0, 0}, {1, 2});
    const double radius = std::sqrt(-2.0 * std::log((bits[0] + 1.0) / 0x1p32));
    values[i] =
        to_bf16(static_cast<float>(radius * std::cos(2.0 * std::numbers::pi * bits[1] / 0x1p32)));
  }
  auto* branches = reinterpret_cast<TraceBranchRow*>(bytes + layout.branches);
  for (int32_t i = 0; i < num_branch_rows; ++i) branches[i] = {0, i - 1, i + 1, 7 * i};
  return record;
}

TraceFileWriter open_writer(const TemporaryFolder& folder, uint64_t max_bytes = 1 << 20) {
  Result<TraceFileWriter> writer = TraceFileWriter::open(folder.file("traces"), max_bytes);
  EXPECT_TRUE(writer.ok()) << writer.error().message;
  return std::move(*writer);
}

struct Found {
  std::vector<Record> records;
  int64_t num_corrupt = 0;

  std::vector<uint64_t> conversations() const {
    std::vector<uint64_t> ids;
    ids.reserve(records.size());
    for (const Record& record : records) {
      ids.push_back(parse_trace(trace_bytes(record))->header.conversation);
    }
    return ids;
  }
};

Found read_all(const TemporaryFolder& folder) {
  Result<TraceFileReader> reader = TraceFileReader::open(folder.file("traces"));
  EXPECT_TRUE(reader.ok()) << reader.error().message;
  Found found;
  while (auto record = reader->next()) found.records.push_back(std::move(*record));
  found.num_corrupt = reader->num_corrupt();
  return found;
}

using Ids = std::vector<uint64_t>;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

uint64_t folder_bytes(const std::string& path) {
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path)) bytes += entry.file_size();
  return bytes;
}

TEST(TraceFile, BringsBackEveryBit) {
  const TemporaryFolder folder;
  const std::vector<Record> records = {make_record(1), make_record(2, 3, 8), make_record(3, 1, 1),
                                       make_record(4, 3, 8, /*num_branch_rows=*/5)};
  TraceFileWriter writer = open_writer(folder);
  for (const Record& record : records) ASSERT_TRUE(writer.write(trace_bytes(record)).ok());
  folder.write("traces/target.json", "{}");
  EXPECT_EQ(read_all(folder).records, records);
  EXPECT_EQ(read_all(folder).num_corrupt, 0);
  EXPECT_EQ(parse_trace(trace_bytes(read_all(folder).records.back()))->branches[4].token, 28);
}

TEST(TraceFile, SplitsBytesSoThatStatesTakeLess) {
  const TemporaryFolder folder;
  const Record record = make_record(1, /*num_tokens=*/64, /*d_model=*/256);
  ASSERT_TRUE(open_writer(folder).write(trace_bytes(record)).ok());
  const double bytes = static_cast<double>(folder_bytes(folder.file("traces")));
  EXPECT_LT(bytes / static_cast<double>(trace_bytes(record).size()), 0.72);
}

TEST(TraceFile, IsTheUsersOwn) {
  const TemporaryFolder folder;
  ASSERT_TRUE(open_writer(folder).write(trace_bytes(make_record(1))).ok());
  const auto mode = [&](const std::string& name) {
    struct stat status = {};
    EXPECT_EQ(stat(folder.file(name).c_str(), &status), 0);
    return status.st_mode & 0777;
  };
  EXPECT_EQ(mode("traces"), 0700u);
  EXPECT_EQ(mode("traces/000001.trace"), 0600u);
}

TEST(TraceFile, RemovesTheOldestBeyondTheBound) {
  const TemporaryFolder folder;
  constexpr uint64_t kMaxBytes = 100'000;
  constexpr int kRecords = 200;
  {
    TraceFileWriter writer = open_writer(folder, kMaxBytes);
    for (int id = 1; id <= kRecords; ++id) {
      ASSERT_TRUE(writer.write(trace_bytes(make_record(id))).ok());
      ASSERT_LE(folder_bytes(folder.file("traces")), kMaxBytes);
    }
  }
  const Ids kept = read_all(folder).conversations();
  EXPECT_GT(folder_bytes(folder.file("traces")), kMaxBytes * 9 / 10);
  ASSERT_FALSE(kept.empty());
  EXPECT_EQ(kept.back(), 200u);
  EXPECT_EQ(kept.front() + kept.size(), 201u) << "the newest, without a gap";

  // A writer that begins anew keeps to the bound with what is there.
  TraceFileWriter writer = open_writer(folder, kMaxBytes / 2);
  ASSERT_TRUE(writer.write(trace_bytes(make_record(201))).ok());
  EXPECT_LE(folder_bytes(folder.file("traces")), kMaxBytes / 2);
  EXPECT_EQ(read_all(folder).conversations().back(), 201u);
}

TEST(TraceFile, RefusesWhatIsNoRecordOrTooLarge) {
  const TemporaryFolder folder;
  TraceFileWriter writer = open_writer(folder, /*max_bytes=*/1000);
  const Status none = writer.write(trace_bytes(Record(64)));
  ASSERT_FALSE(none.ok());
  EXPECT_NE(none.error().message.find("does not begin as one"), std::string::npos);
  const Status large = writer.write(trace_bytes(make_record(1)));
  ASSERT_FALSE(large.ok());
  EXPECT_NE(large.error().message.find("too large"), std::string::npos);
  EXPECT_TRUE(writer.write(trace_bytes(make_record(2, 1, 1))).ok());
  EXPECT_EQ(read_all(folder).conversations(), Ids{2});
}

// A limit on the size of files stands for the full disk: both write a part and then fail.
TEST(TraceFile, GoesOnAfterAFullDisk) {
  const TemporaryFolder folder;
  TraceFileWriter writer = open_writer(folder);
  ASSERT_TRUE(writer.write(trace_bytes(make_record(1))).ok());
  const uint64_t whole = folder_bytes(folder.file("traces"));

  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit full = {whole + 100, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  const Status status = writer.write(trace_bytes(make_record(2)));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);

  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("cannot write " + folder.path()), std::string::npos);
  EXPECT_EQ(folder_bytes(folder.file("traces")), whole) << "the torn frame is gone";
  ASSERT_TRUE(writer.write(trace_bytes(make_record(3))).ok());
  EXPECT_EQ(read_all(folder).conversations(), (Ids{1, 3}));
}

TEST(TraceFile, ATornFrameEndsItsFile) {
  const TemporaryFolder folder;
  TraceFileWriter writer = open_writer(folder);
  ASSERT_TRUE(writer.write(trace_bytes(make_record(1, 3, 8))).ok());
  const std::string path = folder.file("traces/000001.trace");
  const size_t first = read_file(path).size();
  ASSERT_TRUE(writer.write(trace_bytes(make_record(2, 3, 8))).ok());
  const std::string whole = read_file(path);
  // Another file follows.
  ASSERT_TRUE(open_writer(folder).write(trace_bytes(make_record(3, 3, 8))).ok());
  EXPECT_EQ(read_all(folder).conversations(), (Ids{1, 2, 3}));
  for (size_t size = first; size < whole.size(); ++size) {
    folder.write("traces/000001.trace", std::string_view(whole).substr(0, size));
    const Found found = read_all(folder);
    ASSERT_EQ(found.conversations(), (Ids{1, 3})) << size;
    ASSERT_EQ(found.num_corrupt, 0) << size;
  }
}

TEST(TraceFile, LeavesOutABrokenFrame) {
  const TemporaryFolder folder;
  TraceFileWriter writer = open_writer(folder);
  for (int id = 1; id <= 3; ++id) ASSERT_TRUE(writer.write(trace_bytes(make_record(id))).ok());
  const std::string whole = read_file(folder.file("traces/000001.trace"));
  const size_t second =
      sizeof(TraceFrame) + reinterpret_cast<const TraceFrame*>(whole.data())->stored_bytes;
  const size_t middle = second + sizeof(TraceFrame);
  const auto read_with = [&](size_t place, const std::string& bytes) {
    std::string changed = whole;
    changed.replace(place, bytes.size(), bytes);
    folder.write("traces/000001.trace", changed);
    return read_all(folder);
  };
  for (size_t place = middle; place < middle + 400; ++place) {
    const Found found = read_with(place, std::string(1, static_cast<char>(~whole[place])));
    ASSERT_EQ(found.conversations(), (Ids{1, 3})) << place;
    ASSERT_EQ(found.num_corrupt, 1) << place;
  }
  // What a head says is held against the limits before it is believed.
  TraceFrame head;
  std::memcpy(&head, whole.data() + second, sizeof(head));
  const auto read_with_head = [&](const std::function<void(TraceFrame&)>& change) {
    TraceFrame changed = head;
    change(changed);
    return read_with(second, {reinterpret_cast<const char*>(&changed), sizeof(changed)});
  };
  const std::function<void(TraceFrame&)> unbelieved[] = {
      [](TraceFrame& frame) { frame.magic = 7; },
      [](TraceFrame& frame) { frame.record_bytes = 0; },
      [](TraceFrame& frame) { frame.record_bytes += 1; },
      [](TraceFrame& frame) { frame.record_bytes = kMostTraceBytes + 8; },
      [](TraceFrame& frame) { frame.stored_bytes = 1; },  // so that the next head is none
  };
  for (const auto& change : unbelieved) {
    const Found found = read_with_head(change);
    EXPECT_EQ(found.conversations(), Ids{1});
    EXPECT_GE(found.num_corrupt, 1);
  }
  EXPECT_EQ(read_with_head([](TraceFrame& frame) { frame.record_bytes += 8; }).conversations(),
            (Ids{1, 3}));
  // One that is longer than its file is a torn one.
  const Found found = read_with_head([](TraceFrame& frame) { frame.stored_bytes = ~uint32_t{0}; });
  EXPECT_EQ(found.conversations(), Ids{1});
  EXPECT_EQ(found.num_corrupt, 0);
}

// In the meantime the file a reader is at may grow, and the one it is about to come to may go.
TEST(TraceFile, ReadsBesideAWriter) {
  const TemporaryFolder folder;
  TraceFileWriter writer = open_writer(folder);
  ASSERT_TRUE(writer.write(trace_bytes(make_record(1))).ok());
  for (int id = 2; id <= 3; ++id) {
    ASSERT_TRUE(open_writer(folder).write(trace_bytes(make_record(id))).ok());
  }
  Result<TraceFileReader> reader = TraceFileReader::open(folder.file("traces"));
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(reader->next(), make_record(1));
  ASSERT_TRUE(writer.write(trace_bytes(make_record(4))).ok());
  folder.remove("traces/000002.trace");
  EXPECT_EQ(reader->next(), make_record(3));
  EXPECT_EQ(reader->next(), std::nullopt);
  EXPECT_EQ(reader->num_corrupt(), 0);
}

TEST(TraceFile, SaysWhatFolderCannotBeUsed) {
  const TemporaryFolder folder;
  const std::string path = folder.write("file", "");
  const auto writer = TraceFileWriter::open(path, 1000);
  ASSERT_FALSE(writer.ok());
  EXPECT_NE(writer.error().message.find(path), std::string::npos);
  const auto reader = TraceFileReader::open(folder.file("none"));
  ASSERT_FALSE(reader.ok());
  EXPECT_NE(reader.error().message.find(folder.file("none")), std::string::npos);
}

}  // namespace
}  // namespace forerun
