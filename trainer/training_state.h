#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "adam.h"
#include "base/result.h"
#include "draft_vocabulary.h"
#include "head.h"
#include "learning_target.h"

namespace forerun {

// Where a run stands, besides how many updates there were (Adam::num_steps).
struct Progress {
  int64_t epochs = 0;   // passes over all records that are done
  int64_t records = 0;  // of the pass begun: those taken from the source
  int64_t skipped = 0;  // batches whose loss or gradient was not finite
  // Of live training (live_training.h):
  int64_t earlier_steps = 0;   // updates by optimisers before this one
  int64_t trained_tokens = 0;  // response tokens counted, as often as they were trained on
  int64_t generation = 0;      // of the draft vocabulary, from 1
  int64_t last_record = 0;     // ordinal of the newest record trained on
  int64_t told_record = 0;     // last_record at the last candidate; 0: there was none
  int64_t new_records = 0;     // trained on for the first time since
};

// A head while it is trained: all that a run goes on from.
struct TrainingState {
  // Of `head`'s parameters, those that are trained; the output matrix may stay as it is.
  TrainingState(Head initial, DraftVocabulary draft_vocabulary, const AdamOptions& options,
                bool freeze_output);

  // The head to draft with: of averaged parameters.
  Head averaged() const;

  Head head;
  DraftVocabulary vocabulary;
  Adam adam;
  Progress progress;
};

// Goes on with another vocabulary, of any size: what the output matrix, its average and its
// moments hold of the tokens that stay is kept; the new ones begin with the target's rows and no
// moments.
void change_vocabulary(TrainingState& state, DraftVocabulary next, const at::Tensor& output);

// Writes all of it into one file, which appears whole or not at all. An Error names the file, or a
// tensor that is not finite.
Status save_state(const std::string& path, const TrainingState& state,
                  const LearningTarget& target);

// What save_state() left of a run of the same target and the same trained parameters. An Error
// says what does not fit.
Result<TrainingState> load_state(const std::string& path, const LearningTarget& target,
                                 const AdamOptions& options, bool freeze_output);

}  // namespace forerun
