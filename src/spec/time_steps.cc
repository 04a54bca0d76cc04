#include "spec/time_steps.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <vector>

#include "base/clock.h"

namespace forerun {
namespace {

// Dense where drafts are weighed, since kernels take rows in groups and time grows in steps.
constexpr std::array<int64_t, 10> kRows = {1, 2, 3, 4, 5, 6, 8, 12, 16, 32};
// Up to so many are timed twice: they are short, and a disturbance shows.
constexpr int64_t kMostTwice = 8;
constexpr size_t kManyRows = 6;  // index of the step whose rows share their keys
constexpr int64_t kDepth = 1024;

// Seconds of a step of `rows` rows at a depth, with the logits of all; the fastest of two where
// they are few. All pages of the table are page 0: time does not depend on what the keys are, and
// no other memory is touched.
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
  double best = std::numeric_limits<double>::max();
  const int repetitions = rows <= kMostTwice ? 2 : 1;
  for (int i = 0; i < repetitions; ++i) {
    const double begin = now_seconds();
    decoder.step(input, pool);
    best = std::min(best, now_seconds() - begin);
  }
  return best;
}

}  // namespace

StepCost time_steps(Decoder& decoder, KvPool& pool) {
  std::vector<StepTimes::Point> points;
  for (const int64_t rows : kRows) {
    if (rows > std::min(decoder.limits().max_rows, decoder.limits().max_logit_rows)) break;
    points.push_back({rows, time_step(decoder, pool, rows, /*depth=*/0)});
  }
  // One row reads the keys, many compute with them: what they add tells both apart.
  const StepTimes::Point& many = points[std::min(points.size() - 1, kManyRows)];
  const auto added = [&](const StepTimes::Point& point) {
    return std::max(0.0, (time_step(decoder, pool, point.rows, kDepth) - point.seconds) / kDepth);
  };
  const double by_one = added(points[0]);
  const double by_many = many.rows > 1 ? std::max(by_one, added(many)) : by_one;
  const double row_key =
      many.rows > 1 ? (by_many - by_one) / static_cast<double>(many.rows - 1) : by_one;
  return StepCost({.by_rows = points,
                   .key_read_seconds = std::max(by_one - row_key, 0.0),
                   .row_key_seconds = std::max(row_key, 1e-12)});
}

}  // namespace forerun
