#include "live_training.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "formats/quote.h"
#include "head_files.h"
#include "threads.h"
#include "training_begin.h"

namespace forerun {
namespace {

constexpr int64_t kMostFresh = 64;     // records
constexpr int64_t kFirstCadence = 50;  // of the first candidate, which is better than none
constexpr double kSecondsBetweenLines = 1.0;
constexpr double kSecondsBetweenSaves = 60.0;  // of steps
constexpr size_t kCandidatesKept = 2;
constexpr int kMostFailures = 8;  // batches in a row
constexpr int kMostThreads = 1024;
constexpr char kCandidate[] = "candidate-";

std::string state_path(const LiveOptions& options) {
  return options.out + "/state";
}

// Fresh records take at most a quarter of the memory, but a batch of them there must be.
int64_t most_fresh(const LiveOptions& options, const LearningTarget& target) {
  // About as many rows of branches as slots.
  const int64_t rows_per_slot = options.loss.discard > 0.0 ? 5 : 4;
  const int64_t bytes_per_slot = rows_per_slot * target.sizes.d_model * 2 + 8;
  const int64_t fitting = options.keep_bytes / 4 / (options.window * bytes_per_slot);
  return std::max(options.batch, std::min(fitting, kMostFresh));
}

Status make_folder(const std::string& folder) {
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(folder).parent_path(), ignored);
  if (mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return Error{"cannot create " + folder + ": " + std::strerror(errno)};
}

// The step in a candidate's name, also of one that was left unfinished.
std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kCandidate)) return std::nullopt;
  int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [stopped, fault] = std::from_chars(name.data() + std::strlen(kCandidate), end, step);
  const std::string_view rest(stopped, end);
  if (fault != std::errc() || (!rest.empty() && rest != ".partial")) return std::nullopt;
  return step;
}

// Those that nobody has moved away, but for the newest `kept`.
void remove_old_candidates(const std::string& folder, size_t kept) {
  std::error_code ignored;
  std::vector<std::pair<int64_t, std::filesystem::path>> found;
  for (std::filesystem::directory_iterator it(folder, ignored), end; it != end;
       it.increment(ignored)) {
    const std::string name = it->path().filename().string();
    if (const auto step = step_of(name)) found.emplace_back(*step, it->path());
  }
  std::ranges::sort(found, std::ranges::greater());
  for (size_t i = kept; i < found.size(); ++i) {
    std::filesystem::remove_all(found[i].second, ignored);
  }
}

int64_t count_kept(const DraftVocabulary& now, const DraftVocabulary& before) {
  return std::ranges::count_if(now.token_of(),
                               [&](int32_t token) { return before.draft_id(token) >= 0; });
}

}  // namespace

// What a step is made of.
struct LiveTraining::Chosen {
  std::vector<BufferedRecord> fresh;
  std::vector<BufferedRecord> older;

  int64_t size() const { return std::ssize(fresh) + std::ssize(older); }
};

LiveTraining::LiveTraining(const LiveOptions& options, const LearningTarget& target, Sink sink,
                           Clock clock)
    : options_(options),
      target_(target),
      sink_(std::move(sink)),
      clock_(std::move(clock)),
      filter_(target, "ring"),
      watch_(target.vocab_size),
      buffer_(most_fresh(options, target), options.keep_bytes - options.keep_bytes / 4,
              options.seed, options.recent_share),
      tally_(options.loss.steps),
      told_at_(clock_()) {}

Result<LiveTraining> LiveTraining::begin(const LiveOptions& options, const LearningTarget& target,
                                         Sink sink, Clock clock) {
  if (Status status = make_folder(options.out); !status.ok()) return status.error();
  LiveTraining training(options, target, std::move(sink), std::move(clock));
  if (Status status = training.restore(); !status.ok()) return status.error();
  return training;
}

Status LiveTraining::restore() {
  const bool is_resumed = resume();
  if (!is_resumed) {
    // Steps are counted anew: a candidate left there would pass for a newer one.
    remove_old_candidates(options_.out, 0);
    if (!options_.init.empty()) {
      Result<TrainingState> state = begin_from_head(options_.init, target_, options_);
      if (!state.ok()) return state.error();
      trainer_.emplace(*std::move(state), target_);
    }
  }
  sink_({{"event", "ready"},
         {"step", step()},
         {"resumed", is_resumed},
         {"dtype", options_.loss.bf16_products ? "bf16" : "f32"}});
  if (trainer_ && !is_resumed) note_vocabulary(nullptr);
  return {};
}

// A state that is damaged, or of an earlier build, would end every trainer that is started: it is
// set aside, and training begins without it.
bool LiveTraining::resume() {
  const std::string path = state_path(options_);
  if (!std::filesystem::exists(path)) return false;
  Result<TrainingState> state = load_state(path, target_, options_.adam, options_.freeze_output);
  if (state.ok()) {
    progress_ = state->progress;
    trainer_.emplace(*std::move(state), target_);
    return true;
  }
  const std::string aside = path + ".unusable";
  std::error_code fault;  // the next state takes its place in any case
  std::filesystem::rename(path, aside, fault);
  const std::string place = fault ? "" : "; it lies as " + aside + " now";
  tell_error({state.error().message + place + ", and training begins anew"});
  return false;
}

void LiveTraining::take(std::span<const uint8_t> bytes) {
  ++progress_.records;
  const int64_t refused = filter_.refused().count;
  const std::optional<TraceRecord> record = filter_.admit(bytes);
  // The first is told: where all are refused, no step ever tells their number.
  if (refused == 0 && filter_.refused().count > 0) tell_error({filter_.refused().first});
  if (!record) return;
  watch_.add(*record, trainer_ ? &trainer_->state.vocabulary : nullptr);
  std::optional<Example> example =
      make_example(*record, options_.window, options_.loss.discard > 0.0);
  if (!example) return;
  buffer_.add({progress_.records, *std::move(example)});
  // What has left the buffer cannot be trained on again; what lies there shall not be for it.
  budget_ =
      std::min(budget_ + options_.reuse, options_.reuse * static_cast<double>(buffer_.size()));
}

void LiveTraining::obey(std::string_view line) {
  const Result<Json> json = parse_json(line);
  if (!json.ok() || !json->is_object()) {
    return tell_error({"a command is not a JSON object: " + quote(line, 200)});
  }
  const auto text = [&](const char* key) {
    const auto found = json->find(key);
    return found != json->end() && found->is_string() ? found->get<std::string>() : "";
  };
  const std::string command = text("command");
  if (command == "pause" || command == "resume") {
    is_paused_ = command == "pause";
  } else if (command == "begin_from") {
    begin_from(text("head"));
  } else if (command == "threads") {
    use_threads(*json);
  } else if (command == "stop") {
    is_stopped_ = true;
  } else {
    tell_error({"there is no such command: " + quote(line, 200)});
  }
}

void LiveTraining::use_threads(const Json& command) {
  const auto found = command.find("threads");
  const bool is_number = found != command.end() && found->is_number_integer();
  if (!is_number || *found < 1 || *found > kMostThreads) {
    return tell_error({"threads is " + quote(is_number ? found->dump() : "no number", 200) +
                       "; it must be between 1 and " + std::to_string(kMostThreads)});
  }
  set_num_threads(found->get<int>());
}

void LiveTraining::begin_from(const std::string& folder) {
  Result<TrainingState> state = begin_from_head(folder, target_, options_);
  if (!state.ok()) {
    tell_error(state.error());
    return sink_({{"event", "not_begun"}, {"head", folder}});
  }
  tell_steps();
  std::optional<DraftVocabulary> before;
  if (trainer_) {
    before = std::move(trainer_->state.vocabulary);
    progress_.earlier_steps = step();
  }
  trainer_.emplace(*std::move(state), target_);
  progress_.told_record = progress_.last_record;
  progress_.new_records = 0;
  sink_({{"event", "begun"}, {"head", folder}, {"step", step()}});
  if (!before) {
    note_vocabulary(nullptr);
  } else if (before->token_of() != trainer_->state.vocabulary.token_of()) {
    note_vocabulary(&*before);
  }
  save_or_tell();
}

bool LiveTraining::advance() {
  if (clock_() - told_at_ >= kSecondsBetweenLines) tell_steps();
  if (is_paused_ || (!trainer_ && !begin_new())) return false;
  adapt_vocabulary();
  Chosen chosen = choose();
  if (chosen.size() == 0) return false;
  learn(std::move(chosen));
  const int64_t cadence =
      progress_.told_record == 0 ? std::min(kFirstCadence, options_.cadence) : options_.cadence;
  if (progress_.new_records >= cadence) {
    put_out_candidate();
  } else if (unsaved_seconds_ >= kSecondsBetweenSaves) {
    save_or_tell();
  }
  return true;
}

bool LiveTraining::begin_new() {
  if (watch_.num_counted() < options_.vocab_records) return false;
  trainer_.emplace(begin_new_head(watch_.choose(options_.draft_vocab), target_, options_), target_);
  note_vocabulary(nullptr);
  return true;
}

void LiveTraining::adapt_vocabulary() {
  std::optional<DraftVocabulary> next =
      watch_.better_than(trainer_->state.vocabulary, options_.draft_vocab);
  if (!next) return;
  const DraftVocabulary before = trainer_->state.vocabulary;
  trainer_->change_vocabulary(*std::move(next));
  note_vocabulary(&before);
}

// The head has another vocabulary than `before`; null: its first one.
void LiveTraining::note_vocabulary(const DraftVocabulary* before) {
  const DraftVocabulary& now = trainer_->state.vocabulary;
  const int64_t kept = before != nullptr ? count_kept(now, *before) : 0;
  sink_({{"event", "vocabulary"},
         {"generation", ++progress_.generation},
         {"kept", kept},
         {"new", now.size() - kept},
         {"outside_share", watch_.outside_share()}});
  watch_.restart();
}

LiveTraining::Chosen LiveTraining::choose() {
  const auto share =
      std::max(1L, std::lround(static_cast<double>(options_.batch) * options_.fresh_share));
  const auto allowed = static_cast<int64_t>(budget_);
  const int64_t fresh = std::min(buffer_.num_fresh(), allowed) >= share ? share : 0;
  const int64_t wanted = std::min(options_.batch - fresh, buffer_.num_kept());
  // What waits has its first time reserved.
  const int64_t older = std::clamp(allowed - buffer_.num_fresh(), int64_t{0}, wanted);
  if (fresh == 0 && older < wanted) return {};
  // Batches that failed count, or the next one would be the same.
  const auto number = static_cast<uint64_t>(step() + progress_.skipped);
  return {.fresh = buffer_.take_fresh(fresh > 0 ? options_.batch - older : 0),
          .older = buffer_.draw(older, number)};
}

void LiveTraining::learn(Chosen chosen) {
  std::vector<Example> examples;
  for (const BufferedRecord& record : chosen.fresh) examples.push_back(record.example);
  for (const BufferedRecord& record : chosen.older) examples.push_back(record.example);
  budget_ -= static_cast<double>(examples.size());
  const double begin = clock_();
  const TrainStep step = trainer_->step(examples, options_.loss);
  const double seconds = clock_() - begin;
  unsaved_seconds_ += seconds;
  if (step.outcome == StepOutcome::kNotFinite) {
    // One of them may be why, and would spoil other batches.
    ++progress_.skipped;
    for (const BufferedRecord& record : chosen.older) buffer_.forget(record.ordinal);
    return note_failure();
  }
  failures_in_a_row_ = 0;
  if (step.outcome == StepOutcome::kDone) count(chosen, step, seconds);
  for (BufferedRecord& record : chosen.fresh) buffer_.keep(std::move(record));
}

// One batch may be at fault; where all fail, the head is.
void LiveTraining::note_failure() {
  if (++failures_in_a_row_ == 1) {
    tell_error({"the loss or gradient of a batch was not finite; it is passed over"});
  }
  if (failures_in_a_row_ < kMostFailures) return;
  tell_error({"no batch's loss or gradient is finite any more: training begins anew"});
  failures_in_a_row_ = 0;
  progress_.earlier_steps = step();
  progress_.new_records = 0;
  trainer_.reset();
}

void LiveTraining::count(const Chosen& chosen, const TrainStep& step, double seconds) {
  step_seconds_ += seconds;
  tally_.add(step.loss, /*num_slots=*/0);
  progress_.trained_tokens += step.loss.counted();
  progress_.new_records += std::ssize(chosen.fresh);
  for (const BufferedRecord& record : chosen.fresh) {
    progress_.last_record = std::max(progress_.last_record, record.ordinal);
  }
}

// The state first: a candidate is never of steps that a resumed run has not done.
void LiveTraining::put_out_candidate() {
  tell_steps();
  const int64_t first_record = progress_.told_record + 1;
  progress_.told_record = progress_.last_record;
  progress_.new_records = 0;
  const std::string folder = options_.out + "/" + kCandidate + std::to_string(step());
  Status status = save();
  if (status.ok()) {
    status = publish_head(folder, trainer_->state.averaged(), trainer_->state.vocabulary, target_);
  }
  if (!status.ok()) return tell_error(status.error());
  remove_old_candidates(options_.out, kCandidatesKept);
  sink_({{"event", "candidate"},
         {"folder", folder},
         {"step", step()},
         {"trained_tokens", progress_.trained_tokens},
         {"records", progress_.records},
         {"first_record", first_record},
         {"last_record", progress_.last_record},
         {"vocabulary", progress_.generation},
         {"outside_share", watch_.outside_share()}});
}

Status LiveTraining::finish() {
  tell_steps();
  return trainer_ ? save() : Status();
}

Status LiveTraining::save() {
  unsaved_seconds_ = 0.0;
  trainer_->state.progress = progress_;
  return save_state(state_path(options_), trainer_->state, target_);
}

void LiveTraining::save_or_tell() {
  if (Status status = save(); !status.ok()) tell_error(status.error());
}

void LiveTraining::tell_steps() {
  if (tally_.batches() == 0) return;
  const TrainReport report = tally_.report();
  Json line = {{"event", "step"},
               {"step", step()},
               {"loss", report.loss},
               {"accuracies", report.accuracies},
               {"acceptance_length", report.acceptance_length()},
               {"seconds", step_seconds_ / static_cast<double>(tally_.batches())},
               {"trained_tokens", progress_.trained_tokens},
               {"records", progress_.records},
               {"buffered", buffer_.size()},
               {"skipped", progress_.skipped},
               {"refused", filter_.refused().count},
               {"held_out", filter_.refused().held_out},
               {"idle_seconds", idle_seconds_}};
  if (report.branch_rows > 0) {
    line["branch_loss"] = report.branch_loss;
    line["branch_rows"] = report.branch_rows;
  }
  sink_(line);
  tally_ = TrainTally(options_.loss.steps);
  step_seconds_ = 0.0;
  idle_seconds_ = 0.0;
  told_at_ = clock_();
}

void LiveTraining::tell_error(const Error& error) const {
  sink_({{"event", "error"}, {"error", error.message}});
}

int64_t LiveTraining::step() const {
  return progress_.earlier_steps + (trainer_ ? trainer_->state.adam.num_steps : 0);
}

}  // namespace forerun
