#include "online/replayed_head.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "online/learning_forecast.h"
#include "online/round_time.h"

namespace forerun {
namespace {

// Of the chances known so far, what is left after a batch of records.
constexpr double kMemory = 0.7;

int64_t mean_keys(std::span<const TraceRecord> records) {
  int64_t keys = 0;
  for (const TraceRecord& record : records) keys += record.header.num_tokens;
  return records.empty() ? 0 : keys / std::ssize(records);
}

}  // namespace

ReplayedHead::ReplayedHead(const Model& target, std::shared_ptr<const Eagle3Head> head,
                           const KernelTable& kernels, Team& team)
    : head_(std::move(head)),
      size_(head_size(*head_, target)),
      replay_(target, *head_, kernels, team) {}

double ReplayedHead::tokens_a_round() const {
  return is_tuned_ ? chances_.tokens_a_round(kForecastDrafts) : 0.0;
}

int ReplayedHead::best_depth(const DecodingCost& cost, int64_t keys) const {
  std::array<double, kMostDepth + 1> seconds;
  for (int depth = 0; depth <= kMostDepth; ++depth) {
    seconds[depth] = round_seconds(cost, size_, depth, keys);
  }
  return chances_.best_depth(seconds);
}

AnswerScore ReplayedHead::tune(std::span<const TraceRecord> records, const DecodingCost& cost) {
  ReplayScore sum;
  for (const ReplayScore& one : replay_.score(records, kFirstDepth)) sum.add(one);
  chances_.learn(sum, /*kept=*/0.0);
  const int64_t keys = mean_keys(records);
  depth_ = best_depth(cost, keys);
  is_tuned_ = true;
  const auto tokens = static_cast<double>(sum.tokens);
  const double rounds = tokens / chances_.tokens_a_round(depth_);
  return {.tokens = sum.tokens,
          .rounds = std::llround(rounds),
          .seconds = rounds * round_seconds(cost, size_, depth_, keys),
          .plain_seconds = tokens * round_seconds(cost, size_, 0, keys)};
}

std::vector<AnswerScore> ReplayedHead::score(std::span<const TraceRecord> records,
                                             const DecodingCost& cost) {
  if (!is_tuned_) tune(records, cost);
  // What does not pay is followed all the same: it may yet.
  const std::vector<ReplayScore> replayed = replay_.score(records, std::max(depth_, 1));
  ReplayScore sum;
  for (const ReplayScore& one : replayed) sum.add(one);
  std::vector<AnswerScore> scores;
  for (size_t i = 0; i < records.size(); ++i) {
    const ReplayScore& one = replayed[i];
    const int64_t keys = records[i].header.num_tokens;
    AnswerScore score{.tokens = one.tokens, .rounds = depth_ == 0 ? one.tokens : one.rounds};
    score.plain_seconds = static_cast<double>(one.tokens) * round_seconds(cost, size_, 0, keys);
    score.seconds = static_cast<double>(score.rounds) * round_seconds(cost, size_, depth_, keys);
    scores.push_back(score);
  }
  chances_.learn(sum, kMemory);
  depth_ = best_depth(cost, mean_keys(records));
  return scores;
}

std::vector<std::vector<FirstDraft>> ReplayedHead::score_firsts(
    std::span<const TraceRecord> records) {
  return replay_.score_firsts(records);
}

Result<std::shared_ptr<ScoredHead>> ReplayedHeads::load(const std::string& folder) {
  Result<std::unique_ptr<Eagle3Head>> head = Eagle3Head::load(folder, target_, team_);
  if (!head.ok()) return head.error();
  if ((*head)->state_layers() != tap_layers(target_.descriptor().num_layers)) {
    return Error{folder + " reads other layers than those whose states are recorded"};
  }
  return std::shared_ptr<ScoredHead>(
      std::make_shared<ReplayedHead>(target_, *std::move(head), kernels_, team_));
}

}  // namespace forerun
