#include "online/head_keeper.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <numeric>
#include <utility>

#include "base/clock.h"
#include "tensor/float16.h"

namespace forerun {
namespace {

// Where nothing else asks for the current head's times, so many batches go by between two looks.
constexpr int64_t kLookEvery = 4;
// What is shown of the current head: the weight of a new batch.
constexpr double kShownWeight = 0.3;
// Of the traffic's signature: that of a new conversation.
constexpr float kTrafficWeight = 1.0f / 64.0f;
// Replay is token-exact: more than this is no chance (architecture, "replay and reality").
constexpr int64_t kLeastPlaces = 2000;
constexpr double kMostDifferent = 0.02;
// A head of before has to be better than the current one by this share of its time.
constexpr double kLeastRecallGain = 0.02;
constexpr size_t kNearest = 3;
constexpr size_t kMostResident = 3;
constexpr int64_t kKeptHeads = 32;
constexpr size_t kLookedBack = 1000;  // events

double ratio(double numerator, double denominator, double otherwise) {
  return denominator > 0.0 ? numerator / denominator : otherwise;
}

double right_share(std::span<const FirstDraft> firsts) {
  int64_t drafted = 0;
  int64_t right = 0;
  for (const FirstDraft one : firsts) {
    drafted += one != FirstDraft::kNone ? 1 : 0;
    right += one == FirstDraft::kRight ? 1 : 0;
  }
  return ratio(static_cast<double>(right), static_cast<double>(drafted), -1.0);
}

void add(AnswerScore& sum, const AnswerScore& one) {
  sum.tokens += one.tokens;
  sum.rounds += one.rounds;
  sum.seconds += one.seconds;
  sum.plain_seconds += one.plain_seconds;
}

double acceptance_length(const AnswerScore& score) {
  return ratio(static_cast<double>(score.tokens), static_cast<double>(score.rounds), 1.0);
}

double cosine(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size() || a.empty()) return -1.0;
  double product = 0.0;
  double of_a = 0.0;
  double of_b = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    product += double{a[i]} * b[i];
    of_a += double{a[i]} * a[i];
    of_b += double{b[i]} * b[i];
  }
  return ratio(product, std::sqrt(of_a * of_b), -1.0);
}

// Candidates that were tested since traffic changed last, by the store's memory.
int64_t judged_before(const HeadStore& store) {
  const Result<std::vector<Json>> events = store.read_events(kLookedBack);
  if (!events.ok()) return 0;
  int64_t judged = 0;
  for (const Json& event : *events) {
    const std::string kind = event.value("kind", "");
    if (kind == "verdict" && event.value("conversations", 0) > 0) ++judged;
    if (kind == "drift") judged = 0;
  }
  return judged;
}

template <typename Records>
std::vector<TraceRecord> views_of(const Records& records) {
  std::vector<TraceRecord> views;
  for (const auto& one : records) views.push_back(one->record);
  return views;
}

void remove_folder(const std::string& folder) {
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

}  // namespace

HeadKeeper::HeadKeeper(HeadStore& store, HeadLoader& loader, World world, uint64_t seed)
    : store_(store), loader_(loader), world_(std::move(world)), gate_(seed, judged_before(store)) {}

HeadKeeper::~HeadKeeper() = default;

void HeadKeeper::tell(Json event) {
  event["time"] = static_cast<double>(std::time(nullptr));
  event["records"] = num_records_;
  event["head"] = current_.version;
  // What cannot be written is told all the same.
  static_cast<void>(store_.append_event(event));
  world_.tell(event);
}

void HeadKeeper::begin() {
  const Result<int64_t> version = store_.current();
  if (!version.ok()) return tell({{"kind", "error"}, {"error", version.error().message}});
  if (*version == 0) return;
  Result<Loaded> loaded = load(*version);
  if (!loaded.ok()) return tell({{"kind", "error"}, {"error", loaded.error().message}});
  make_current(*std::move(loaded), "start");
}

Result<HeadKeeper::Loaded> HeadKeeper::load(int64_t version) {
  if (version == 0) return Loaded();
  for (const Loaded& one : resident_) {
    if (one.version == version) return one;
  }
  const Result<HeadEntry> entry = store_.entry(version);
  if (!entry.ok()) return entry.error();
  Result<std::shared_ptr<ScoredHead>> head = loader_.load(store_.head_folder(version));
  if (!head.ok()) return head.error();
  return Loaded{version, *std::move(head)};
}

// --- What comes in.

void HeadKeeper::add(std::vector<uint64_t> words) {
  auto kept = std::make_shared<Kept>();
  kept->words = std::move(words);
  const Result<TraceRecord> record =
      parse_trace({reinterpret_cast<const uint8_t*>(kept->words.data()),
                   kept->words.size() * sizeof(uint64_t)});
  if (!record.ok()) return tell({{"kind", "error"}, {"error", record.error().message}});
  kept->record = *record;
  ++num_records_;
  add_traffic(*record);
  unread_.push_back(std::move(kept));
  // Who is behind by that much learns nothing from the oldest any more.
  if (unread_.size() > 4 * kBatch) unread_.pop_front();
}

// By the state that the prompt ends with.
void HeadKeeper::add_traffic(const TraceRecord& record) {
  const TraceHeader& header = record.header;
  const int64_t slot = header.prompt_tokens - 1 - header.first_state;
  if (slot < 0 || slot >= header.num_states) return;
  const std::span<const uint16_t> state = record.finals.subspan(
      static_cast<size_t>(slot * header.d_model), static_cast<size_t>(header.d_model));
  const bool is_first = traffic_.size() != state.size();
  if (is_first) traffic_.assign(state.size(), 0.0f);
  for (size_t i = 0; i < state.size(); ++i) {
    const float weight = is_first ? 1.0f : kTrafficWeight;
    traffic_[i] += weight * (bf16_to_f32(state[i]) - traffic_[i]);
  }
}

void HeadKeeper::offer(HeadCandidate candidate) {
  if (waiting_) remove_folder(waiting_->folder);
  waiting_ = std::move(candidate);
}

bool HeadKeeper::work(bool flush) {
  if (unread_.size() >= kBatch || (flush && !unread_.empty())) {
    const auto end = unread_.begin() + static_cast<int64_t>(std::min(unread_.size(), kBatch));
    const Records batch(unread_.begin(), end);
    unread_.erase(unread_.begin(), end);
    look_at(batch);
    return true;
  }
  if (trial_ && !trial_->todo.empty()) {
    go_on_with_trial();
    return true;
  }
  if (waiting_ && !trial_) {
    begin_trial();
    return true;
  }
  return false;
}

// --- What is made of new records.

void HeadKeeper::look_at(const Records& batch) {
  ++num_batches_;
  keep(batch);
  const std::vector<TraceRecord> views = views_of(batch);
  if (current_.head != nullptr) look_at_firsts(batch, views);
  const bool is_asked = trial_ || watch_ || num_batches_ % kLookEvery == 0;
  std::vector<AnswerScore> scores;
  if (is_asked && current_.head != nullptr) {
    scores = score_current(views);
    note_current(scores);
  }
  if (watch_) add_to_watch(views, scores);
  if (trial_) add_to_trial(views, scores);
}

void HeadKeeper::keep(const Records& batch) {
  for (const auto& kept : batch) {
    recent_.push_back(kept);
    if (recent_.size() > kRecent) recent_.pop_front();
    if (!is_held_out(kept->record.header.conversation)) continue;
    ++num_held_out_;
    held_out_.push_back(kept);
    if (held_out_.size() > kMostHeldOut) held_out_.pop_front();
  }
}

std::vector<AnswerScore> HeadKeeper::score_current(std::span<const TraceRecord> views) {
  return current_.head == nullptr ? std::vector<AnswerScore>() : current_.head->score(views);
}

void HeadKeeper::note_current(const std::vector<AnswerScore>& scores) {
  AnswerScore sum;
  for (const AnswerScore& one : scores) forerun::add(sum, one);
  if (sum.rounds == 0) return;
  acceptance_length_ += kShownWeight * (acceptance_length(sum) - acceptance_length_);
  speedup_ += kShownWeight * (ratio(sum.plain_seconds, sum.seconds, 1.0) - speedup_);
}

void HeadKeeper::look_at_firsts(const Records& batch, std::span<const TraceRecord> views) {
  const auto of_head = current_.head->score_firsts(views);
  const bool has_other = reference_.head != nullptr && reference_.version != current_.version;
  const auto of_reference = has_other ? reference_.head->score_firsts(views) : of_head;
  std::vector<double> head;
  std::vector<double> reference;
  for (size_t i = 0; i < batch.size(); ++i) {
    compare_with_living(*batch[i], of_head[i]);
    head.push_back(right_share(of_head[i]));
    reference.push_back(right_share(of_reference[i]));
  }
  check_agreement();
  observe_drift(head, reference);
}

void HeadKeeper::compare_with_living(const Kept& kept, std::span<const FirstDraft> replayed) {
  const TraceRecord& record = kept.record;
  const bool is_comparable = record.header.head == static_cast<uint64_t>(current_.version) &&
                             record.header.first_state == 0;
  if (!is_comparable) return;
  for (size_t i = 0; i < record.first_drafts.size(); ++i) {
    const FirstDraft living = record.first_drafts[i];
    if (living == FirstDraft::kNone || replayed[i] == FirstDraft::kNone) continue;
    ++agreement_.places;
    agreement_.different += living != replayed[i] ? 1 : 0;
    agreement_.living_right += living == FirstDraft::kRight ? 1 : 0;
    agreement_.replayed_right += replayed[i] == FirstDraft::kRight ? 1 : 0;
  }
}

// What drafts while it serves has to be what was judged: else a file, its repacking or the keys and
// values of the head are broken.
void HeadKeeper::check_agreement() {
  if (agreement_.places < kLeastPlaces) return;
  const Agreement found = std::exchange(agreement_, {});
  const auto places = static_cast<double>(found.places);
  if (static_cast<double>(found.different) <= kMostDifferent * places) return;
  tell({{"kind", "disagreement"},
        {"version", current_.version},
        {"live", static_cast<double>(found.living_right) / places},
        {"replayed", static_cast<double>(found.replayed_right) / places}});
  ++swaps_.rolled_back;
  if (Status status = roll_back("rollback"); !status.ok()) {
    tell({{"kind", "error"}, {"error", status.error().message}});
  }
}

void HeadKeeper::observe_drift(std::span<const double> head, std::span<const double> reference) {
  for (size_t i = 0; i < head.size(); ++i) {
    const auto found = change_point_.observe(head[i], reference[i]);
    if (found) return alarm(*found);
  }
}

// --- A candidate, from its coming to the verdict.

void HeadKeeper::begin_trial() {
  HeadCandidate candidate = *std::exchange(waiting_, std::nullopt);
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
  trial_.emplace();
  trial_->candidate = std::move(candidate);
  trial_->head = *std::move(head);
  trial_->todo.assign(held_out_.begin(), held_out_.end());
  // Newest first: they are most like what comes.
  std::ranges::reverse(trial_->todo);
}

void HeadKeeper::go_on_with_trial() {
  std::vector<std::shared_ptr<const Kept>>& todo = trial_->todo;
  const auto end = todo.begin() + static_cast<int64_t>(std::min(todo.size(), kBatch));
  const std::vector<TraceRecord> views = views_of(Records(todo.begin(), end));
  add_to_trial(views, score_current(views));
  if (trial_) todo.erase(todo.begin(), end);
}

void HeadKeeper::add_to_trial(std::span<const TraceRecord> views,
                              const std::vector<AnswerScore>& incumbent) {
  const std::vector<AnswerScore> scores = trial_->head->score(views);
  for (size_t i = 0; i < scores.size(); ++i) {
    const AnswerScore& its = scores[i];
    if (its.rounds == 0) continue;
    AnswerScore before = {.tokens = its.tokens, .rounds = its.tokens};
    before.seconds = before.plain_seconds = its.plain_seconds;
    if (!incumbent.empty()) before = incumbent[i];
    trial_->times.push_back({.incumbent_s = before.seconds, .candidate_s = its.seconds});
    forerun::add(trial_->sum, its);
    forerun::add(trial_->incumbent_sum, before);
  }
  if (std::ssize(trial_->times) >= PairedGate::kLeastConversations) judge();
}

void HeadKeeper::judge() {
  const Trial trial = *std::exchange(trial_, std::nullopt);
  const GateVerdict verdict = gate_.judge(trial.times);
  tell({{"kind", "verdict"},
        {"step", trial.candidate.step},
        {"passed", verdict.passed},
        {"mean", verdict.mean},
        {"bound", verdict.bound},
        {"alpha", verdict.alpha},
        {"conversations", verdict.num_conversations},
        {"reason", verdict.reason},
        {"acceptance_length", acceptance_length(trial.sum)},
        {"incumbent_acceptance_length", acceptance_length(trial.incumbent_sum)},
        {"trained_tokens", trial.candidate.trained_tokens}});
  if (verdict.passed) {
    pass(trial, verdict);
  } else {
    ++verdicts_.failed;
    remove_folder(trial.candidate.folder);
  }
}

void HeadKeeper::pass(const Trial& trial, const GateVerdict& verdict) {
  ++verdicts_.passed;
  HeadEntry entry;
  entry.parent = current_.version;
  entry.created_s = std::time(nullptr);
  entry.weights = store_.weights();
  entry.vocabulary = trial.candidate.vocabulary;
  entry.trained_tokens = trial.candidate.trained_tokens;
  entry.first_conversation = trial.candidate.first_record;
  entry.last_conversation = trial.candidate.last_record;
  entry.metrics = {{"acceptance_length", acceptance_length(trial.sum)},
                   {"log_speedup", verdict.mean},
                   {"log_speedup_bound", verdict.bound},
                   {"step", static_cast<double>(trial.candidate.step)}};
  entry.traffic = traffic_;
  const Result<int64_t> version = store_.publish(trial.candidate.folder, std::move(entry));
  if (!version.ok()) return tell({{"kind", "error"}, {"error", version.error().message}});
  tell({{"kind", "published"},
        {"version", *version},
        {"parent", current_.version},
        {"vocabulary", trial.candidate.vocabulary},
        {"trained_tokens", trial.candidate.trained_tokens}});
  const std::vector<int64_t> pinned = {reference_.version, current_.version};
  static_cast<void>(store_.remove_old(kKeptHeads, pinned));
  const Loaded before = current_;
  if (watch_) end_watch("keep");
  acceptance_length_ = acceptance_length(trial.sum);
  speedup_ = ratio(trial.sum.plain_seconds, trial.sum.seconds, 1.0);
  make_current({*version, trial.head}, "gate");
  watch_.emplace().before = before;
}

// --- A new head, until it stays or goes.

void HeadKeeper::add_to_watch(std::span<const TraceRecord> views,
                              const std::vector<AnswerScore>& current) {
  std::vector<AnswerScore> before;
  if (watch_->before.head != nullptr) before = watch_->before.head->score(views);
  for (size_t i = 0; i < current.size(); ++i) {
    if (current[i].rounds == 0) continue;
    const double old_s = before.empty() ? current[i].plain_seconds : before[i].seconds;
    const WatchVerdict verdict = watch_->test.observe(std::log(old_s / current[i].seconds));
    if (verdict == WatchVerdict::kRollBack) return end_watch("roll_back");
    if (verdict == WatchVerdict::kKeep || watch_->test.num_conversations() >= kLongestWatch) {
      return end_watch("keep");
    }
  }
}

void HeadKeeper::end_watch(const char* verdict) {
  const Watch watch = *std::exchange(watch_, std::nullopt);
  const bool keeps = std::string_view(verdict) == "keep";
  tell({{"kind", "watch"},
        {"version", current_.version},
        {"verdict", verdict},
        {"conversations", watch.test.num_conversations()}});
  if (keeps) {
    ++swaps_.kept;
    return;
  }
  ++swaps_.rolled_back;
  make_current(watch.before, "rollback");
  if (watch.before.version != 0) world_.go_on_from(store_.head_folder(watch.before.version));
}

void HeadKeeper::make_current(Loaded next, const char* why) {
  const int64_t previous = current_.version;
  if (Status status = store_.activate(next.version); !status.ok()) {
    tell({{"kind", "error"}, {"error", status.error().message}});
  }
  watch_.reset();
  agreement_ = {};
  change_point_.head_swapped();
  std::erase_if(resident_, [&](const Loaded& one) { return one.version == next.version; });
  if (next.head != nullptr) resident_.push_front(next);
  if (resident_.size() > kMostResident) resident_.pop_back();
  current_ = std::move(next);
  if (reference_.head == nullptr) reference_ = current_;
  ++swaps_.made;
  if (current_.head == nullptr) acceptance_length_ = speedup_ = 1.0;
  const Result<HeadEntry> entry = store_.entry(current_.version);
  vocabulary_ = entry.ok() ? entry->vocabulary : 0;
  world_.draft(current_.version, current_.head);
  tell(
      {{"kind", "activated"}, {"version", current_.version}, {"previous", previous}, {"why", why}});
}

Status HeadKeeper::activate(int64_t version, const char* why) {
  Result<Loaded> loaded = load(version);
  if (!loaded.ok()) return loaded.error();
  make_current(*std::move(loaded), why);
  return {};
}

Status HeadKeeper::roll_back(const char* why) {
  const Result<int64_t> version = store_.previous();
  if (!version.ok()) return version.error();
  return activate(*version, why);
}

void HeadKeeper::follow_store() {
  const Result<int64_t> version = store_.current();
  if (!version.ok() || *version == current_.version) return;
  if (Status status = activate(*version, "user"); !status.ok()) {
    tell({{"kind", "error"}, {"error", status.error().message}});
  }
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
  if (watch_) end_watch("keep");
  if (!is_traffic) return;
  // What was measured on the old traffic says little of the new.
  gate_.reset();
  held_out_.clear();
  if (trial_) {
    trial_->times.clear();
    trial_->todo.clear();
    trial_->sum = trial_->incumbent_sum = {};
  }
  traffic_.clear();
  for (const auto& kept : recent_) add_traffic(kept->record);
  recall(static_cast<size_t>(found.num_conversations));
}

// Heads of before that may suit the traffic, the likeliest first.
std::vector<int64_t> HeadKeeper::worth_recalling() const {
  std::vector<int64_t> found;
  const Result<std::vector<HeadEntry>> entries = store_.list();
  if (!entries.ok()) return found;
  std::vector<std::pair<double, int64_t>> by_likeness;
  for (const HeadEntry& entry : *entries) {
    by_likeness.emplace_back(-cosine(entry.traffic, traffic_), entry.version);
  }
  std::ranges::sort(by_likeness);
  for (const auto& [likeness, version] : by_likeness) {
    if (found.size() == kNearest) break;
    if (version != current_.version) found.push_back(version);
  }
  const int64_t reference = reference_.version;
  const bool is_new = reference != 0 && reference != current_.version &&
                      std::ranges::find(found, reference) == found.end();
  if (is_new) found.push_back(reference);
  return found;
}

void HeadKeeper::recall(size_t num_changed) {
  const size_t count = std::min(recent_.size(), std::clamp(num_changed, kBatch / 2, kRecent));
  const auto first = recent_.end() - static_cast<int64_t>(count);
  const std::vector<TraceRecord> views = views_of(Records(first, recent_.end()));
  AnswerScore current;
  for (const AnswerScore& one : score_current(views)) forerun::add(current, one);
  double best_seconds = current.seconds * (1.0 - kLeastRecallGain);
  std::optional<Loaded> best;
  Json scores = Json::array();
  scores.push_back(
      {{"version", current_.version}, {"acceptance_length", acceptance_length(current)}});
  for (const int64_t version : worth_recalling()) {
    Result<Loaded> loaded = load(version);
    if (!loaded.ok()) continue;
    AnswerScore sum;
    for (const AnswerScore& one : loaded->head->score(views)) forerun::add(sum, one);
    scores.push_back({{"version", version}, {"acceptance_length", acceptance_length(sum)}});
    if (sum.rounds == 0 || sum.seconds >= best_seconds) continue;
    best_seconds = sum.seconds;
    best = *std::move(loaded);
  }
  if (!best) return;
  tell({{"kind", "recall"}, {"version", best->version}, {"scores", std::move(scores)}});
  ++swaps_.recalled;
  const std::string folder = store_.head_folder(best->version);
  make_current(*std::move(best), "recall");
  world_.go_on_from(folder);
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
