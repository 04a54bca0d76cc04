#include "spec/time_steps.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "base/clock.h"

namespace forerun {
namespace {

// Dense where drafts are weighed, since kernels take rows in groups and time grows in steps.
constexpr std::array<int64_t, 10> kRows = {1, 2, 3, 4, 5, 6, 8, 12, 16, 32};
// Up to so many are timed again and again: they are what decides, and short.
constexpr int64_t kMostAgain = 8;
constexpr size_t kManyRows = 6;  // index of the step whose rows share their keys
constexpr int64_t kDepth = 1024;
// All are timed by turns, so that what disturbs the machine for a while disturbs none of them
// alone; twice at least, and on while this has not passed.
constexpr int kLeastRounds = 2;
constexpr int kMostRounds = 4;
constexpr double kEnoughSeconds = 0.25;

struct TimedStep {
  int64_t rows = 1;
  int64_t depth = 0;
  double seconds = std::numeric_limits<double>::max();  // of the fastest
};

// Seconds of a step of `rows` rows at a depth, with the logits of all. All pages of the table are
// page 0: time does not depend on what the keys are, and no other memory is touched.
double time_step(Decoder& decoder, KvPool& pool, int64_t rows, int64_t depth) {
  const std::vector<int32_t> pages((depth + rows) / kPageTokens + 1, 0);
  const std::vector<int32_t> tokens(rows, 0);
  std::vector<int32_t> logit_rows(rows);
  std::iota(logit_rows.begin(), logit_rows.end(), 0);
  const RowGroup group{static_cast<int>(rows), depth, pages, nullptr};
  const std::vector<float> states(decoder.model().reads_states() ? rows * decoder.model().d_model
                                                                 : 0);
  StepInput input{tokens, {&group, 1}, logit_rows};
  if (!states.empty()) input.states = states.data();
  const double begin = now_seconds();
  decoder.step(input, pool);
  return now_seconds() - begin;
}

void time_by_turns(Decoder& decoder, KvPool& pool, std::span<TimedStep> steps) {
  const double begin = now_seconds();
  for (int round = 0; round < kMostRounds; ++round) {
    if (round >= kLeastRounds && now_seconds() - begin > kEnoughSeconds) return;
    for (TimedStep& step : steps) {
      if (round > 0 && step.rows > kMostAgain) continue;
      step.seconds = std::min(step.seconds, time_step(decoder, pool, step.rows, step.depth));
    }
  }
}

}  // namespace

StepCost time_steps(Decoder& decoder, KvPool& pool) {
  std::vector<TimedStep> steps;
  for (const int64_t rows : kRows) {
    if (rows > std::min(decoder.limits().max_rows, decoder.limits().max_logit_rows)) break;
    steps.push_back({.rows = rows});
  }
  // One row reads the keys, many compute with them: what they add tells both apart.
  const size_t num_shallow = steps.size();
  const size_t many = std::min(num_shallow - 1, kManyRows);
  const auto many_rows = static_cast<double>(steps[many].rows);
  steps.push_back({.rows = 1, .depth = kDepth});
  if (many > 0) steps.push_back({.rows = steps[many].rows, .depth = kDepth});
  time_by_turns(decoder, pool, steps);
  std::vector<StepTimes::Point> points;
  points.reserve(num_shallow);
  for (size_t i = 0; i < num_shallow; ++i) points.push_back({steps[i].rows, steps[i].seconds});
  const auto added = [&](size_t deep, size_t shallow) {
    return std::max(0.0, (steps[deep].seconds - steps[shallow].seconds) / kDepth);
  };
  const double by_one = added(num_shallow, 0);
  const double by_many = many > 0 ? std::max(by_one, added(num_shallow + 1, many)) : by_one;
  const double row_key = many > 0 ? (by_many - by_one) / (many_rows - 1.0) : by_one;
  return StepCost({.by_rows = points,
                   .key_read_seconds = std::max(by_one - row_key, 0.0),
                   .row_key_seconds = std::max(row_key, 1e-12)});
}

}  // namespace forerun
