// Replays rollouts to the history index (bench/history_vs_arctic): history_replay FILE

#include <memory>

#include "rollout_replay.h"
#include "spec/history_index.h"

namespace forerun {
namespace {

// What a request sees: answers to its problem, its own among them, and its prompt.
class HistoryDrafter final {
 public:
  void begin(size_t problem, size_t epoch, const rollout_replay::Tokens& prompt) {
    scopes_[0] = 1 + problem;
    scopes_[1] = kPrompts + ++requests_;
    HistoryIndex::Sequence written = index_.open(scopes_[1], 0);
    index_.append(written, prompt);
    answer_ = index_.open(scopes_[0], static_cast<uint32_t>(epoch));
  }
  std::span<const int32_t> propose(const rollout_replay::Tokens& context) {
    HistoryQuery query;
    query.scopes = scopes_;
    query.context = context;
    index_.propose(query, draft_);
    return draft_.tokens;
  }
  void accept(std::span<const int32_t> tokens) { index_.append(answer_, tokens); }
  double memory_bytes() const {
    // Of the part that is in use.
    return static_cast<double>(index_.memory_bytes()) * static_cast<double>(index_.taken_tokens()) /
           static_cast<double>(index_.capacity_tokens());
  }

 private:
  static constexpr HistoryScope kPrompts = HistoryScope{1} << 32;
  HistoryIndex index_{1 << 20};
  HistoryScope scopes_[2] = {};
  uint64_t requests_ = 0;
  HistoryIndex::Sequence answer_;
  HistoryDraft draft_;
};

}  // namespace
}  // namespace forerun

int main(int argc, char** argv) {
  return rollout_replay::run(
      argc, argv, [](size_t /*problems*/) { return std::make_unique<forerun::HistoryDrafter>(); });
}
