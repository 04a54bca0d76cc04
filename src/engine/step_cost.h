#pragma once

#include <cstdint>

namespace forerun {

// What a step takes: a + b · rows + c · (keys its rows attend to), scaled by what steps have really
// taken of late. Sizes chunks of prefill.
class StepCost final {
 public:
  StepCost() = default;
  StepCost(double base_seconds, double row_seconds, double key_seconds)
      : base_seconds_(base_seconds), row_seconds_(row_seconds), key_seconds_(key_seconds) {}

  double predict(int64_t rows, int64_t keys) const {
    return scale_ * (base_seconds_ + row_seconds_ * static_cast<double>(rows) +
                     key_seconds_ * static_cast<double>(keys));
  }

  // A step that was predicted took `seconds`.
  void observe(int64_t rows, int64_t keys, double seconds);

  // The most further rows of one sequence, `first_keys` keys before the first, that keep a step
  // of `rows` and `keys` under `budget_seconds`; 0 when not even one does.
  int64_t rows_within(double budget_seconds, int64_t rows, int64_t keys, int64_t first_keys) const;

 private:
  double base_seconds_ = 0.0;
  double row_seconds_ = 0.0;
  double key_seconds_ = 0.0;
  double scale_ = 1.0;
};

}  // namespace forerun
