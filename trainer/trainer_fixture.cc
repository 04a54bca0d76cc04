#include "trainer_fixture.h"

#include <cstring>
#include <fstream>
#include <iterator>

#include "formats/safetensors_writer.h"
#include "models/tiny_head.h"
#include "online/trace_file.h"
#include "tensor_files.h"

namespace forerun {
namespace {

// Copies rows as bf16.
void put(const at::Tensor& rows, uint8_t* out) {
  const at::Tensor stored = rows.to(at::kBFloat16).contiguous();
  std::memcpy(out, stored.data_ptr(), stored.nbytes());
}

}  // namespace

at::Tensor tiny_tensor(const std::string& name, const std::vector<int64_t>& shape) {
  at::Tensor tensor = at::empty(shape);
  auto* values = tensor.data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) values[i] = tiny_head_weight(name, i);
  return tensor;
}

Head make_tiny_trainer_head(const HeadSizes& sizes) {
  Head head;
  head.sizes = sizes;
  for (const HeadTensor& row : kHeadTensors) {
    head.*row.tensor = tiny_tensor(row.name, row.shape(sizes));
  }
  return head;
}

TraceFolder::TraceFolder()
    : embedding_(10 * tiny_tensor("embed_tokens.weight", {kVocabSize, kWidth})) {
  const Json description = {{"name", "tiny"},
                            {"fingerprint", "0123456789abcdef"},
                            {"vocab_size", kVocabSize},
                            {"d_model", kWidth},
                            {"num_layers", 5},
                            {"state_layers", {1, 2, 4}},
                            {"num_heads", 4},
                            {"num_kv_heads", 2},
                            {"head_dim", 8},
                            {"d_ff", 64},
                            {"rms_norm_eps", 1e-5},
                            {"rope_theta", 10000.0},
                            {"context_length", 256}};
  write("target.json", description.dump());
  SafetensorsWriter writer;
  Status status = add_tensor(writer, "embed_tokens.weight", embedding_, at::kBFloat16);
  CHECK(status.ok(), "the rule's values are finite");
  status = add_tensor(writer, "norm.weight", at::ones({kWidth}), at::kFloat);
  CHECK(status.ok() && writer.write(file("target.safetensors")).ok(), "a folder of the test's own");
}

std::vector<uint8_t> TraceFolder::make_record(int32_t first_token, int64_t num_tokens,
                                              const std::function<void(TraceHeader&)>& change,
                                              const std::vector<TraceBranchRow>& branches) const {
  std::vector<int32_t> tokens = {first_token};
  while (std::ssize(tokens) <= num_tokens) tokens.push_back(next_token(tokens.back()));
  TraceHeader header;
  header.weights = kFingerprint;
  header.conversation = kTrainedOn;
  header.num_tokens = num_tokens;
  header.prompt_tokens = num_tokens / 3;
  header.num_states = num_tokens - 1;
  header.d_model = kWidth;
  header.num_branch_rows = static_cast<uint32_t>(branches.size());
  const TraceLayout layout =
      trace_layout(num_tokens, header.num_states, kWidth, /*num_marks=*/0, header.num_branch_rows);
  header.bytes = static_cast<uint64_t>(layout.end);
  if (change) change(header);
  std::vector<uint8_t> bytes(static_cast<size_t>(layout.end));
  std::memcpy(bytes.data(), &header, sizeof(header));
  std::memcpy(bytes.data() + layout.tokens, tokens.data(), num_tokens * sizeof(int32_t));
  const at::Tensor rows = embedding_.index_select(0, at::tensor(tokens, at::kInt));
  const at::Tensor states = rows.narrow(0, 0, header.num_states);
  put(at::cat({states, -states, states.roll(1, -1)}, -1), bytes.data() + layout.states);
  put(4 * rows.narrow(0, 1, header.num_states), bytes.data() + layout.finals);
  std::vector<int32_t> behind;
  for (const TraceBranchRow& row : branches) behind.push_back(next_token(row.token));
  if (branches.empty()) return bytes;
  std::memcpy(bytes.data() + layout.branches, branches.data(),
              branches.size() * sizeof(branches[0]));
  put(4 * embedding_.index_select(0, at::tensor(behind, at::kInt)),
      bytes.data() + layout.branch_finals);
  return bytes;
}

std::vector<std::vector<uint8_t>> TraceFolder::make_records(int count) const {
  std::vector<std::vector<uint8_t>> records;
  for (int i = 0; i < count; ++i) {
    records.push_back(make_record((11 * i) % kVocabSize, 16 + i % 5));
  }
  return records;
}

std::vector<std::vector<uint8_t>> TraceFolder::make_records_with_branches(int count) const {
  std::vector<std::vector<uint8_t>> records;
  for (int i = 0; i < count; ++i) {
    std::vector<TraceBranchRow> branches;
    for (int32_t position = 6; position < 14; ++position) {
      const auto parent = static_cast<int32_t>(branches.size());
      branches.push_back({position, -1, 1, (7 * position + i) % static_cast<int32_t>(kVocabSize)});
      branches.push_back(
          {position, parent, 2, (11 * position + i) % static_cast<int32_t>(kVocabSize)});
    }
    records.push_back(make_record((11 * i) % kVocabSize, 16 + i % 5, nullptr, branches));
  }
  return records;
}

void TraceFolder::write_records(const std::vector<std::vector<uint8_t>>& records) const {
  folder_.remove("000001.trace");
  Result<TraceFileWriter> writer = TraceFileWriter::open(path(), /*max_bytes=*/1 << 24);
  CHECK(writer.ok(), "a folder of the test's own");
  for (const std::vector<uint8_t>& record : records) {
    CHECK(writer->write(record).ok(), "a whole record");
  }
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace forerun
