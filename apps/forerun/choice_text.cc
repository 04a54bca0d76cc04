#include "choice_text.h"

namespace forerun {

ChoiceText::ChoiceText(const Tokenizer& tokenizer, std::span<const std::string> stop_strings)
    : tokenizer_(tokenizer), detokenizer_(tokenizer.vocabulary()), matcher_(stop_strings) {}

std::string_view ChoiceText::push(int32_t token_id) {
  if (!tokenizer_.is_end(token_id)) add(detokenizer_.push(token_id));
  return show_up_to(static_cast<size_t>(matcher_.settled_bytes()));
}

std::string_view ChoiceText::finish() {
  add(detokenizer_.finish());
  return show_up_to(stopped_ ? static_cast<size_t>(matcher_.settled_bytes()) : text_.size());
}

void ChoiceText::add(std::string_view piece) {
  text_ += piece;
  if (!stopped_) stopped_ = matcher_.push(piece).has_value();
}

std::string_view ChoiceText::show_up_to(size_t end) {
  const std::string_view fresh = std::string_view(text_).substr(shown_, end - shown_);
  shown_ = end;
  return fresh;
}

}  // namespace forerun
