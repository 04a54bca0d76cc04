#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "aten.h"

namespace forerun {

// Adam with a linear warm-up and clipped gradients; AdamW without decay of weights is the same.
// Beside the parameters it keeps their average over the last updates: the rate stays high, since
// traffic goes on changing, and what its noise costs the average does without.
struct AdamOptions {
  double learning_rate = 1e-3;
  int64_t warmup_steps = 20;     // to the full rate
  double largest_norm = 0.5;     // of all gradients together; longer ones are scaled down to it
  int64_t averaged_steps = 100;  // at most; 1: the average is the newest
};

class Adam final {
 public:
  // Updates `parameters` in place, which are f32 and whose gradients backward() leaves in them.
  Adam(std::vector<at::Tensor> parameters, const AdamOptions& options);

  // One update from the gradients, which are cleared. False, and nothing changed, where their norm
  // is not finite.
  bool step();
  void clear_gradients();
  // The last parameter is another tensor from now on, perhaps of another size; its moments and
  // average are the caller's to set.
  void exchange_last(at::Tensor parameter) { parameters_.back() = std::move(parameter); }

  // How many updates there were; moments of the gradients, in the parameters' order. Assigning to
  // them goes on from another run.
  int64_t num_steps = 0;
  std::vector<at::Tensor> first_moments;
  std::vector<at::Tensor> second_moments;
  // Of the parameters: over a quarter of the updates, at most `averaged_steps`, the newest most.
  std::vector<at::Tensor> averages;

 private:
  double gradient_norm() const;
  void update(size_t i, double scale, double rate);

  std::vector<at::Tensor> parameters_;
  AdamOptions options_;
};

}  // namespace forerun
