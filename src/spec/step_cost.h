#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace forerun {

// What a step has to do, as far as its time depends on it.
struct StepWork {
  int64_t rows = 0;       // tokens
  int64_t keys_read = 0;  // of each sequence once: positions its last row attends to
  int64_t row_keys = 0;   // positions that each row attends to, summed

  // Rows of a sequence that has others in the step, `first_keys` positions before the first.
  void add_rows(int64_t count, int64_t first_keys) {
    rows += count;
    keys_read += count;
    row_keys += count * first_keys + count * (count + 1) / 2;
  }
  // The first rows of a sequence.
  void add_sequence(int64_t count, int64_t first_keys) {
    keys_read += first_keys;
    add_rows(count, first_keys);
  }
};

// What steps took when they were timed.
struct StepTimes {
  struct Point {
    int64_t rows;
    double seconds;
  };
  // Steps near depth 0, rows ascending, the first of one row. Between two it is a straight line,
  // behind the last the line through the last two.
  std::span<const Point> by_rows;
  double key_read_seconds = 0.0;
  double row_key_seconds = 0.0;
};

// Predicts what a step takes, from what steps took at load, scaled by what they have taken of late:
// all of them (the machine), and those of about as many rows (what was timed wrong).
class StepCost final {
 public:
  StepCost() = default;
  explicit StepCost(const StepTimes& times);

  double predict(const StepWork& work) const;
  // What it would have taken at load, whatever steps have taken since.
  double timed(const StepWork& work) const;

  // That of a model whose steps take `factor` times as long, until it is observed.
  StepCost scaled(double factor) const;

  // That of the same timings with other scales: of all steps, and of each class of sizes.
  static constexpr int kSizes = 14;  // classes of rows: 1, 2, 3–4, 5–8, …
  static int size_of(int64_t rows);
  StepCost rescaled(double scale, const std::array<double, kSizes>& of_sizes) const;

  // A step took `seconds`.
  void observe(const StepWork& work, double seconds);

  // The most further rows of one sequence, `first_keys` keys before the first, that keep a step
  // of `work` under `budget_seconds`; 0 when not even one does.
  int64_t rows_within(double budget_seconds, const StepWork& work, int64_t first_keys) const;

 private:
  static constexpr int kMaxPoints = 16;

  double unscaled_rows(int64_t rows) const;

  std::array<StepTimes::Point, kMaxPoints> points_ = {};
  int num_points_ = 0;
  double key_read_seconds_ = 0.0;
  double row_key_seconds_ = 0.0;
  double scale_ = 1.0;
  std::array<double, kSizes> size_scale_;
};

}  // namespace forerun
