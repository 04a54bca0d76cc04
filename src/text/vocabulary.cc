#include "text/vocabulary.h"

#include "text/utf8.h"

namespace forerun {

std::string_view Vocabulary::token_bytes(int32_t id) const {
  if (!contains(id)) return {};
  return std::string_view(bytes).substr(offsets[id], offsets[id + 1] - offsets[id]);
}

std::string decode(const Vocabulary& vocabulary, std::span<const int32_t> ids,
                   DecodeOptions options) {
  std::string bytes;
  for (const int32_t id : ids) {
    if (options.skip_special && vocabulary.is_special(id)) continue;
    bytes += vocabulary.token_bytes(id);
  }
  std::string_view kept = bytes;
  if (options.at_text_start && vocabulary.strips_leading_space && kept.starts_with(' ')) {
    kept.remove_prefix(1);
  }
  std::string text;
  append_valid_utf8(kept, text);
  return text;
}

}  // namespace forerun
