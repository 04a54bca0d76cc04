#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace forerun {

// A text whose tokens from `first` on are scored, each by the model's log-prob of it after all
// before it.
struct TextToScore {
  std::vector<int32_t> tokens;
  int64_t first = 1;
};

struct TextScore {
  double logprob = 0.0;  // the sum, added up in order
  int64_t num_tokens = 0;
  bool greedy = true;  // each token was the likeliest; false when that was not asked for
};

// Scores texts `text(0)` to `text(count − 1)`, many at a time; `done(index, score)` tells of each,
// in any order. What a text scores does not depend on the others. An Error ends it.
Status score_texts(Engine& engine, int64_t count, bool tell_greedy,
                   const std::function<TextToScore(int64_t)>& text,
                   const std::function<void(int64_t, const TextScore&)>& done);

}  // namespace forerun
