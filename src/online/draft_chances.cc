#include "online/draft_chances.h"

#include <cstdint>

namespace forerun {
namespace {

constexpr double kFirstGuess = 0.5;

}  // namespace

DraftChances::DraftChances() {
  right_.fill(kFirstGuess);
}

void DraftChances::learn(const ReplayScore& score, double kept) {
  if (score.drafted_at[0] == 0) return;
  double right = 0.0;
  int64_t tried = score.drafted_at[0];
  for (int place = 0; place < kMostDepth; ++place) {
    const int64_t accepted = score.accepted_at[place];
    if (score.drafted_at[place] > 0 && tried > 0) {
      right = static_cast<double>(accepted) / static_cast<double>(tried);
    }
    right_[place] = kept * right_[place] + (1.0 - kept) * right;
    tried = accepted;
  }
}

double DraftChances::tokens_a_round(int drafts) const {
  double tokens = 1.0;
  for (int draft = drafts; draft-- > 0;) tokens = 1.0 + right_[draft] * tokens;
  return tokens;
}

int DraftChances::best_depth(std::span<const double, kMostDepth + 1> seconds) const {
  int best = 0;
  for (int depth = 1; depth <= kMostDepth; ++depth) {
    const bool is_better =
        tokens_a_round(depth) * seconds[best] > tokens_a_round(best) * seconds[depth];
    if (is_better) best = depth;
  }
  return best;
}

}  // namespace forerun
