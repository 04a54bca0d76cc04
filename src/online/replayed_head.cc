#include "online/replayed_head.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "online/learning_forecast.h"
#include "online/round_time.h"

namespace forerun {
namespace {

// Of the chances known so far, what is left after a batch of records.
constexpr double kMemory = 0.7;
constexpr double kFirstGuess = 0.5;

int64_t mean_keys(std::span<const TraceRecord> records) {
  int64_t keys = 0;
  for (const TraceRecord& record : records) keys += record.header.num_tokens;
  return records.empty() ? 0 : keys / std::ssize(records);
}

}  // namespace

ReplayedHead::ReplayedHead(const Model& target, std::shared_ptr<const Eagle3Head> head,
                           const KernelTable& kernels, Team& team)
    : head_(std::move(head)),
      size_(static_cast<double>(head_->weights().file_bytes_per_step) /
            static_cast<double>(target.weights().file_bytes_per_step)),
      replay_(target, *head_, kernels, team) {
  right_.fill(kFirstGuess);
}

double ReplayedHead::tokens_a_round() const {
  if (!is_tuned_) return 0.0;
  double tokens = 1.0;
  for (int draft = kForecastDrafts; draft-- > 0;) tokens = 1.0 + right_[draft] * tokens;
  return tokens;
}

void ReplayedHead::learn_chances(const ReplayScore& score) {
  for (int i = 0; i < kMostDepth; ++i) {
    const int64_t tried = i == 0 ? score.drafted_at[0] : score.accepted_at[i - 1];
    if (score.drafted_at[i] == 0 || tried == 0) return;
    const double right = static_cast<double>(score.accepted_at[i]) / static_cast<double>(tried);
    const double kept = is_tuned_ ? kMemory : 0.0;
    right_[i] = kept * right_[i] + (1.0 - kept) * right;
  }
}

// That with the most tokens a second, as drafts came out of late.
int ReplayedHead::best_depth(const DecodingCost& cost, int64_t keys) const {
  double tokens = 1.0;
  double survival = 1.0;
  double best_rate = tokens / round_seconds(cost, size_, 0, keys);
  int best = 0;
  for (int depth = 1; depth <= kMostDepth; ++depth) {
    survival *= right_[depth - 1];
    tokens += survival;
    const double rate = tokens / round_seconds(cost, size_, depth, keys);
    if (rate <= best_rate) continue;
    best_rate = rate;
    best = depth;
  }
  return best;
}

std::vector<AnswerScore> ReplayedHead::score(std::span<const TraceRecord> records,
                                             const DecodingCost& cost) {
  // What does not pay is followed all the same: it may yet.
  std::vector<ReplayScore> replayed = replay_.score(records, std::max(depth_, 1));
  ReplayScore sum;
  for (const ReplayScore& one : replayed) sum.add(one);
  if (!is_tuned_) {
    learn_chances(sum);
    is_tuned_ = true;
    const int first = std::exchange(depth_, best_depth(cost, mean_keys(records)));
    if (depth_ != first) replayed = replay_.score(records, std::max(depth_, 1));
  }
  std::vector<AnswerScore> scores;
  for (size_t i = 0; i < records.size(); ++i) {
    const ReplayScore& one = replayed[i];
    const int64_t keys = records[i].header.num_tokens;
    AnswerScore score{.tokens = one.tokens, .rounds = depth_ == 0 ? one.tokens : one.rounds};
    score.plain_seconds = static_cast<double>(one.tokens) * round_seconds(cost, size_, 0, keys);
    score.seconds = static_cast<double>(score.rounds) * round_seconds(cost, size_, depth_, keys);
    scores.push_back(score);
  }
  learn_chances(sum);
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
