#include "spec/acceptance.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace forerun {
namespace {

// Outcomes of a kind that count; older ones fade.
constexpr float kMostSeen = 256.0f;
constexpr double kGuessStrength = 4.0;
constexpr double kKindStrength = 8.0;
// One outcome more or less is always possible.
constexpr double kLeast = 0.005;
constexpr double kMost = 0.995;

// The share of texts that go on as the candidates do grows with what they have in common.
double guess(const Evidence& evidence) {
  if (evidence.second) return 0.3;
  const double match = evidence.match;
  if (evidence.source >= DraftSource::kDraftModel) return 0.25 + 0.65 * evidence.share;
  if (evidence.source == DraftSource::kPrediction) return (match + 4.0) / (match + 5.0);
  return evidence.share * match / (match + 1.5);
}

}  // namespace

int Acceptance::kind_of(const Evidence& evidence) {
  const int match = std::min<int>(std::bit_width(evidence.match), kMatches - 1);
  const int share = (evidence.share > 0.4f) + (evidence.share > 0.7f) + (evidence.share > 0.95f);
  const int source = 2 * static_cast<int>(evidence.source) + (evidence.second ? 1 : 0);
  return (source * kMatches + match) * kShares + share;
}

int Acceptance::position_class(int position) {
  return std::min<int>(std::bit_width(static_cast<uint32_t>(position)), kPositions - 1);
}

Acceptance::Estimate Acceptance::estimate(const Evidence& evidence, int position) const {
  const Kind& kind = kinds_[kind_of(evidence)];
  const OutcomeCount& here = kind.by_position[position_class(position)];
  const double of_kind = kind.all.rate(guess(evidence), kGuessStrength);
  const double prior_outcomes = std::min<double>(kind.all.seen + kGuessStrength, kKindStrength);
  return {here.rate(of_kind, kKindStrength), here.seen + prior_outcomes};
}

double Acceptance::probability(const Evidence& evidence, int position) const {
  return std::clamp(estimate(evidence, position).rate, kLeast, kMost);
}

double Acceptance::cautious(const Evidence& evidence, int position) const {
  const Estimate found = estimate(evidence, position);
  const double rate = std::clamp(found.rate, kLeast, kMost);
  // The lower end of Wilson's interval of one standard deviation, which holds near 0 and 1 too.
  const double n = found.outcomes;
  const double half = std::sqrt(rate * (1.0 - rate) / n + 1.0 / (4.0 * n * n));
  return std::clamp((rate + 1.0 / (2.0 * n) - half) / (1.0 + 1.0 / n), kLeast, kMost);
}

void Acceptance::observe(const Evidence& evidence, int position, bool accepted) {
  Kind& kind = kinds_[kind_of(evidence)];
  kind.all.add(accepted, kMostSeen);
  kind.by_position[position_class(position)].add(accepted, kMostSeen);
}

}  // namespace forerun
