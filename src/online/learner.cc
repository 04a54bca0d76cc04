#include "online/learner.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "online/target_files.h"

namespace forerun {
namespace {

constexpr int64_t kRingBytes = int64_t{1} << 28;
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
// No record for so long: nothing to learn from.
constexpr double kQuietSeconds = 10.0;
// Of a new end: in the mean number of sequences that decode together.
constexpr double kSequencesWeight = 0.05;

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
  if (Status status = write_target(options.folder, target); !status.ok()) return status.error();
  Result<TraceRing> records = TraceRing::create(kRingBytes);
  if (!records.ok()) return records.error();
  Result<TraceRing> lessons = TraceRing::create(kRingBytes);
  if (!lessons.ok()) return lessons.error();
  std::unique_ptr<Learner> learner(new Learner(std::move(options), target, kernels,
                                               *std::move(store), *std::move(records),
                                               *std::move(lessons)));
  engine.keep_finals = true;
  engine.speculation.head_slot = true;
  engine.on_sequence_end = [made = learner.get()](const SequenceEnd& end) {
    made->on_sequence_end(end);
  };
  return learner;
}

Learner::Learner(LearnerOptions options, const Model& target, const KernelTable& kernels,
                 HeadStore store, TraceRing records, TraceRing lessons)
    : options_(std::move(options)),
      weights_(target.weights().fingerprint),
      store_(std::move(store)),
      records_(std::move(records)),
      lessons_(std::move(lessons)),
      capture_(target.descriptor().d_model, weights_, records_,
               {.rate = options_.rate, .max_positions = options_.max_positions}),
      loader_(target, kernels, [this] { return decoding_cost(); }) {}

Learner::~Learner() {
  end();
}

void Learner::start(Engine& engine) {
  engine_ = &engine;
  living_.cost.step = engine.cost();
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
  living_.cost.step = engine_->cost();
  const auto running = static_cast<double>(stats.running);
  living_.cost.sequences += kSequencesWeight * (running - living_.cost.sequences);
  living_.swap_seconds = stats.head_swap_seconds;
}

// --- Anybody's.

LearningStatus Learner::status() const {
  const std::lock_guard lock(mutex_);
  LearningStatus status = status_;
  status.enabled = enabled_;
  status.records.kept = static_cast<int64_t>(records_.counts().published);
  status.records.dropped =
      static_cast<int64_t>(records_.counts().dropped + lessons_.counts().dropped);
  status.records.opted_out = living_.capture.refused;
  status.records.left_out = living_.capture.left_out;
  status.capture_rate = living_.capture.rate;
  status.swap_seconds = living_.swap_seconds;
  return status;
}

void Learner::set_enabled(bool enabled) {
  if (enabled_.exchange(enabled) == enabled) return;
  const std::lock_guard lock(mutex_);
  commands_.emplace_back([this, enabled] {
    if (trainer_) trainer_->tell({{"command", enabled ? "resume" : "pause"}});
    keeper_->tell({{"kind", "learning"}, {"enabled", enabled}});
  });
}

Status Learner::activate(int64_t version) {
  if (version != 0) {
    const Result<HeadEntry> entry = store_.entry(version);
    if (!entry.ok()) return entry.error();
  }
  const std::lock_guard lock(mutex_);
  commands_.emplace_back([this, version] {
    const Status status = keeper_->activate(version, "user");
    if (!status.ok()) keeper_->tell({{"kind", "error"}, {"error", status.error().message}});
  });
  return {};
}

Status Learner::roll_back() {
  const Result<int64_t> current = store_.current();
  if (!current.ok()) return current.error();
  if (*current == 0) return Error{"no head drafts that could be rolled back"};
  const std::lock_guard lock(mutex_);
  commands_.emplace_back([this] {
    const Status status = keeper_->roll_back("rollback");
    if (!status.ok()) keeper_->tell({{"kind", "error"}, {"error", status.error().message}});
  });
  return {};
}

void Learner::listen(std::function<void(const Json&)> listener) {
  const std::lock_guard lock(mutex_);
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

HeadKeeper::World Learner::world() {
  return {
      .draft =
          [this](int64_t version, const std::shared_ptr<ScoredHead>& head) {
            const auto* replayed = static_cast<const ReplayedHead*>(head.get());
            Result<std::unique_ptr<ReadyHead>> ready =
                engine_->make_ready(replayed == nullptr ? nullptr : replayed->head(), version);
            if (ready.ok()) {
              engine_->offer_head(*std::move(ready));
            } else {
              keeper_->tell({{"kind", "error"}, {"error", ready.error().message}});
            }
          },
      .go_on_from =
          [this](const std::string& folder) {
            if (trainer_) trainer_->tell({{"command", "begin_from"}, {"head", folder}});
          },
      .tell =
          [this](const Json& event) {
            log(LogLevel::kInfo, "learning", {{"event", event.dump()}});
            std::function<void(const Json&)> listener;
            {
              const std::lock_guard lock(mutex_);
              listener = listener_;
            }
            if (listener) listener(event);
          },
  };
}

void Learner::run() {
  pthread_setname_np(pthread_self(), "forerun-learn");
  // On Linux of this thread alone; where it is refused, it works at the usual one.
  setpriority(PRIO_PROCESS, 0, options_.idle ? kIdlePriority : kReservedPriority);
  keeper_.emplace(store_, loader_, world(), weights_);
  keeper_->begin();
  double status_due = 0.0;
  while (!ending_) {
    const double now = now_seconds();
    look_after_trainer(now);
    bool busy = obey();
    while (take_record()) busy = true;
    if (enabled_) busy = keeper_->work(now - record_time_ > kFlushSeconds) || busy;
    if (now >= status_due) {
      keeper_->follow_store();
      publish_status(now);
      status_due = now + kStatusSeconds;
    }
    if (!busy) std::this_thread::sleep_for(kPause);
  }
  if (trainer_) trainer_->end(kEndSeconds);
  keeper_.reset();
}

bool Learner::take_record() {
  const std::span<const uint8_t> block = records_.front();
  if (block.empty()) return false;
  if (options_.spill) spill(block);
  if (enabled_) {
    const Result<TraceRecord> record = parse_trace(block);
    if (record.ok() && !is_held_out(record->header.conversation)) teach(block);
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
    if (event == "candidate") {
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
      keeper_->tell({{"kind", "error"}, {"error", told.value("error", "the trainer failed")}});
    }
  } catch (const Json::exception& exception) {
    keeper_->tell(
        {{"kind", "error"}, {"error", std::string("the trainer tells ") + exception.what()}});
  }
}

void Learner::hear_step(const Json& told) {
  made_.trainer_step = told.value("step", int64_t{0});
  made_.trainer_step_seconds = told.value("seconds", 0.0);
  made_.trainer_loss = told.value("loss", 0.0);
  made_.trainer_acceptance_length = told.value("acceptance_length", 0.0);
  made_.trained_tokens = told.value("trained_tokens", int64_t{0});
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
