#pragma once

#include <string>

#include "base/result.h"
#include "draft_vocabulary.h"
#include "head.h"
#include "learning_target.h"

namespace forerun {

// Writes a head's folder, config.json and model.safetensors in BF16, as SGLang, vLLM and
// Eagle3Head load it. The folder appears whole or not at all, in place of one that is there. An
// Error names the file, or a parameter that is not finite.
Status publish_head(const std::string& folder, const Head& head, const DraftVocabulary& vocabulary,
                    const LearningTarget& target);

// Whether publish_head() will be able to: an Error says that the folder holds what is not of a
// head, or that nothing can be written beside it.
Status check_place(const std::string& folder);

struct StoredHead {
  Head head;  // f32
  DraftVocabulary vocabulary;
};

// A head to go on from, in any dialect that Eagle3Checkpoint reads. An Error says what of it is not
// as the target's heads are trained here.
Result<StoredHead> load_head(const std::string& folder, const LearningTarget& target);

}  // namespace forerun
