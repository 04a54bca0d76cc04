#pragma once

#include <span>

#include "batch.h"
#include "learning_target.h"
#include "loss.h"
#include "training_state.h"

namespace forerun {

enum class StepOutcome {
  kDone,
  kNothing,    // no token of the draft vocabulary
  kNotFinite,  // loss or gradient
};

struct TrainStep {
  StepOutcome outcome = StepOutcome::kNothing;
  BatchLoss loss;
};

// Updates a head, batch by batch.
class HeadTrainer final {
 public:
  // Borrows the target.
  HeadTrainer(TrainingState initial, const LearningTarget& target);

  // One update, or nothing is changed.
  TrainStep step(std::span<const Example> examples, const LossOptions& options);
  // Goes on with another vocabulary (training_state.h).
  void change_vocabulary(DraftVocabulary next);

  TrainingState state;

 private:
  bool update(const at::Tensor& loss);

  const LearningTarget& target_;
  TargetMatrices matrices_;
};

}  // namespace forerun
