#include "spec/draft_budget.h"

#include <algorithm>

namespace forerun {
namespace {

// Rows are added beyond a worse rate for a while: time grows in steps, as kernels take rows
// together.
constexpr double kGivenUpRate = 0.85;

// What the curve's next token is worth; 0 when there is none.
float next_survival(const DraftCurve& curve) {
  const auto next = static_cast<size_t>(curve.length);
  return next < curve.survival.size() ? curve.survival[next] : 0.0f;
}

}  // namespace

double choose_lengths(const DraftBudget& budget, const StepCost& cost, std::span<DraftCurve> curves,
                      std::vector<int32_t>& heap) {
  const auto less = [&](int32_t a, int32_t b) {
    return next_survival(curves[a]) < next_survival(curves[b]);
  };
  heap.clear();
  for (size_t i = 0; i < curves.size(); ++i) {
    curves[i].length = 0;
    if (next_survival(curves[i]) > 0.0f) heap.push_back(static_cast<int32_t>(i));
  }
  std::ranges::make_heap(heap, less);

  const double seconds_without = cost.predict(budget.decoding);
  const double prefill_seconds = budget.prefill_seconds(cost);
  if (seconds_without <= 0.0) return 0.0;
  const double rate_without = budget.tokens / seconds_without;
  double best_rate = rate_without * kLeastGain;
  float least_survival = 2.0f;  // of what is verified at the best rate; above 1: nothing is
  StepWork work = budget.work;
  double tokens = budget.tokens;
  for (int64_t row = 0; row < budget.max_rows && !heap.empty(); ++row) {
    std::ranges::pop_heap(heap, less);
    DraftCurve& curve = curves[heap.back()];
    const float survival = next_survival(curve);
    work.add_rows(1, curve.keys + curve.length);
    ++curve.length;
    tokens += survival;
    const double seconds = cost.predict(work);
    if (seconds > budget.max_seconds) {
      --curve.length;
      break;
    }
    const double rate = tokens / (seconds - prefill_seconds);
    if (rate > best_rate) {
      best_rate = rate;
      least_survival = survival;
    }
    if (rate < kGivenUpRate * rate_without) break;
    if (next_survival(curve) > 0.0f) {
      std::ranges::push_heap(heap, less);
    } else {
      heap.pop_back();
    }
  }
  // Rows came in descending order of survival: back to where the rate was best.
  for (DraftCurve& curve : curves) {
    while (curve.length > 0 && curve.survival[curve.length - 1] < least_survival) --curve.length;
  }
  return least_survival <= 1.0f ? best_rate : rate_without;
}

}  // namespace forerun
