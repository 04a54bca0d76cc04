#include "online/head_trial.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace forerun {

void remove_folder(const std::string& folder) {
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

std::vector<TraceRecord> views_of(const KeptRecords& records) {
  std::vector<TraceRecord> views;
  views.reserve(records.size());
  for (const auto& one : records) views.push_back(one->view);
  return views;
}

void add(AnswerScore& sum, const AnswerScore& one) {
  sum.tokens += one.tokens;
  sum.rounds += one.rounds;
  sum.seconds += one.seconds;
  sum.plain_seconds += one.plain_seconds;
}

double acceptance_length(const AnswerScore& score) {
  if (score.rounds == 0) return 1.0;
  return static_cast<double>(score.tokens) / static_cast<double>(score.rounds);
}

double speedup(const AnswerScore& score) {
  return score.seconds > 0.0 ? score.plain_seconds / score.seconds : 1.0;
}

void HeadTrial::restart(const std::deque<std::shared_ptr<const KeptRecord>>& held_out) {
  // The newest is looked at first: it is most like what comes.
  todo_.assign(held_out.begin(), held_out.end());
  times_.clear();
  looks_ = {};
  sum_ = incumbent_sum_ = {};
}

KeptRecords HeadTrial::take(size_t count) {
  KeptRecords taken;
  while (taken.size() < count && !todo_.empty()) {
    taken.push_back(std::move(todo_.back()));
    todo_.pop_back();
  }
  return taken;
}

bool HeadTrial::may_measure(const KeptRecord& record) const {
  const TraceHeader& header = record.view.header;
  if (header.is_constrained != 0) return false;
  return is_held_out(header.conversation) || record.conversation_began > came_;
}

void HeadTrial::add(const KeptRecords& records, std::span<const AnswerScore> incumbent,
                    const DecodingCost& cost) {
  const std::vector<AnswerScore> scores = head_->score(views_of(records), cost);
  for (size_t i = 0; i < scores.size(); ++i) {
    const AnswerScore& its = scores[i];
    if (its.rounds == 0 || !may_measure(*records[i])) continue;
    AnswerScore before = {.tokens = its.tokens, .rounds = its.tokens};
    before.seconds = before.plain_seconds = its.plain_seconds;
    if (!incumbent.empty()) before = incumbent[i];
    PairedTime& time = times_[records[i]->view.header.conversation];
    time.incumbent_s += before.seconds;
    time.candidate_s += its.seconds;
    forerun::add(sum_, its);
    forerun::add(incumbent_sum_, before);
  }
}

std::vector<PairedTime> HeadTrial::times() const {
  // In an order that is the same every time, which the bootstrap's is.
  std::vector<std::pair<uint64_t, PairedTime>> sorted(times_.begin(), times_.end());
  std::ranges::sort(sorted, {}, [](const auto& one) { return one.first; });
  std::vector<PairedTime> times;
  times.reserve(sorted.size());
  for (const auto& [conversation, time] : sorted) times.push_back(time);
  return times;
}

}  // namespace forerun
