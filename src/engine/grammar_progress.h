#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "text/grammar.h"

namespace forerun {

// How far one choice's output has come in its grammar, and what its next token may be.
class GrammarProgress final {
 public:
  // Of a model with `vocab_size` tokens, of which `eos_ids` end an output.
  GrammarProgress(std::shared_ptr<const Grammar> grammar, int64_t vocab_size,
                  std::span<const int32_t> eos_ids);

  // Goes on by a token and makes the next one's mask: some microseconds, at worst some ten
  // milliseconds. Allocates.
  void advance(int32_t token);

  // As SamplePoint::allowed.
  std::span<const uint32_t> allowed() const { return mask_; }
  // The output is complete, and the model has no token to say so.
  bool ended() const { return next_.only_end && eos_ids_.empty(); }
  // Why it cannot go on.
  const std::optional<Error>& error() const { return error_; }

 private:
  Status make_mask(int32_t token);
  void allow_ends();

  std::shared_ptr<const Grammar> grammar_;
  std::vector<int32_t> eos_ids_;
  std::optional<GrammarMatcher> matcher_;  // once there is a token
  std::vector<uint32_t> mask_;
  GrammarNext next_;
  std::optional<Error> error_;
};

}  // namespace forerun
