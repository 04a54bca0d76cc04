#include "training_begin.h"

#include <utility>

#include "head_files.h"

namespace forerun {

TrainingState begin_new_head(DraftVocabulary vocabulary, const LearningTarget& target,
                             const TrainingOptions& options) {
  HeadSizes sizes = target.sizes;
  sizes.draft_vocab_size = vocabulary.size();
  Head head = make_head(sizes, vocabulary.rows_of(target.output), target.norm, options.seed);
  return {std::move(head), std::move(vocabulary), options.adam, options.freeze_output};
}

Result<TrainingState> begin_from_head(const std::string& folder, const LearningTarget& target,
                                      const TrainingOptions& options) {
  Result<StoredHead> stored = load_head(folder, target);
  if (!stored.ok()) return stored.error();
  return TrainingState(std::move(stored->head), std::move(stored->vocabulary), options.adam,
                       options.freeze_output);
}

}  // namespace forerun
