#include "learning_run.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "base/clock.h"

namespace forerun {
namespace {

class Run final {
 public:
  Run(Engine& engine, Learner* learner, std::vector<StreamRequest> requests,
      const LearningRunOptions& options, const LearningNotes& notes)
      : engine_(engine),
        learner_(learner),
        requests_(std::move(requests)),
        options_(options),
        notes_(notes) {}

  ~Run() {
    if (learner_ != nullptr) learner_->listen({});
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  Status run() {
    if (learner_ != nullptr) {
      learner_->listen([this](const Json& event) {
        const std::lock_guard lock(mutex_);
        told_.push_back(event);
      });
    }
    begin_window();
    while (true) {
      if (Status status = fill(); !status.ok()) return status;
      if (!engine_.step()) break;
      if (!error_.empty()) return Error{error_};
      note_events();
      const bool is_last = finished_ == std::ssize(requests_);
      if (in_window_ >= options_.window || (is_last && in_window_ > 0)) end_window();
    }
    return {};
  }

 private:
  Status fill() {
    while (next_ < requests_.size() && under_way_ < options_.concurrency) {
      Request request = std::move(requests_[next_].request);
      request.on_finish = [this, index = next_](const FinishEvent& event) { finish(index, event); };
      ++next_;
      ++under_way_;
      if (const auto id = engine_.add(std::move(request)); !id.ok()) return id.error();
    }
    return {};
  }

  void finish(size_t index, const FinishEvent& event) {
    --under_way_;
    ++finished_;
    ++in_window_;
    error_ += event.error;
    LearningAnswer answer;
    answer.tokens = event.completion_tokens - 1;
    answer.rounds = answer.tokens - event.drafts.all().accepted;
    notes_.answer(index, answer);
    window_.segment = requests_[index].segment;
    window_.tokens += answer.tokens;
    window_.rounds += answer.rounds;
  }

  // Since the window's begin. Of drafts, by what they took against the steps beside them: their
  // first times are guessed.
  double timed_seconds() const {
    const EngineStats stats = engine_.stats();
    const double timed = stats.timed_seconds - stats_begin_.timed_seconds;
    const double steps = stats.step_seconds - stats_begin_.step_seconds;
    const double drafts = stats.speculation.model_seconds - stats_begin_.speculation.model_seconds;
    return steps == 0.0 ? timed : timed + drafts * timed / steps;
  }

  void begin_window() {
    window_ = {};
    in_window_ = 0;
    begin_ = now_seconds();
    stats_begin_ = engine_.stats();
  }

  void end_window() {
    window_.requests = finished_;
    window_.seconds = now_seconds() - begin_;
    window_.timed_seconds = timed_seconds();
    if (learner_ != nullptr) {
      const LearningStatus status = learner_->status();
      window_.head_version = status.head_version;
      window_.trained_tokens = status.trained_tokens;
      window_.replayed_length = status.acceptance_length;
    }
    notes_.window(window_);
    begin_window();
  }

  void note_events() {
    std::vector<Json> told;
    {
      const std::lock_guard lock(mutex_);
      told.swap(told_);
    }
    for (const Json& event : told) notes_.event(finished_, event);
  }

  Engine& engine_;
  Learner* learner_;
  std::vector<StreamRequest> requests_;
  const LearningRunOptions& options_;
  const LearningNotes& notes_;
  size_t next_ = 0;
  int under_way_ = 0;
  int64_t finished_ = 0;
  int64_t in_window_ = 0;
  LearningWindow window_;
  double begin_ = 0.0;
  EngineStats stats_begin_;
  std::string error_;
  std::mutex mutex_;
  std::vector<Json> told_;
};

}  // namespace

Json to_json(const LearningWindow& window, const std::vector<std::string>& segments) {
  return {{"requests", window.requests},
          {"segment", segments[static_cast<size_t>(window.segment)]},
          {"tokens", window.tokens},
          {"acceptance_length", static_cast<double>(window.tokens) /
                                    static_cast<double>(std::max<int64_t>(window.rounds, 1))},
          {"tok_s", static_cast<double>(window.tokens) / window.seconds},
          {"timed_tok_s", static_cast<double>(window.tokens) / window.timed_seconds},
          {"head", window.head_version},
          {"trained_tokens", window.trained_tokens},
          {"replayed_acceptance_length", window.replayed_length}};
}

Status run_learning(Engine& engine, Learner* learner, std::vector<StreamRequest> requests,
                    const LearningRunOptions& options, const LearningNotes& notes) {
  return Run(engine, learner, std::move(requests), options, notes).run();
}

}  // namespace forerun
