#pragma once

#include <string>

#include "base/result.h"
#include "draft_vocabulary.h"
#include "learning_target.h"
#include "training_options.h"
#include "training_state.h"

namespace forerun {

// Before the first step: a new head of a vocabulary, or one to go on from, whose vocabulary stays.
TrainingState begin_new_head(DraftVocabulary vocabulary, const LearningTarget& target,
                             const TrainingOptions& options);
Result<TrainingState> begin_from_head(const std::string& folder, const LearningTarget& target,
                                      const TrainingOptions& options);

}  // namespace forerun
