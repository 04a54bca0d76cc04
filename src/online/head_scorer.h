#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "online/trace_record.h"
#include "spec/step_cost.h"

namespace forerun {

// What decoding takes in the living engine.
struct DecodingCost {
  StepCost step;           // as it came out for minutes
  double sequences = 1.0;  // that decode together
  // Steps of a head against what its size alone would make them.
  double drafting = 1.0;
};

// One recorded answer, as a head would have drafted for it.
struct AnswerScore {
  int64_t tokens = 0;  // that rounds of decoding gave
  int64_t rounds = 0;
  double seconds = 0.0;        // that these take, with drafts as long as suits the head: none, too
  double plain_seconds = 0.0;  // that the same tokens take without a head
};

// A head that is held against records.
class ScoredHead {
 public:
  virtual ~ScoredHead() = default;
  // Finds anew what length of drafts suits it, on these records; `score` goes on from there. A head
  // that nobody has tuned is, on the first records it is scored on. What these records come to
  // then, all together, is near to what `score` would say, for half the work.
  virtual AnswerScore tune(std::span<const TraceRecord> records, const DecodingCost& cost) = 0;
  // A score for each record. Heads that are compared are given the same cost.
  virtual std::vector<AnswerScore> score(std::span<const TraceRecord> records,
                                         const DecodingCost& cost) = 0;
  // Tokens a round with kForecastDrafts drafts (learning_forecast.h), as they came out of late; 0:
  // not known.
  virtual double tokens_a_round() const { return 0.0; }
  // What would have become of a first draft at every place (Replay::score_firsts).
  virtual std::vector<std::vector<FirstDraft>> score_firsts(
      std::span<const TraceRecord> records) = 0;
};

class HeadLoader {
 public:
  virtual ~HeadLoader() = default;
  // An Error says why the folder holds no head of the target.
  virtual Result<std::shared_ptr<ScoredHead>> load(const std::string& folder) = 0;
};

}  // namespace forerun
