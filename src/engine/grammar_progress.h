#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "text/grammar.h"

namespace forerun {

// How far one choice's output has come in its grammar, and what may follow: next, and behind each
// token of a draft.
class GrammarProgress final {
 public:
  // Of a model with `vocab_size` tokens, of which `eos_ids` end an output.
  GrammarProgress(std::shared_ptr<const Grammar> grammar, int64_t vocab_size,
                  std::span<const int32_t> eos_ids);

  // Goes on by what was output and makes the next token's mask: some microseconds a token, at worst
  // some ten milliseconds. Allocates.
  void advance(std::span<const int32_t> tokens);

  // Makes the masks behind each token of a draft, up to the first that may not come.
  void follow(std::span<const int32_t> draft);
  // Tokens of the draft that may come.
  size_t num_followed() const { return num_followed_; }

  // As SamplePoint::allowed, behind the first `num_followed` tokens of the draft.
  std::span<const uint32_t> allowed(int num_followed) const { return points_[num_followed].mask; }
  // The output is complete there, and the model has no token to say so.
  bool ended(int num_followed) const {
    return points_[num_followed].next.only_end && eos_ids_.empty();
  }
  // Why it cannot go on.
  const std::optional<Error>& error() const { return error_; }

 private:
  // What may come at one point of the text.
  struct Point {
    std::vector<uint32_t> mask;
    GrammarNext next;

    bool allows(int32_t token) const;
  };

  Status go_on(std::span<const int32_t> tokens);
  Status make_matcher();
  Status make_point(size_t index);
  void allow_ends(Point& point) const;

  std::shared_ptr<const Grammar> grammar_;
  std::vector<int32_t> eos_ids_;
  std::vector<int32_t> output_;
  std::optional<GrammarMatcher> matcher_;  // at the output's end, once one is needed
  std::vector<Point> points_;              // [1 + tokens followed at most]
  size_t num_followed_ = 0;
  std::optional<Error> error_;
};

}  // namespace forerun
