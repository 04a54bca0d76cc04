#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "engine/engine.h"
#include "loaded_model.h"
#include "online/learner.h"
#include "trace_recording.h"

namespace forerun {

// How a process learns from what it answers (docs/learning.md).
struct LearnOptions {
  bool on = false;
  std::string folder;   // of heads and events; empty: learning_folder() of the model
  std::string trainer;  // the program; empty: where it is looked for
  // Of the processors, kept for learning; 0: it takes what is left over. None: that as well, and
  // processors of its own for as long as they pay.
  std::optional<double> share;
  int64_t cadence = 100;  // new answers from one candidate to the next
  int64_t draft_vocab = 4096;
  int unroll = 3;      // steps ahead that the head is trained for
  double reuse = 4.0;  // times that an answer is trained on, in the mean
  double learning_rate = 1e-3;
  double discard = 0.0;    // what a token drafted in vain counts in the loss; 0: nothing
  std::string first_head;  // a folder: drafts in a store that has none which does; may be empty
  bool trains = true;      // false: the head of the store drafts and is watched
  // False: plain continual training, on what came of late alone, and no head of before comes back.
  bool remembers = true;
};

void add_learn_options(CLI::App& command, LearnOptions& options);

// Threads that answer where nobody has said how many: `threads`, or all that learning leaves.
int serving_threads(const LearnOptions& options, int threads);

// Sets what the engine is to be created with, drafts as `speculation` says included: the head of
// eagle3=FOLDER is copied into a store that has none which drafts. An Error says what is missing,
// or does not go together.
Result<std::unique_ptr<Learner>> learn_to_draft(const LearnOptions& options,
                                                const TraceOptions& trace,
                                                const std::string& model_argument,
                                                const std::string& speculation,
                                                const LoadedModel& loaded, EngineOptions& engine);

}  // namespace forerun
