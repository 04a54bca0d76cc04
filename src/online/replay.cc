#include "online/replay.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace forerun {
namespace {

// Of a sequence: the head's window, and what is drafted behind it.
constexpr int kPagesEach = static_cast<int>(Eagle3Head::kWindow / kPageTokens) + 4;

int64_t state_bytes(const Model& target) {
  return kNumTaps * target.descriptor().d_model * static_cast<int64_t>(sizeof(uint16_t));
}

// Only states are kept: keys and values are the drafter's own.
KvShape shape_of_states(const Model& target) {
  KvShape shape;
  shape.side_arrays.push_back({"states", state_bytes(target)});
  return shape;
}

SamplingParams sampling_of(const TraceHeader& header) {
  SamplingParams sampling;
  sampling.temperature = header.temperature;
  sampling.top_k = header.top_k;
  sampling.top_p = header.top_p;
  sampling.min_p = header.min_p;
  return sampling;
}

// The first count of tokens that a draft can follow: the first token of the output is the
// target's, and the head reads the state of the last token but one.
int64_t first_known(const TraceHeader& header) {
  return std::max(header.prompt_tokens + 1, header.first_state + 2);
}

// Behind it, states are missing or nothing is left to be drafted.
int64_t end_of(const TraceHeader& header) {
  return std::min(header.num_tokens, header.first_state + header.num_states + 2);
}

}  // namespace

void ReplayScore::add(const ReplayScore& other) {
  rounds += other.rounds;
  tokens += other.tokens;
  for (int i = 0; i < kMaxDraft; ++i) {
    drafted_at[i] += other.drafted_at[i];
    accepted_at[i] += other.accepted_at[i];
  }
}

double ReplayScore::acceptance_length() const {
  return rounds == 0 ? 0.0 : static_cast<double>(tokens) / static_cast<double>(rounds);
}

Replay::Replay(const Model& target, const Eagle3Head& head, const KernelTable& kernels, Team& team,
               bool argmax)
    : states_(shape_of_states(target), kMostSequences * kPagesEach),
      drafter_(DraftingModel::of(head), kernels, team,
               {.max_sequences = kMostSequences,
                .num_pages = kMostSequences * kPagesEach,
                .target_vocab_size = target.descriptor().vocab_size,
                .argmax = argmax,
                .costs = TeamCosts(1, StepCost())}),  // nobody asks what drafting would take
      places_(kMostSequences) {
  for (int place = 0; place < kMostSequences; ++place) {
    for (int i = 0; i < kPagesEach; ++i) places_[place].pages.push_back(place * kPagesEach + i);
  }
  draft_.reserve(kMaxDraft);
}

void Replay::begin(int place, const TraceRecord& record) {
  Place& here = places_[place];
  const TraceHeader& header = record.header;
  CHECK(3 * header.d_model * static_cast<int64_t>(sizeof(uint16_t)) ==
            states_.shape().side_arrays[0].bytes_per_token,
        "the record is of another target");
  const int64_t most = std::ssize(here.pages) * kPageTokens;
  CHECK(header.num_states <= most, "more states than a head's window has positions");
  for (int64_t i = 0; i < header.num_states; ++i) {
    const std::span<const uint16_t> states = record.states_at(header.first_state + i);
    std::memcpy(states_.side(here.pages, /*array=*/0, i), states.data(), states.size_bytes());
  }
  here.record = &record;
  here.sampling = sampling_of(header);
  here.known = first_known(header);
  DraftRequest request;
  request.max_tokens = header.num_tokens - header.first_state;
  drafter_.begin(place, request);
}

void Replay::add_task(int place, int depth) {
  const Place& here = places_[place];
  const TraceHeader& header = here.record->header;
  const int64_t first = header.first_state;
  DraftTask task;
  task.place = place;
  // The sequence begins with its first state: rotations tell nothing but distances.
  task.tokens = here.record->tokens.subspan(first, here.known - first);
  task.max_tokens = static_cast<int>(std::min<int64_t>(depth, end_of(header) - here.known - 1));
  task.chain_only = true;
  task.sampling = &here.sampling;
  task.noise = {header.seed, static_cast<uint32_t>(header.choice),
                static_cast<uint32_t>(here.known)};
  task.states = {&states_, /*array=*/0, here.pages};
  tasks_.push_back(task);
}

void Replay::take_round(int place, int depth) {
  Place& here = places_[place];
  draft_.clear();
  drafter_.propose(place, {}, /*num_drafted=*/0, depth, draft_);
  int accepted = 0;
  while (accepted < draft_.size() &&
         draft_.tokens[accepted] == here.record->tokens[here.known + accepted]) {
    ++accepted;
  }
  if (here.firsts != nullptr && draft_.size() > 0) {
    (*here.firsts)[here.known] = draft_.tokens[0];
  }
  const int64_t came = here.firsts != nullptr ? 1 : accepted + 1;
  drafter_.observe(place, here.record->tokens.subspan(here.known, came));
  here.known += came;
  if (here.score == nullptr) return;
  ReplayScore& score = *here.score;
  ++score.rounds;
  score.tokens += came;
  for (int i = 0; i < draft_.size(); ++i) ++score.drafted_at[i];
  for (int i = 0; i < accepted; ++i) ++score.accepted_at[i];
}

// Lets the head draft for all records, as many at a time as there are places; `begin_record(place,
// i)` says what of the i-th is wanted.
template <typename Begin>
void Replay::run(std::span<const TraceRecord> records, int depth, Begin begin_record) {
  size_t next = 0;
  while (true) {
    tasks_.clear();
    for (int place = 0; place < kMostSequences; ++place) {
      Place& here = places_[place];
      for (; here.record == nullptr && next < records.size(); ++next) {
        const TraceHeader& header = records[next].header;
        if (first_known(header) >= end_of(header)) continue;
        begin(place, records[next]);
        begin_record(here, next);
      }
      if (here.record != nullptr) add_task(place, depth);
    }
    if (tasks_.empty()) return;
    drafter_.compute(tasks_, depth);
    for (const DraftTask& task : tasks_) {
      if (task.max_tokens > 0 && drafter_.is_behind(task)) continue;
      take_round(task.place, depth);
      Place& here = places_[task.place];
      if (here.known < end_of(here.record->header)) continue;
      drafter_.end(task.place);
      here.record = nullptr;
    }
  }
}

std::vector<ReplayScore> Replay::score(std::span<const TraceRecord> records, int depth) {
  std::vector<ReplayScore> scores(records.size());
  run(records, depth, [&](Place& here, size_t i) {
    here.score = &scores[i];
    here.firsts = nullptr;
  });
  return scores;
}

std::vector<std::vector<int32_t>> Replay::draft_firsts(std::span<const TraceRecord> records) {
  std::vector<std::vector<int32_t>> firsts;
  for (const TraceRecord& record : records) firsts.emplace_back(record.tokens.size(), -1);
  run(records, /*depth=*/1, [&](Place& here, size_t i) {
    here.score = nullptr;
    here.firsts = &firsts[i];
  });
  return firsts;
}

std::vector<std::vector<FirstDraft>> Replay::score_firsts(std::span<const TraceRecord> records) {
  const std::vector<std::vector<int32_t>> drafted = draft_firsts(records);
  std::vector<std::vector<FirstDraft>> firsts;
  for (size_t i = 0; i < records.size(); ++i) {
    std::vector<FirstDraft>& here = firsts.emplace_back(drafted[i].size(), FirstDraft::kNone);
    for (size_t place = 0; place < here.size(); ++place) {
      const int32_t token = drafted[i][place];
      if (token < 0) continue;
      here[place] = token == records[i].tokens[place] ? FirstDraft::kRight : FirstDraft::kWrong;
    }
  }
  return firsts;
}

}  // namespace forerun
