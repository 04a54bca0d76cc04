#include "engine/choice_text.h"

#include <algorithm>

namespace forerun {

ChoiceText::ChoiceText(const Tokenizer& tokenizer, const Request& request,
                       ChoiceTextOptions options)
    : tokenizer_(&tokenizer),
      stop_strings_(request.stop_strings),
      stop_ids_(request.stop_ids),
      ignore_eos_(request.ignore_eos),
      options_(std::move(options)),
      detokenizer_(tokenizer.vocabulary(), {.at_text_start = !options_.continues}),
      matcher_(stop_strings_) {}

// As emit_tokens has it: such a token's bytes are not looked at for stop strings.
bool ChoiceText::ends_the_choice(int32_t token_id) const {
  return (!ignore_eos_ && tokenizer_->is_end(token_id)) ||
         std::ranges::find(stop_ids_, token_id) != stop_ids_.end();
}

bool ChoiceText::is_shown(int32_t token_id) const {
  if (tokenizer_->is_end(token_id)) return false;
  const auto& kept = options_.shown_special_ids;
  return !tokenizer_->is_special(token_id) || std::ranges::find(kept, token_id) != kept.end();
}

std::string_view ChoiceText::push(int32_t token_id) {
  const size_t shown_before = text_.size();
  if (!stopped_) {
    const std::string_view bytes = tokenizer_->token_bytes(token_id);
    held_ += bytes;
    held_shown_.resize(held_.size(), is_shown(token_id));
    if (!ends_the_choice(token_id)) {
      stopped_ = matcher_.push(bytes).has_value();
      release(static_cast<size_t>(matcher_.settled_bytes() - released_bytes_));
    }
  }
  return std::string_view(text_).substr(shown_before);
}

std::string_view ChoiceText::finish() {
  const size_t shown_before = text_.size();
  if (!stopped_) release(held_.size());
  text_ += detokenizer_.finish();
  return std::string_view(text_).substr(shown_before);
}

void ChoiceText::release(size_t size) {
  for (size_t begin = 0; begin < size;) {
    size_t end = begin + 1;
    while (end < size && held_shown_[end] == held_shown_[begin]) ++end;
    if (held_shown_[begin]) {
      text_ += detokenizer_.push_bytes(std::string_view(held_).substr(begin, end - begin));
    }
    begin = end;
  }
  held_.erase(0, size);
  held_shown_.erase(held_shown_.begin(), held_shown_.begin() + static_cast<ptrdiff_t>(size));
  released_bytes_ += static_cast<int64_t>(size);
}

}  // namespace forerun
