#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/stop_matcher.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace forerun {

// One choice's tokens as text, piece by piece: never half a character, and never the beginning of a
// stop string that may still be completed. Borrows the tokenizer and the stop strings.
class ChoiceText final {
 public:
  ChoiceText(const Tokenizer& tokenizer, std::span<const std::string> stop_strings);

  // What can be shown once `token_id` is there and could not before; valid until the next call. End
  // tokens have no text.
  std::string_view push(int32_t token_id);
  // What was held back, up to a stop string.
  std::string_view finish();

  // All that was given out.
  std::string_view shown() const { return std::string_view(text_).substr(0, shown_); }

 private:
  void add(std::string_view piece);
  std::string_view show_up_to(size_t end);

  const Tokenizer& tokenizer_;
  Detokenizer detokenizer_;
  StopMatcher matcher_;
  std::string text_;
  size_t shown_ = 0;
  bool stopped_ = false;
};

}  // namespace forerun
