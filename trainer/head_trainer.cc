#include "head_trainer.h"

#include <cmath>
#include <utility>

namespace forerun {
namespace {

TargetMatrices matrices_of(const LearningTarget& target, const DraftVocabulary& vocabulary) {
  return {target.embedding, vocabulary.rows_of(target.output).to(at::kFloat)};
}

}  // namespace

HeadTrainer::HeadTrainer(TrainingState initial, const LearningTarget& target)
    : state(std::move(initial)),
      target_(target),
      matrices_(matrices_of(target, state.vocabulary)) {}

TrainStep HeadTrainer::step(std::span<const Example> examples, const LossOptions& options) {
  TrainStep out;
  out.loss = batch_loss(state.head, matrices_, state.vocabulary, make_batch(examples), options);
  if (out.loss.counted() == 0) return out;
  out.outcome = update(out.loss.loss) ? StepOutcome::kDone : StepOutcome::kNotFinite;
  return out;
}

bool HeadTrainer::update(const at::Tensor& loss) {
  if (!std::isfinite(loss.item<double>())) return false;
  loss.backward();
  return state.adam.step();
}

void HeadTrainer::change_vocabulary(DraftVocabulary next) {
  forerun::change_vocabulary(state, std::move(next), target_.output);
  matrices_ = matrices_of(target_, state.vocabulary);
}

}  // namespace forerun
