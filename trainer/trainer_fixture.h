#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/temporary_folder.h"
#include "head.h"
#include "learning_target.h"
#include "online/trace_record.h"

namespace forerun {

// [shape] of a tensor `name` by the rule of src/models/tiny_head.h.
at::Tensor tiny_tensor(const std::string& name, const std::vector<int64_t>& shape);

// Small enough for derivatives by differences; heads share keys.
constexpr HeadSizes kTinySizes = {.draft_vocab_size = 7,
                                  .d_model = 8,
                                  .num_heads = 4,
                                  .num_kv_heads = 2,
                                  .head_dim = 4,
                                  .d_ff = 12,
                                  .rms_epsilon = 1e-5,
                                  .rope_theta = 100.0};

// A head of such tensors.
Head make_tiny_trainer_head(const HeadSizes& sizes);

// A folder of traces of a small target, whose tokens follow one another by a rule: `next_token`.
// States say which token is at a position; finals are sure of the next one.
class TraceFolder final {
 public:
  static constexpr int64_t kVocabSize = 48;
  static constexpr int64_t kWidth = 32;
  static constexpr uint64_t kFingerprint = 0x0123456789abcdef;
  // Conversations (online/gate.h): the one of records, and one that is held out.
  static constexpr uint64_t kTrainedOn = 1;
  static constexpr uint64_t kHeldOut = 0;

  TraceFolder();
  static int32_t next_token(int32_t token) { return (5 * token + 7) % kVocabSize; }

  // A record of `num_tokens` from `first_token` on, a third of them the prompt, the last one
  // without states.
  // Behind tokens drafted in vain, finals are sure of the next one as well.
  std::vector<uint8_t> make_record(int32_t first_token, int64_t num_tokens,
                                   const std::function<void(TraceHeader&)>& change = nullptr,
                                   const std::vector<TraceBranchRow>& branches = {}) const;
  std::vector<std::vector<uint8_t>> make_records(int count) const;
  // The same, with branches of wrong tokens.
  std::vector<std::vector<uint8_t>> make_records_with_branches(int count) const;
  // Puts them into one file, 000001.trace, in place of all that there are.
  void write_records(const std::vector<std::vector<uint8_t>>& records) const;

  const std::string& path() const { return folder_.path(); }
  std::string file(std::string_view name) const { return folder_.file(name); }
  void write(std::string_view name, std::string_view text) const { folder_.write(name, text); }
  LearningTarget target() const { return *read_target(path()); }

 private:
  TemporaryFolder folder_;
  at::Tensor embedding_;  // [vocab_size, width]
};

// A whole file.
std::string read_file(const std::string& path);

}  // namespace forerun
