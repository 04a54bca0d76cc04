// Replays rollouts to arctic-inference's suffix trees, as its SuffixDecodingCache uses them, with a
// tree a problem in place of one for all (bench/history_vs_arctic): arctic_replay FILE

#include <memory>

#include "rollout_replay.h"
#include "suffix_tree.h"

namespace {

constexpr int kDepth = 64;
constexpr int kMaxTokens = 24;
constexpr float kFactor = 2.0f;
constexpr float kMinProbability = 0.1f;

class ArcticDrafter final {
 public:
  explicit ArcticDrafter(size_t num_problems) {
    for (size_t i = 0; i < num_problems; ++i) {
      answers_.push_back(std::make_unique<SuffixTree>(kDepth));
    }
  }
  void begin(size_t problem, size_t epoch, const rollout_replay::Tokens& prompt) {
    shared_ = answers_[problem].get();
    epoch_ = static_cast<int>(epoch);
    own_ = std::make_unique<SuffixTree>(kDepth);
    own_->extend(0, prompt);
  }
  std::span<const int32_t> propose(std::span<const int32_t> context) {
    context = context.last(std::min<size_t>(context.size(), kDepth));
    Draft own = own_->speculate(context, kMaxTokens, kFactor, 0.0f, kMinProbability, false);
    Draft shared = shared_->speculate(context, kMaxTokens, kFactor, 0.0f, kMinProbability, false);
    draft_ = own.score >= shared.score ? std::move(own) : std::move(shared);
    return draft_.token_ids;
  }
  void accept(std::span<const int32_t> tokens) {
    own_->extend(0, tokens);
    shared_->extend(epoch_, tokens);
  }
  double memory_bytes() const {
    double bytes = 0.0;
    for (const auto& tree : answers_) bytes += static_cast<double>(tree->estimate_memory());
    return bytes;
  }

 private:
  std::vector<std::unique_ptr<SuffixTree>> answers_;
  std::unique_ptr<SuffixTree> own_;
  SuffixTree* shared_ = nullptr;
  int epoch_ = 0;
  Draft draft_;
};

}  // namespace

int main(int argc, char** argv) {
  return rollout_replay::run(
      argc, argv, [](size_t problems) { return std::make_unique<ArcticDrafter>(problems); });
}
