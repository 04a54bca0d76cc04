#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/request.h"
#include "engine/stop_matcher.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace forerun {

struct ChoiceTextOptions {
  // The text continues the prompt's rather than beginning one: SentencePiece's first space stays.
  bool continues = false;
  // Special tokens that are text all the same: "[TOOL_CALLS]" for whoever parses it.
  std::vector<int32_t> shown_special_ids = {};
};

// One choice's tokens as text, piece by piece: never half a character, and never the beginning of a
// stop string that may still be completed. Stop strings are looked for where the engine looks for
// them, in the bytes of all tokens, so that both stop at the same place; only then is it decided
// what of it is shown. Borrows the tokenizer.
class ChoiceText final {
 public:
  // Of the request: stop_strings, stop_ids, ignore_eos.
  ChoiceText(const Tokenizer& tokenizer, const Request& request, ChoiceTextOptions options = {});
  // The matcher borrows the stop strings, which stay where they are when a vector is moved.
  ChoiceText(ChoiceText&&) = default;

  // What can be shown once `token_id` is there and could not before; valid until the next call. End
  // tokens have no text.
  std::string_view push(int32_t token_id);
  // What was held back, up to a stop string.
  std::string_view finish();

  // All that was given out.
  std::string_view shown() const { return text_; }

 private:
  bool ends_the_choice(int32_t token_id) const;
  bool is_shown(int32_t token_id) const;
  // Gives out what is shown of the first `size` bytes that are held.
  void release(size_t size);

  const Tokenizer* tokenizer_;
  std::vector<std::string> stop_strings_;
  std::vector<int32_t> stop_ids_;
  bool ignore_eos_;
  ChoiceTextOptions options_;
  Detokenizer detokenizer_;
  StopMatcher matcher_;
  bool stopped_ = false;
  // Bytes of tokens that may be part of a stop string, and whether each belongs to a shown one.
  std::string held_;
  std::vector<bool> held_shown_;
  int64_t released_bytes_ = 0;
  std::string text_;
};

}  // namespace forerun
