#include "speculation_load.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/clock.h"

namespace forerun {
namespace {

class LoadRun final {
 public:
  LoadRun(Engine& engine, SpeculationLoad load) : engine_(engine), load_(std::move(load)) {
    outcome_.outputs.resize(load_.requests.size());
  }

  Result<SpeculationOutcome> run() {
    if (!load_.cold) {
      if (const Status status = compute_prompts(); !status.ok()) return status.error();
    }
    outcome_.before = engine_.stats();
    const double begin = now_seconds();
    while (true) {
      if (const Status status = fill(); !status.ok()) return status.error();
      if (!step()) break;
      if (!error_.empty()) return Error{error_};
      if (load_.alternate && slice_.seconds >= load_.slice_seconds) turn();
    }
    outcome_.seconds = now_seconds() - begin;
    outcome_.after = engine_.stats();
    engine_.set_active_sources({});
    return std::move(outcome_);
  }

 private:
  // Leaves the prompts in the prefix cache: what is measured is how tokens come.
  Status compute_prompts() {
    for (const Request& request : load_.requests) {
      Request prompt;
      prompt.prompt = request.prompt;
      prompt.salt = request.salt;
      prompt.prompt_only = true;
      if (const Result<RequestId> id = engine_.add(std::move(prompt)); !id.ok()) return id.error();
    }
    while (engine_.step()) {
    }
    return {};
  }

  // As many under way as wanted, while there are more.
  Status fill() {
    while (next_ < load_.requests.size() && under_way_ < load_.concurrency) {
      Request request = load_.requests[next_];
      request.on_token = [this, index = next_](const TokenEvent& event) {
        outcome_.outputs[index].push_back(event.token_id);
        ++step_tokens_;
      };
      request.on_finish = [this](const FinishEvent& event) {
        --under_way_;
        error_ += event.error;
      };
      ++next_;
      ++under_way_;
      if (const Result<RequestId> id = engine_.add(std::move(request)); !id.ok()) return id.error();
    }
    return {};
  }

  // Counted are steps of as many requests as wanted that compute no prompt: those come in bursts
  // and would drown what drafts bring.
  bool step() {
    const bool is_full = under_way_ == load_.concurrency;
    const int64_t prompt_tokens = engine_.stats().prompt_tokens;
    step_tokens_ = 0;
    const double begin = now_seconds();
    const bool moved = engine_.step();
    if (is_full && engine_.stats().prompt_tokens == prompt_tokens) {
      slice_.seconds += now_seconds() - begin;
      slice_.tokens += step_tokens_;
    }
    return moved;
  }

  // On, off, off, on, …: a machine that slowly changes favours neither.
  void turn() {
    outcome_.slices.push_back(slice_);
    ++num_turns_;
    const bool drafting = num_turns_ % 4 == 0 || num_turns_ % 4 == 3;
    engine_.set_active_sources({.history = drafting, .prediction = drafting, .model = drafting});
    slice_ = {.drafting = drafting};
  }

  Engine& engine_;
  SpeculationLoad load_;
  SpeculationOutcome outcome_;
  size_t next_ = 0;
  int under_way_ = 0;
  SpeculationSlice slice_ = {.drafting = true};
  int num_turns_ = 0;
  int64_t step_tokens_ = 0;
  std::string error_;
};

// Of 0.975, by degrees of freedom.
double student_t(int freedom) {
  constexpr double kT[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228};
  if (freedom <= std::ssize(kT)) return kT[freedom - 1];
  return 1.96 + 2.5 / freedom;
}

double rate(const SpeculationSlice& slice) {
  return static_cast<double>(slice.tokens) / slice.seconds;
}

}  // namespace

Result<SpeculationOutcome> run_load(Engine& engine, SpeculationLoad load) {
  return LoadRun(engine, std::move(load)).run();
}

SpeedUp speed_up(const std::vector<SpeculationSlice>& slices) {
  std::vector<double> logs;
  for (size_t i = 0; i + 1 < slices.size(); i += 2) {
    const SpeculationSlice& a = slices[i];
    const SpeculationSlice& b = slices[i + 1];
    if (a.drafting == b.drafting || a.tokens == 0 || b.tokens == 0) continue;
    const double gain = std::log(rate(a) / rate(b));
    logs.push_back(a.drafting ? gain : -gain);
  }
  SpeedUp found;
  found.pairs = static_cast<int>(logs.size());
  if (logs.empty()) return found;
  std::ranges::sort(logs);
  const size_t middle = logs.size() / 2;
  found.ratio =
      std::exp(logs.size() % 2 == 1 ? logs[middle] : 0.5 * (logs[middle - 1] + logs[middle]));
  if (logs.size() < 2) return found;
  double mean = 0.0;
  for (const double one : logs) mean += one / static_cast<double>(logs.size());
  double variance = 0.0;
  for (const double one : logs) variance += (one - mean) * (one - mean);
  const auto freedom = static_cast<int>(logs.size()) - 1;
  variance /= freedom;
  const double half = student_t(freedom) * std::sqrt(variance / static_cast<double>(logs.size()));
  found.low = std::exp(mean - half);
  found.high = std::exp(mean + half);
  return found;
}

}  // namespace forerun
