#include "online/learner.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/pacer.h"
#include "online/target_files.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

// Niceness, which the trainer inherits: behind all that answers anybody.
constexpr int kIdlePriority = 19;
constexpr int kReservedPriority = 5;
constexpr auto kPause = std::chrono::milliseconds(20);
// A few records are looked at where no more have come for so long.
constexpr double kFlushSeconds = 1.0;
// A trainer that keeps ending is started ever later.
constexpr double kFirstPause = 1.0;
constexpr double kLongestPause = 60.0;
constexpr double kGoodSeconds = 60.0;
constexpr double kEndSeconds = 20.0;
constexpr double kStatusSeconds = 0.5;
constexpr double kDroppedSeconds = 60.0;     // from one telling of them to the next
constexpr double kHeadParameterBytes = 2.0;  // bf16
// No record for so long: nothing to learn from.
constexpr double kQuietSeconds = 10.0;
// Of a new end: in the mean number of sequences that decode together.
constexpr double kSequencesWeight = 0.05;
// What drafting takes is looked at again after so much of the engine's time, where so much of that
// is drafting; and what is believed of it.
constexpr double kCompareSeconds = 2.0;
constexpr double kLeastDrafting = 0.02;
constexpr double kCostWeight = 0.3;
constexpr double kLeastDraftingCost = 0.5;
constexpr double kMostDraftingCost = 8.0;
constexpr const char* kEnded = "learning has ended with an error, which the log tells";

// The trainer's folder is one loop's: two would take each other's candidates away.
Result<FileDescriptor> lock_folder(const std::string& folder) {
  const std::string path = folder + "/trainer";
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return system_error("make", path);
  FileDescriptor lock(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock.is_open()) return system_error("open", path);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return Error{"another process learns in " + folder + "; --learn-dir names another folder"};
  }
  return lock;
}

// Trials that a process did not end; none goes on.
void remove_trials(const std::string& folder) {
  std::error_code ignored;
  for (fs::directory_iterator it(folder, ignored), end; it != end; it.increment(ignored)) {
    if (it->path().native().ends_with(HeadKeeper::kOnTrial)) remove_folder(it->path());
  }
}

std::vector<uint64_t> words_of(std::span<const uint8_t> block) {
  std::vector<uint64_t> words((block.size() + 7) / 8, 0);
  std::memcpy(words.data(), block.data(), block.size());
  return words;
}

}  // namespace

Result<std::unique_ptr<Learner>> Learner::create(LearnerOptions options, const Model& target,
                                                 const KernelTable& kernels,
                                                 EngineOptions& engine) {
  Result<HeadStore> store = HeadStore::open(options.folder, target.weights().fingerprint);
  if (!store.ok()) return store.error();
  Result<TraceRing> records = TraceRing::create(options.ring_bytes);
  if (!records.ok()) return records.error();
  Result<TraceRing> lessons = TraceRing::create(options.ring_bytes);
  if (!lessons.ok()) return lessons.error();
  Result<FileDescriptor> lock = lock_folder(options.folder);
  if (!lock.ok()) return lock.error();
  if (Status status = write_target(options.folder, target); !status.ok()) {
    return Error{status.error().message + "; --learn-dir names another folder"};
  }
  std::unique_ptr<Learner> learner(new Learner(std::move(options), target, kernels,
                                               *std::move(store), *std::move(lock),
                                               *std::move(records), *std::move(lessons)));
  engine.keep_finals = true;
  const LearnerOptions& own = learner->options_;
  engine.max_rejected_rows = own.keeps_branches ? own.max_positions : 0;
  engine.speculation.head_slot = true;
  if (own.spare_threads > 0) engine.smaller_team = own.engine_threads - own.spare_threads;
  engine.on_sequence_end = [made = learner.get()](const SequenceEnd& end) {
    made->on_sequence_end(end);
  };
  return learner;
}

Learner::Learner(LearnerOptions options, const Model& target, const KernelTable& kernels,
                 HeadStore store, FileDescriptor lock, TraceRing records, TraceRing lessons)
    : options_(std::move(options)),
      target_(target),
      weights_(target.weights().fingerprint),
      store_(std::move(store)),
      lock_(std::move(lock)),
      records_(std::move(records)),
      lessons_(std::move(lessons)),
      capture_(target.descriptor().d_model, weights_, records_,
               {.rate = options_.rate, .max_positions = options_.max_positions}),
      loader_(target, kernels) {}

Learner::~Learner() {
  end();
}

void Learner::start(Engine& engine) {
  engine_ = &engine;
  learn_steps();
  thread_ = std::thread([this] { run(); });
}

void Learner::end() {
  ending_ = true;
  if (thread_.joinable()) thread_.join();
}

// --- The engine's thread.

void Learner::on_sequence_end(const SequenceEnd& end) {
  capture_.record(end);
  if (engine_ == nullptr) return;
  const EngineStats stats = engine_->stats();
  // Who reads keeps it for an instant; the next end will tell.
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return;
  living_.capture = capture_.stats();
  const double recording = stats.keep_seconds + living_.capture.seconds;
  if (stats.step_seconds > 0.0) living_.capture_share = recording / stats.step_seconds;
  const auto running = static_cast<double>(stats.running);
  living_.cost.sequences += kSequencesWeight * (running - living_.cost.sequences);
  living_.swap_seconds = stats.head_swap_seconds;
  learn_steps();
  learn_cost(stats);
}

// Not what steps take now, which is other for sizes that are made than for those that are not.
void Learner::learn_steps() {
  living_.cost.step = engine_->average_cost();
  if (options_.spare_threads == 0) return;
  const int all = engine_->threads();
  living_.all_steps = engine_->average_cost(all);
  living_.smaller_steps = engine_->average_cost(all - options_.spare_threads);
}

// How much longer than by its size drafting takes, where steps take as long as they do now.
void Learner::learn_cost(const EngineStats& stats) {
  const Spent now = {stats.step_seconds, stats.timed_seconds, stats.speculation.model_seconds,
                     stats.speculation.model_timed_seconds};
  const double timed_drafting = now.timed_drafting - spent_.timed_drafting;
  const double timed_steps = now.timed_steps - spent_.timed_steps;
  if (timed_steps < kCompareSeconds) return;
  const Spent before = std::exchange(spent_, now);
  if (timed_drafting < kLeastDrafting * timed_steps) return;
  const double of_steps = (now.steps - before.steps) / timed_steps;
  const double of_drafting = (now.drafting - before.drafting) / timed_drafting;
  double& known = living_.cost.drafting;
  const double found = std::clamp(of_drafting / of_steps, kLeastDraftingCost, kMostDraftingCost);
  known += kCostWeight * (found - known);
}

// --- Anybody's.

LearningStatus Learner::status() const {
  const std::lock_guard lock(mutex_);
  LearningStatus status = status_;
  status.enabled = enabled_;
  status.records.kept = static_cast<int64_t>(records_.counts().published);
  status.records.dropped = num_dropped();
  status.records.opted_out = living_.capture.refused;
  status.records.left_out = living_.capture.left_out;
  status.capture_rate = living_.capture.rate;
  status.capture_share = living_.capture_share;
  status.swap_seconds = living_.swap_seconds;
  return status;
}

void Learner::set_enabled(bool enabled) {
  const std::lock_guard lock(mutex_);
  if (has_ended_ || enabled_.exchange(enabled) == enabled) return;
  commands_.emplace_back([this, enabled] {
    if (trainer_) trainer_->tell({{"command", enabled ? "resume" : "pause"}});
    keeper_->tell({{"kind", "learning"}, {"enabled", enabled}});
  });
}

Status Learner::activate(int64_t version) {
  if (has_ended_) return Error{kEnded};
  if (version != 0) {
    const Result<HeadEntry> entry = store_.entry(version);
    if (!entry.ok()) return entry.error();
  }
  const std::lock_guard lock(mutex_);
  commands_.emplace_back([this, version] {
    const Status status = keeper_->activate(version, "user");
    if (!status.ok()) keeper_->tell_error(status.error());
  });
  return {};
}

Status Learner::roll_back() {
  if (has_ended_) return Error{kEnded};
  const Result<int64_t> current = store_.current();
  if (!current.ok()) return current.error();
  if (*current == 0) return Error{"no head drafts that could be rolled back"};
  const std::lock_guard lock(mutex_);
  commands_.emplace_back([this] {
    const Status status = keeper_->roll_back("rollback");
    if (!status.ok()) keeper_->tell_error(status.error());
  });
  return {};
}

void Learner::listen(std::function<void(const Json&)> listener) {
  const std::lock_guard lock(listener_mutex_);
  listener_ = std::move(listener);
}

bool Learner::is_idle() const {
  return looked_at_.load() == static_cast<int64_t>(records_.counts().published);
}

DecodingCost Learner::decoding_cost() const {
  const std::lock_guard lock(mutex_);
  return living_.cost;
}

// --- The loop's thread.

HeadKeeperActions Learner::actions() {
  return {
      .draft = [this](int64_t version,
                      const std::shared_ptr<ScoredHead>& head) { let_draft(version, head); },
      .go_on_from = [this](const std::string& folder) { go_on_from(folder); },
      .tell = [this](const Json& event) { tell(event); },
      .cost = [this] { return decoding_cost(); },
  };
}

void Learner::let_draft(int64_t version, const std::shared_ptr<ScoredHead>& head) {
  // All heads come from loader_.
  const auto* replayed = static_cast<const ReplayedHead*>(head.get());
  Result<std::unique_ptr<ReadyHead>> ready =
      engine_->make_ready(replayed == nullptr ? nullptr : replayed->head(), version);
  if (!ready.ok()) return keeper_->tell_error(ready.error());
  engine_->offer_head(*std::move(ready));
}

void Learner::go_on_from(const std::string& folder) {
  begin_from_ = folder;
  if (trainer_) trainer_->tell({{"command", "begin_from"}, {"head", folder}});
}

void Learner::tell(const Json& event) {
  log(LogLevel::kInfo, "learning",
      {{"event", event.dump(-1, ' ', false, Json::error_handler_t::replace)}});
  // Who stops listening is not called any more when that returns.
  const std::lock_guard lock(listener_mutex_);
  if (listener_) listener_(event);
}

void Learner::run() {
  pthread_setname_np(pthread_self(), "forerun-learn");
  // On Linux of this thread alone; where it is refused, it works at the usual one.
  setpriority(PRIO_PROCESS, 0, options_.idle ? kIdlePriority : kReservedPriority);
  // Loads heads, and frees them.
  const Pacer pacer([this] { return engine_->is_busy() && !ending_; });
  try {
    remove_trials(options_.folder + "/trainer");
    keeper_.emplace(store_, loader_, actions(), weights_, options_.recalls);
    keeper_->begin();
    begin_sharing();
    loop();
  } catch (const std::exception& exception) {
    // Out of memory, above all. Who is served does not notice.
    log(LogLevel::kError, "learning has ended", {{"error", std::string(exception.what())}});
    const std::lock_guard lock(mutex_);
    has_ended_ = true;
    enabled_ = false;
    status_.trainer_up = false;
  }
  // Nobody else gives them back.
  if (share_) engine_->set_threads(engine_->threads());
  if (trainer_) trainer_->end(kEndSeconds);
  trainer_.reset();
  keeper_.reset();
}

void Learner::loop() {
  double status_due = 0.0;
  while (!ending_) {
    const double now = now_seconds();
    look_after_trainer(now);
    bool busy = obey();
    while (take_record()) busy = true;
    if (enabled_) busy = keeper_->work(now - record_time_ > kFlushSeconds) || busy;
    if (now >= status_due) {
      keeper_->follow_store();
      engine_->collect_heads();
      share_machine(now);
      tell_dropped(now);
      publish_status(now);
      status_due = now + kStatusSeconds;
    }
    if (!busy) std::this_thread::sleep_for(kPause);
  }
  // Whoever recorded to keep it keeps the last answers, too.
  while (options_.spill && take_record()) continue;
}

bool Learner::take_record() {
  const std::span<const uint8_t> block = records_.front();
  if (block.empty()) return false;
  if (options_.spill) spill(block);
  if (enabled_) {
    const Result<TraceRecord> record = parse_trace(block);
    if (record.ok() && !is_held_out(record->header.conversation)) {
      const int64_t answered = record->header.num_tokens - record->header.prompt_tokens;
      lesson_tokens_ += static_cast<double>(std::min(answered, record->header.num_states));
      teach(block);
    }
    keeper_->add(words_of(block));
  }
  records_.pop();
  record_time_ = now_seconds();
  ++looked_at_;
  return true;
}

void Learner::spill(std::span<const uint8_t> block) {
  const Status written = options_.spill->write(block);
  if (written.ok()) return;
  if (num_not_spilled_++ > 0) return;
  log(LogLevel::kWarning, "a trace was not written", {{"error", written.error().message}});
}

// What finds no room is not trained on; it counts as dropped.
void Learner::teach(std::span<const uint8_t> block) {
  if (!options_.trains) return;
  const auto room = lessons_.reserve(std::ssize(block));
  if (!room) return;
  std::memcpy(room->data(), block.data(), block.size());
  lessons_.publish();
}

bool Learner::obey() {
  std::vector<std::function<void()>> commands;
  {
    const std::lock_guard lock(mutex_);
    commands.swap(commands_);
  }
  for (const auto& command : commands) command();
  return !commands.empty();
}

void Learner::start_trainer(double now) {
  std::vector<std::string> arguments = {
      "learn", "--ring", "3", "--target", options_.folder, "--out", options_.folder + "/trainer"};
  arguments.insert(arguments.end(), options_.trainer_arguments.begin(),
                   options_.trainer_arguments.end());
  Result<TrainerProcess> started =
      TrainerProcess::start(options_.trainer, arguments, lessons_.descriptor());
  trainer_began_ = now;
  if (!started.ok()) {
    keeper_->tell({{"kind", "trainer"}, {"state", "ended"}, {"reason", started.error().message}});
    return;
  }
  trainer_.emplace(*std::move(started));
  ++made_.trainer_starts;
  if (!enabled_) trainer_->tell({{"command", "pause"}});
  if (!begin_from_.empty()) trainer_->tell({{"command", "begin_from"}, {"head", begin_from_}});
  if (share_) share_->trainer_began();
  if (share_ && share_->own_threads() > 0) tell_trainer_threads();
  keeper_->tell({{"kind", "trainer"}, {"state", "started"}});
}

void Learner::look_after_trainer(double now) {
  if (!options_.trains) return;
  if (trainer_) {
    for (const Json& told : trainer_->read()) hear(told);
    if (trainer_->is_running()) return;
    keeper_->tell({{"kind", "trainer"}, {"state", "ended"}, {"reason", trainer_->ending()}});
    trainer_.reset();
    const bool was_good = now - trainer_began_ > kGoodSeconds;
    trainer_pause_ =
        was_good ? kFirstPause : std::clamp(2.0 * trainer_pause_, kFirstPause, kLongestPause);
    trainer_due_ = now + trainer_pause_;
  }
  if (now < trainer_due_ || !enabled_) return;
  start_trainer(now);
  if (trainer_) return;
  trainer_pause_ = std::clamp(2.0 * trainer_pause_, kFirstPause, kLongestPause);
  trainer_due_ = now + trainer_pause_;
}

void Learner::hear(const Json& told) {
  try {
    const std::string event = told.value("event", "");
    if (event == "step") return hear_step(told);
    if (event == "ready" && !told.value("resumed", true) && begin_from_.empty()) {
      return keeper_->go_on_from_current();
    }
    if ((event == "begun" || event == "not_begun") && told.value("head", "") == begin_from_) {
      return begin_from_.clear();
    }
    if (event == "candidate") {
      // Made before the trainer heard that another line goes on.
      if (!begin_from_.empty()) return remove_folder(told.at("folder").get<std::string>());
      return keeper_->offer({.folder = told.at("folder").get<std::string>(),
                             .step = told.at("step").get<int64_t>(),
                             .trained_tokens = told.at("trained_tokens").get<int64_t>(),
                             .first_record = told.value("first_record", int64_t{0}),
                             .last_record = told.value("last_record", int64_t{0}),
                             .vocabulary = told.value("vocabulary", int64_t{0})});
    }
    if (event == "vocabulary") {
      return keeper_->tell({{"kind", "vocabulary"},
                            {"generation", told.value("generation", 0)},
                            {"outside_share", told.value("outside_share", 0.0)}});
    }
    if (event == "error") {
      keeper_->tell_error({told.value("error", "the trainer failed")});
    }
  } catch (const Json::exception& exception) {
    keeper_->tell_error({std::string("the trainer tells ") + exception.what()});
  }
}

void Learner::hear_step(const Json& told) {
  made_.trainer_step = told.value("step", int64_t{0});
  made_.trainer_step_seconds = told.value("seconds", 0.0);
  made_.trainer_loss = told.value("loss", 0.0);
  made_.trainer_acceptance_length = told.value("acceptance_length", 0.0);
  made_.trained_tokens = told.value("trained_tokens", int64_t{0});
  if (!share_) return;
  share_->trainer_told(now_seconds(), made_.trained_tokens, told.value("idle_seconds", 0.0));
}

// --- How much of the machine learning has.

void Learner::begin_sharing() {
  made_.share.threads = options_.kept_threads;
  if (!options_.trains || options_.spare_threads == 0) return;
  const double weights = head_parameters(target_.descriptor(), options_.draft_vocab);
  const double verdict_answers =
      static_cast<double>(options_.cadence) / 2.0 + PairedGate::kLeastConversations;
  const auto target_bytes = static_cast<double>(target_.weights().file_bytes_per_step);
  share_.emplace(LearningShare::Options{.threads = engine_->threads(),
                                        .spare = options_.spare_threads,
                                        .reuse = options_.reuse,
                                        .head_weights = weights,
                                        .head_size = kHeadParameterBytes * weights / target_bytes,
                                        .verdict_answers = verdict_answers,
                                        .look_seconds = options_.look_seconds,
                                        .least_gain = options_.least_gain},
                 now_seconds());
}

LearningSituation Learner::situation() const {
  LearningSituation now;
  now.load = engine_->load();
  {
    const std::lock_guard lock(mutex_);
    now.all = now.smaller = living_.cost;
    now.all.step = living_.all_steps;
    now.smaller.step = living_.smaller_steps;
  }
  now.heads = keeper_->learned();
  now.trained_tokens = made_.trained_tokens;
  now.lesson_tokens = lesson_tokens_;
  now.answers = static_cast<double>(looked_at_.load());
  now.trains = trainer_.has_value() && enabled_;
  now.is_behind = lessons_.counts().bytes > 0;
  return now;
}

void Learner::share_machine(double now) {
  if (!share_ || !share_->is_due(now)) return;
  const std::optional<ShareDecision> decision = share_->look(now, situation());
  const LearningForecast& forecast = share_->forecast();
  made_.share = {share_->own_threads(), forecast.learned, forecast.lost};
  if (!decision) return;
  engine_->set_threads(engine_->threads() - share_->own_threads());
  if (trainer_) tell_trainer_threads();
  keeper_->tell({{"kind", "share"},
                 {"threads", share_->own_threads()},
                 {"of", engine_->threads()},
                 {"learned", forecast.learned},
                 {"lost", forecast.lost},
                 {"minutes", forecast.minutes},
                 {"reason", decision->reason}});
}

// Its own, or as many as may find something left over. It stays at idle priority, which nobody can
// leave without privileges: processors that the engine leaves are free all the same.
void Learner::tell_trainer_threads() {
  const int own = share_->own_threads();
  trainer_->tell({{"command", "threads"}, {"threads", own > 0 ? own : options_.idle_threads}});
}

int64_t Learner::num_dropped() const {
  return static_cast<int64_t>(records_.counts().dropped + lessons_.counts().dropped);
}

void Learner::tell_dropped(double now) {
  const int64_t dropped = num_dropped();
  if (dropped == told_dropped_ || now < dropped_due_) return;
  keeper_->tell({{"kind", "dropped"}, {"answers", dropped - told_dropped_}});
  told_dropped_ = dropped;
  dropped_due_ = now + kDroppedSeconds;
}

void Learner::publish_status(double now) {
  made_.trainer_up = trainer_.has_value();
  keeper_->tell_status(made_);
  const bool is_full = lessons_.counts().bytes > static_cast<uint64_t>(lessons_.capacity()) / 2;
  made_.starved = is_full || (options_.trains && !made_.trainer_up) ? Starved::kLearning
                  : now - record_time_ > kQuietSeconds              ? Starved::kTraffic
                                                                    : Starved::kNobody;
  const std::lock_guard lock(mutex_);
  status_ = made_;
}

}  // namespace forerun
