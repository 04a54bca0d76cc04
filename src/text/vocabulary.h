#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace forerun {

// What each token id stands for. Ids outside [0, size) stand for nothing.
struct Vocabulary {
  std::string bytes;                  // all tokens' bytes, one after the other
  std::vector<uint64_t> offsets;      // [size + 1] token i is bytes [offsets[i], offsets[i + 1])
  std::vector<uint8_t> special;       // [size] 1 where decoding may leave the token out
  bool strips_leading_space = false;  // whole-text decoding drops one space at the start

  int32_t size() const { return static_cast<int32_t>(special.size()); }
  bool contains(int32_t id) const { return id >= 0 && id < size(); }
  bool is_special(int32_t id) const { return contains(id) && special[id] != 0; }
  std::string_view token_bytes(int32_t id) const;
};

struct DecodeOptions {
  bool skip_special = true;
  // The ids begin a text rather than continue one: the space that SentencePiece models put at the
  // start of a text is taken off.
  bool at_text_start = true;
};

// The text of a whole sequence; what is not UTF-8 becomes U+FFFD. The definition that the streaming
// Detokenizer is held to.
std::string decode(const Vocabulary& vocabulary, std::span<const int32_t> ids,
                   DecodeOptions options = {});

}  // namespace forerun
