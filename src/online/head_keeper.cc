#include "online/head_keeper.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <map>
#include <utility>

#include "base/clock.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

// Where nothing else asks for the current head's times, so many batches go by between two looks.
constexpr int64_t kLookEvery = 4;
// What is shown of the current head: the weight of a new batch.
constexpr double kShownWeight = 0.3;
// Held-out records that are kept for candidates, and all that wait to be looked at.
constexpr size_t kMostHeldOut = 256;
constexpr size_t kMostUnread = 4 * HeadKeeper::kBatch;
constexpr int64_t kMostBytes = int64_t{1} << 29;  // of either
// Conversations whose begin is remembered.
constexpr size_t kMostConversations = 1 << 16;
// A head of before has to be better than the current one by this share of its time, as the best of
// several that seem to be; the reference, which is one and what nobody wants to be slower than, by
// less.
constexpr double kLeastRecallGain = 0.02;
constexpr double kLeastReferenceGain = 0.005;
constexpr size_t kNearest = 3;
constexpr size_t kMostResident = 3;
constexpr int64_t kKeptHeads = 32;
constexpr size_t kLookedBack = 10'000;  // events
constexpr size_t kMostJudged = 32;      // of those that are told of
constexpr double kErrorPause = 60.0;    // seconds, between two of the same

// Share of the first drafts that were right; −1 without any.
double right_share(std::span<const FirstDraft> firsts) {
  int64_t drafted = 0;
  int64_t right = 0;
  for (const FirstDraft one : firsts) {
    drafted += one != FirstDraft::kNone ? 1 : 0;
    right += one == FirstDraft::kRight ? 1 : 0;
  }
  return drafted == 0 ? -1.0 : static_cast<double>(right) / static_cast<double>(drafted);
}

// Shares of first drafts that were right, by conversation: those are independent of each other, and
// what is of one counts once.
using Rates = std::map<uint64_t, double>;
Rates rates_of(std::span<const TraceRecord> records,
               const std::vector<std::vector<FirstDraft>>& firsts) {
  Rates rates;
  for (size_t i = 0; i < records.size(); ++i) {
    const TraceHeader& header = records[i].header;
    if (header.is_constrained == 0) rates[header.conversation] = right_share(firsts[i]);
  }
  return rates;
}

bool is_of_kind(const Json& event, const char* key, const char* value) {
  const auto found = event.find(key);
  return found != event.end() && found->is_string() && *found == value;
}

// What the gate errs with begins anew (HeadKeeper::alarm, end_watch).
bool restarts_gate(const Json& event) {
  const auto proven = event.find("proven");
  return is_of_kind(event, "kind", "drift") ||
         (is_of_kind(event, "kind", "watch") && is_of_kind(event, "why", "gate") &&
          proven != event.end() && *proven == true);
}

// The store's memory.
std::vector<Json> events_before(const HeadStore& store) {
  Result<std::vector<Json>> events = store.read_events(kLookedBack);
  return events.ok() ? *std::move(events) : std::vector<Json>();
}

// Candidates that were tested since then.
int64_t judged_before(std::span<const Json> events) {
  int64_t judged = 0;
  for (const Json& event : events) {
    const auto alpha = event.find("alpha");
    const bool was_tested = alpha != event.end() && alpha->is_number() && *alpha > 0.0;
    if (is_of_kind(event, "kind", "verdict") && was_tested) ++judged;
    if (restarts_gate(event)) judged = 0;
  }
  return judged;
}

// Heads whose drafts were others than replay finds.
std::vector<int64_t> disagreed_before(std::span<const Json> events) {
  std::vector<int64_t> versions;
  for (const Json& event : events) {
    const auto version = event.find("version");
    if (is_of_kind(event, "kind", "disagreement") && version != event.end() &&
        version->is_number_integer()) {
      versions.push_back(version->get<int64_t>());
    }
  }
  return versions;
}

int64_t bytes_of(const std::deque<std::shared_ptr<const KeptRecord>>& records) {
  int64_t bytes = 0;
  for (const auto& one : records) bytes += one->bytes();
  return bytes;
}

// The oldest go where there are more than `most`, or than memory is given to them.
void bound(std::deque<std::shared_ptr<const KeptRecord>>& records, size_t most) {
  while (records.size() > 1 && (records.size() > most || bytes_of(records) > kMostBytes)) {
    records.pop_front();
  }
}

}  // namespace

HeadKeeper::HeadKeeper(HeadStore& store, HeadLoader& loader, HeadKeeperActions actions,
                       uint64_t seed, bool recalls)
    : HeadKeeper(store, loader, std::move(actions), seed, recalls, events_before(store)) {}

HeadKeeper::HeadKeeper(HeadStore& store, HeadLoader& loader, HeadKeeperActions actions,
                       uint64_t seed, bool recalls, std::span<const Json> events_before)
    : store_(store),
      loader_(loader),
      actions_(std::move(actions)),
      recalls_(recalls),
      gate_(seed, judged_before(events_before)),
      disagreed_(disagreed_before(events_before)) {}

void HeadKeeper::tell(Json event) {
  event["time"] = static_cast<double>(std::time(nullptr));
  event["records"] = num_records_;
  event["head"] = current_.version;
  // What cannot be written is told all the same.
  static_cast<void>(store_.append_event(event));
  actions_.tell(event);
}

void HeadKeeper::tell_error(const Error& error) {
  // A full disk is told by everybody, again and again.
  const double now = now_seconds();
  if (error.message == last_error_ && now - last_error_time_ < kErrorPause) return;
  last_error_ = error.message;
  last_error_time_ = now;
  tell({{"kind", "error"}, {"error", error.message}});
}

void HeadKeeper::begin() {
  begin_with_reference();
  const Result<int64_t> version = store_.current();
  if (!version.ok()) return tell_error(version.error());
  stored_current_ = *version;
  if (*version == 0) return;
  Result<Loaded> loaded = load(*version);
  if (!loaded.ok()) return tell_error(loaded.error());
  make_current(*std::move(loaded), "start");
}

// Where it cannot be used, the head that drafts takes its place.
void HeadKeeper::begin_with_reference() {
  const Result<int64_t> version = store_.reference();
  if (!version.ok()) return tell_error(version.error());
  Result<Loaded> loaded = load(*version);
  if (!loaded.ok()) return tell_error(loaded.error());
  reference_ = *std::move(loaded);
}

// --- What comes in.

void HeadKeeper::add(std::vector<uint64_t> words) {
  auto kept = std::make_shared<KeptRecord>();
  kept->words = std::move(words);
  const Result<TraceRecord> record = parse_trace(
      {reinterpret_cast<const uint8_t*>(kept->words.data()), static_cast<size_t>(kept->bytes())});
  if (!record.ok()) return tell_error(record.error());
  ++num_records_;
  kept->view = *record;
  kept->conversation_began = conversation_began(record->header.conversation);
  traffic_.add(*record);
  unread_.push_back(std::move(kept));
  // Who is behind by that much learns nothing from the oldest any more.
  bound(unread_, kMostUnread);
}

int64_t HeadKeeper::conversation_began(uint64_t conversation) {
  if (began_.size() >= kMostConversations) {
    const int64_t middle = num_records_ - static_cast<int64_t>(kMostConversations) / 2;
    std::erase_if(began_, [&](const auto& one) { return one.second < middle; });
  }
  return began_.emplace(conversation, num_records_).first->second;
}

void HeadKeeper::offer(HeadCandidate candidate) {
  if (waiting_) remove_folder(waiting_->folder);
  waiting_ = std::move(candidate);
  waiting_since_ = num_records_;
}

bool HeadKeeper::work(bool flush) {
  cost_ = actions_.cost();
  if (unread_.size() >= kBatch || (flush && !unread_.empty())) {
    const auto end = unread_.begin() + static_cast<int64_t>(std::min(unread_.size(), kBatch));
    const KeptRecords batch(unread_.begin(), end);
    unread_.erase(unread_.begin(), end);
    look_at(batch);
    return true;
  }
  if (waiting_ && !trial_) {
    begin_trial();
    return true;
  }
  // A newer candidate is likelier to be good than one that has not shown it yet.
  if (waiting_ && trial_->looks().taken > 0) {
    judge(/*is_last=*/true);
    return true;
  }
  if (!trial_) return false;
  const int64_t before = trial_->num_conversations();
  go_on_with_trial();
  return !trial_ || trial_->num_conversations() > before;
}

// --- What is made of new records.

void HeadKeeper::look_at(const KeptRecords& batch) {
  ++num_batches_;
  keep(batch);
  const std::vector<TraceRecord> views = views_of(batch);
  const int64_t version = current_.version;
  const int64_t alarms = alarms_;
  if (current_.head != nullptr) look_at_firsts(views);
  // What a swap or an alarm has begun is not measured on what led to it.
  if (current_.version != version || alarms_ != alarms) return;
  const bool is_asked = trial_ || watch_ || num_batches_ % kLookEvery == 0;
  const std::vector<AnswerScore> scores =
      is_asked ? score_current(views) : std::vector<AnswerScore>();
  if (watch_) add_to_watch(views, scores);
  if (current_.version != version || !trial_) return;
  trial_->add(batch, scores, cost_);
  judge_if_due();
}

void HeadKeeper::keep(const KeptRecords& batch) {
  for (const auto& kept : batch) {
    recent_.push_back(kept);
    bound(recent_, kRecent);
    if (!is_held_out(kept->view.header.conversation)) continue;
    ++num_held_out_;
    held_out_.push_back(kept);
    bound(held_out_, kMostHeldOut);
  }
}

// Empty without a head.
std::vector<AnswerScore> HeadKeeper::score_current(std::span<const TraceRecord> views) {
  if (current_.head == nullptr) return {};
  std::vector<AnswerScore> scores = current_.head->score(views, cost_);
  AnswerScore sum;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (views[i].header.is_constrained == 0) forerun::add(sum, scores[i]);
  }
  if (sum.rounds > 0) {
    acceptance_length_ += kShownWeight * (acceptance_length(sum) - acceptance_length_);
    speedup_ += kShownWeight * (speedup(sum) - speedup_);
  }
  return scores;
}

void HeadKeeper::look_at_firsts(std::span<const TraceRecord> views) {
  const auto of_head = current_.head->score_firsts(views);
  const auto of_reference = has_other_reference() ? reference_.head->score_firsts(views) : of_head;
  for (size_t i = 0; i < views.size(); ++i) {
    agreement_.add(views[i], current_.version, of_head[i]);
  }
  const int64_t version = current_.version;
  check_agreement();
  if (current_.version != version) return;
  const Rates rates = rates_of(views, of_reference);
  for (const auto& [conversation, rate] : rates_of(views, of_head)) {
    const auto found = change_point_.observe(rate, rates.at(conversation));
    if (found) return alarm(*found);
  }
}

void HeadKeeper::check_agreement() {
  const auto verdict = agreement_.verdict();
  if (!verdict || verdict->agrees) return;
  tell({{"kind", "disagreement"},
        {"version", current_.version},
        {"live", verdict->living},
        {"replayed", verdict->replayed}});
  ++swaps_.rolled_back;
  disagreed_.push_back(current_.version);
  // What is watched goes back to what it is watched against, which has been judged.
  const Status status =
      watch_ ? activate(watch_->other.version, "rollback") : roll_back("rollback");
  if (status.ok()) return;
  tell_error(status.error());
  static_cast<void>(activate(0, "rollback"));
}

// --- A candidate, from its coming to the verdict.

void HeadKeeper::begin_trial() {
  HeadCandidate candidate = *std::exchange(waiting_, std::nullopt);
  // Out of the reach of a trainer that removes its older ones.
  const std::string taken = candidate.folder + kOnTrial;
  std::error_code failure;
  remove_folder(taken);
  fs::rename(candidate.folder, taken, failure);
  if (!failure) candidate.folder = taken;
  Result<std::shared_ptr<ScoredHead>> head = loader_.load(candidate.folder);
  if (!head.ok()) {
    ++verdicts_.refused;
    tell({{"kind", "verdict"},
          {"step", candidate.step},
          {"passed", false},
          {"conversations", 0},
          {"reason", head.error().message}});
    return remove_folder(candidate.folder);
  }
  // Not on what it is judged by.
  const auto newest = static_cast<int64_t>(std::min(recent_.size(), kBatch));
  if (newest > 0) (*head)->tune(views_of({recent_.end() - newest, recent_.end()}), cost_);
  trial_.emplace(std::move(candidate), *std::move(head), waiting_since_);
  trial_->restart(held_out_);
}

void HeadKeeper::go_on_with_trial() {
  const KeptRecords records = trial_->take(kBatch);
  if (records.empty()) return;
  trial_->add(records, score_current(views_of(records)), cost_);
  judge_if_due();
}

void HeadKeeper::judge_if_due() {
  if (trial_->num_conversations() >= trial_->looks().due()) judge(/*is_last=*/false);
}

void HeadKeeper::judge(bool is_last) {
  const GateVerdict verdict = trial_->judge(gate_, is_last);
  if (verdict.is_open) return;
  const HeadTrial trial = *std::exchange(trial_, std::nullopt);
  tell({{"kind", "verdict"},
        {"step", trial.candidate().step},
        {"passed", verdict.passed},
        {"mean", verdict.mean},
        {"bound", verdict.bound},
        {"alpha", verdict.alpha},
        {"conversations", verdict.num_conversations},
        {"reason", verdict.reason},
        {"acceptance_length", acceptance_length(trial.sum())},
        {"incumbent_acceptance_length", acceptance_length(trial.incumbent_sum())},
        {"trained_tokens", trial.candidate().trained_tokens}});
  note_judged(trial, verdict.passed);
  if (verdict.passed) return pass(trial, verdict);
  ++verdicts_.failed;
  remove_folder(trial.candidate().folder);
}

void HeadKeeper::note_judged(const HeadTrial& trial, bool passed) {
  const double tokens = trial.head()->tokens_a_round();
  if (tokens == 0.0) return;
  if (judged_.size() == kMostJudged) judged_.erase(judged_.begin());
  judged_.push_back({static_cast<double>(trial.candidate().trained_tokens), tokens, passed});
}

LearnedHeads HeadKeeper::learned() const {
  LearnedHeads learned = {judged_, std::nullopt, traffic_moves_};
  const double current = current_.head == nullptr ? 0.0 : current_.head->tokens_a_round();
  if (current > 0.0) learned.current = current;
  return learned;
}

void HeadKeeper::pass(const HeadTrial& trial, const GateVerdict& verdict) {
  ++verdicts_.passed;
  const HeadCandidate& candidate = trial.candidate();
  HeadEntry entry;
  entry.parent = current_.version;
  entry.vocabulary = candidate.vocabulary;
  entry.created_s = std::time(nullptr);
  entry.trained_tokens = candidate.trained_tokens;
  entry.first_conversation = candidate.first_record;
  entry.last_conversation = candidate.last_record;
  entry.weights = store_.weights();
  entry.metrics = {{"acceptance_length", acceptance_length(trial.sum())},
                   {"log_speedup", verdict.mean},
                   {"log_speedup_bound", verdict.bound},
                   {"step", static_cast<double>(candidate.step)}};
  entry.traffic = traffic_.values();
  const Result<int64_t> version = store_.publish(candidate.folder, std::move(entry));
  if (!version.ok()) {
    tell_error(version.error());
    return remove_folder(candidate.folder);
  }
  tell({{"kind", "published"},
        {"version", *version},
        {"parent", current_.version},
        {"vocabulary", candidate.vocabulary},
        {"trained_tokens", candidate.trained_tokens}});
  // A new one that was still watched has proven nothing: what came before it is what to go back to.
  const bool was_new = watch_ && watch_->why != Watch::Why::kDrift;
  const Loaded before = was_new ? watch_->other : current_;
  const std::vector<int64_t> pinned = {reference_.version, current_.version, before.version};
  static_cast<void>(store_.remove_old(kKeptHeads, pinned));
  make_current({*version, trial.head()}, "gate");
  acceptance_length_ = acceptance_length(trial.sum());
  speedup_ = speedup(trial.sum());
  watch_.emplace(before, Watch::Why::kGate);
}

// What was trained from a head that is no longer the one to go on from.
void HeadKeeper::drop_candidates() {
  if (waiting_) remove_folder(waiting_->folder);
  if (trial_) remove_folder(trial_->candidate().folder);
  waiting_.reset();
  trial_.reset();
}

// --- A head that is watched, until it stays or goes.

const char* HeadKeeper::Watch::reason() const {
  switch (why) {
    case Why::kGate:
      return "gate";
    case Why::kRecall:
      return "recall";
    case Why::kDrift:
      return "drift";
  }
  return "";
}

void HeadKeeper::add_to_watch(std::span<const TraceRecord> views,
                              std::span<const AnswerScore> current) {
  if (current.empty()) return;
  std::vector<AnswerScore> other;
  if (watch_->other.head != nullptr) other = watch_->other.head->score(views, cost_);
  std::map<uint64_t, PairedTime> times;  // by conversation
  for (size_t i = 0; i < current.size(); ++i) {
    const TraceHeader& header = views[i].header;
    if (current[i].rounds == 0 || header.is_constrained != 0) continue;
    PairedTime& time = times[header.conversation];
    time.incumbent_s += other.empty() ? current[i].plain_seconds : other[i].seconds;
    time.candidate_s += current[i].seconds;
  }
  for (const auto& [conversation, time] : times) {
    const double gain = std::log(time.incumbent_s / time.candidate_s);
    const WatchVerdict verdict = watch_->test.observe(gain);
    if (verdict == WatchVerdict::kRollBack) return end_watch(/*keeps=*/false);
    const bool is_long = watch_->test.num_conversations() >= kLongestWatch;
    if (verdict == WatchVerdict::kKeep || is_long) return end_watch(/*keeps=*/true);
  }
}

void HeadKeeper::end_watch(bool keeps) {
  const Watch watch = *std::exchange(watch_, std::nullopt);
  const bool is_proven = watch.test.verdict() == WatchVerdict::kKeep;
  tell({{"kind", "watch"},
        {"version", current_.version},
        {"against", watch.other.version},
        {"why", watch.reason()},
        {"verdict", keeps ? "keep" : "roll_back"},
        {"proven", is_proven},
        {"conversations", watch.test.num_conversations()}});
  const bool was_new = watch.why != Watch::Why::kDrift;
  if (keeps) {
    swaps_.kept += was_new ? 1 : 0;
    // A second test has said what the gate did: what the next candidates may err with is not used
    // up by those before.
    if (is_proven && watch.why == Watch::Why::kGate) gate_.reset();
    return;
  }
  ++(was_new ? swaps_.rolled_back : swaps_.recalled);
  make_current(watch.other, was_new ? "rollback" : "recall");
  go_on_from_current();
}

// --- Which head drafts.

Result<HeadKeeper::Loaded> HeadKeeper::load(int64_t version) {
  if (version == 0) return Loaded();
  for (const Loaded& one : resident_) {
    if (one.version == version) return one;
  }
  if (reference_.version == version) return reference_;
  const Result<HeadEntry> entry = store_.entry(version);
  if (!entry.ok()) return entry.error();
  Result<std::shared_ptr<ScoredHead>> head = loader_.load(store_.head_folder(version));
  if (!head.ok()) return head.error();
  return Loaded{version, *std::move(head)};
}

void HeadKeeper::make_current(Loaded next, const char* why) {
  const int64_t previous = current_.version;
  if (Status status = store_.activate(next.version); status.ok()) {
    stored_current_ = next.version;
  } else {
    tell_error(status.error());
  }
  // What was measured against the other one says nothing any more.
  watch_.reset();
  agreement_ = {};
  if (trial_) trial_->restart(held_out_);
  std::erase_if(resident_, [&](const Loaded& one) { return one.version == next.version; });
  if (next.head != nullptr) resident_.push_front(next);
  if (resident_.size() > kMostResident) resident_.pop_back();
  current_ = std::move(next);
  if (reference_.head == nullptr && current_.head != nullptr) {
    reference_ = current_;
    if (Status status = store_.set_reference(current_.version); !status.ok()) {
      tell_error(status.error());
    }
  }
  const Result<HeadEntry> entry = store_.entry(current_.version);
  vocabulary_ = entry.ok() ? entry->vocabulary : 0;
  acceptance_length_ = speedup_ = 1.0;
  ++swaps_.made;
  actions_.draft(current_.version, current_.head);
  tell(
      {{"kind", "activated"}, {"version", current_.version}, {"previous", previous}, {"why", why}});
  // A change of traffic soon after a swap is one against what came before it. Who is swapped in
  // does not wait for that to be computed.
  change_point_.head_swapped(rates_of_late());
}

// What the current head's first drafts come to, by conversation.
std::vector<double> HeadKeeper::rates_of_late() const {
  if (current_.head == nullptr) return {};
  const std::vector<TraceRecord> views = views_of(KeptRecords(recent_.begin(), recent_.end()));
  const Rates rates = rates_of(views, current_.head->score_firsts(views));
  std::vector<double> values;
  values.reserve(rates.size());
  for (const auto& [conversation, rate] : rates) values.push_back(rate);
  return values;
}

// Somebody or something has chosen another line: the trainer follows.
void HeadKeeper::go_on_from_current() {
  drop_candidates();
  if (current_.version != 0) actions_.go_on_from(store_.head_folder(current_.version));
}

Status HeadKeeper::activate(int64_t version, const char* why) {
  Result<Loaded> loaded = load(version);
  if (!loaded.ok()) return loaded.error();
  make_current(*std::move(loaded), why);
  go_on_from_current();
  return {};
}

Status HeadKeeper::roll_back(const char* why) {
  const Result<HeadEntry> entry = store_.entry(current_.version);
  const int64_t parent = entry.ok() ? entry->parent : 0;
  return activate(store_.entry(parent).ok() ? parent : 0, why);
}

void HeadKeeper::follow_store() {
  const Result<int64_t> version = store_.current();
  // Only a change is somebody's wish: what could not be written here is none.
  if (!version.ok() || *version == stored_current_) return;
  stored_current_ = *version;
  if (*version == current_.version) return;
  if (Status status = activate(*version, "user"); !status.ok()) tell_error(status.error());
}

// --- Changed traffic.

void HeadKeeper::alarm(const ChangePoint::Alarm& found) {
  ++alarms_;
  const bool is_traffic = found.kind == ChangePoint::Kind::kTraffic;
  tell({{"kind", "drift"},
        {"of", is_traffic ? "traffic" : "head"},
        {"before", found.before},
        {"after", found.after},
        {"conversations", found.num_conversations}});
  // What was measured on the old traffic says little of the new. Where only the head's rate has
  // moved that is so as well: a reference that never saw either may draft both as badly.
  gate_.reset();
  judged_.clear();
  ++traffic_moves_;
  held_out_.clear();
  bound(recent_, std::max(static_cast<size_t>(found.num_conversations), kBatch / 2));
  if (trial_) trial_->restart(held_out_);
  if (!recalls_) return;
  std::optional<Loaded> stay_against;
  if (watch_) {
    stay_against = watch_->other;
    end_watch(/*keeps=*/true);
  }
  if (has_other_reference() && may_come_back(reference_.version)) stay_against = reference_;
  recall(std::move(stay_against));
}

// Of one whose drafts are others than replay finds, replay says nothing.
bool HeadKeeper::may_come_back(int64_t version) const {
  return version != current_.version && std::ranges::find(disagreed_, version) == disagreed_.end();
}

// Heads of before that may suit the traffic: the reference, which is at hand, then the likeliest.
std::vector<int64_t> HeadKeeper::worth_recalling() const {
  std::vector<int64_t> found;
  if (has_other_reference() && may_come_back(reference_.version)) {
    found.push_back(reference_.version);
  }
  const size_t most = found.size() + kNearest;
  const Result<std::vector<HeadEntry>> entries = store_.list();
  if (!entries.ok()) return found;
  std::vector<std::pair<double, int64_t>> by_likeness;
  for (const HeadEntry& entry : *entries) {
    by_likeness.emplace_back(-likeness(entry.traffic, traffic_.values()), entry.version);
  }
  std::ranges::sort(by_likeness);
  for (const auto& [unlikeness, version] : by_likeness) {
    if (found.size() == most) break;
    const bool is_new = std::ranges::find(found, version) == found.end();
    if (may_come_back(version) && is_new) found.push_back(version);
  }
  return found;
}

// What is better than the current head on what came since the traffic changed drafts at once, and
// what is better still once that is known: the best is watched against the second best. Where the
// current one stays, it is watched against `stay_against`, if there is such a one.
void HeadKeeper::recall(std::optional<Loaded> stay_against) {
  std::vector<TraceRecord> views = views_of({recent_.begin(), recent_.end()});
  traffic_ = {};
  for (const TraceRecord& view : views) traffic_.add(view);
  std::erase_if(views, [](const TraceRecord& view) { return view.header.is_constrained != 0; });
  if (views.empty()) return;
  std::optional<Loaded> second_best;
  AnswerScore best = current_.head->tune(views, cost_);
  Json scores = Json::array(
      {{{"version", current_.version}, {"acceptance_length", acceptance_length(best)}}});
  for (const int64_t version : worth_recalling()) {
    Result<Loaded> loaded = load(version);
    if (!loaded.ok()) continue;
    const AnswerScore its = loaded->head->tune(views, cost_);
    scores.push_back({{"version", version}, {"acceptance_length", acceptance_length(its)}});
    const double gain = version == reference_.version ? kLeastReferenceGain : kLeastRecallGain;
    if (its.rounds == 0 || its.seconds >= best.seconds * (1.0 - gain)) continue;
    best = its;
    second_best = current_;
    make_current(*std::move(loaded), "recall");
  }
  tell({{"kind", "recall"},
        {"version", current_.version},
        {"recalled", second_best.has_value()},
        {"scores", scores}});
  if (second_best) {
    ++swaps_.recalled;
    go_on_from_current();
    watch_.emplace(*std::move(second_best), Watch::Why::kRecall);
  } else if (stay_against) {
    watch_.emplace(*std::move(stay_against), Watch::Why::kDrift);
  }
}

void HeadKeeper::tell_status(LearningStatus& status) const {
  status.records.held_out = num_held_out_;
  status.head_version = current_.version;
  status.vocabulary = vocabulary_;
  status.acceptance_length = acceptance_length_;
  status.estimated_speedup = speedup_;
  status.verdicts = verdicts_;
  status.swaps = swaps_;
  status.alarms = alarms_;
}

}  // namespace forerun
