#include "text/detokenizer.h"

#include "text/utf8.h"

namespace forerun {

Detokenizer::Detokenizer(const Vocabulary& vocabulary, DecodeOptions options)
    : vocabulary_(&vocabulary), options_(options), at_start_(true) {}

std::string_view Detokenizer::push(int32_t id) {
  if (options_.skip_special && vocabulary_->is_special(id)) return push_bytes({});
  return push_bytes(vocabulary_->token_bytes(id));
}

std::string_view Detokenizer::push_bytes(std::string_view bytes) {
  text_.clear();
  if (bytes.empty()) return text_;
  if (at_start_ && options_.at_text_start && vocabulary_->strips_leading_space &&
      bytes.starts_with(' ')) {
    bytes.remove_prefix(1);
  }
  at_start_ = false;
  held_ += bytes;
  const size_t complete = complete_utf8_prefix(held_);
  append_valid_utf8(std::string_view(held_).substr(0, complete), text_);
  held_.erase(0, complete);
  return text_;
}

std::string_view Detokenizer::finish() {
  text_.clear();
  append_valid_utf8(held_, text_);
  held_.clear();
  at_start_ = true;
  return text_;
}

}  // namespace forerun
