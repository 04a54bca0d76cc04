#include "text/utf8.h"

#include <algorithm>
#include <cstdint>

namespace forerun {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Character {
  size_t size_bytes;  // of the character, or of the maximal part that could have begun one
  bool valid;
  bool incomplete;  // valid so far, cut off by the end
};

struct Lead {
  size_t size_bytes;       // 0: no character begins with this byte
  uint8_t second_minimum;  // the second byte's range (Unicode Standard, table 3-7)
  uint8_t second_maximum;
};

Lead lead_of(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte >= 0xC2 && byte <= 0xDF) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// The character at the start of `bytes`, which is not empty.
Character next_character(std::string_view bytes) {
  const Lead lead = lead_of(static_cast<uint8_t>(bytes[0]));
  if (lead.size_bytes == 0) return {1, false, false};
  for (size_t i = 1; i < lead.size_bytes; ++i) {
    if (i == bytes.size()) return {i, false, true};
    const uint8_t minimum = i == 1 ? lead.second_minimum : 0x80;
    const uint8_t maximum = i == 1 ? lead.second_maximum : 0xBF;
    const auto byte = static_cast<uint8_t>(bytes[i]);
    if (byte < minimum || byte > maximum) return {i, false, false};
  }
  return {lead.size_bytes, true, false};
}

}  // namespace

size_t complete_utf8_prefix(std::string_view bytes) {
  // An incomplete character has at most 3 bytes and begins with its only lead byte.
  const size_t window = std::min<size_t>(bytes.size(), 3);
  for (size_t back = 1; back <= window; ++back) {
    const size_t start = bytes.size() - back;
    const auto byte = static_cast<uint8_t>(bytes[start]);
    if (byte < 0x80) break;
    if (byte >= 0xC0) {
      return next_character(bytes.substr(start)).incomplete ? start : bytes.size();
    }
  }
  return bytes.size();
}

void append_valid_utf8(std::string_view bytes, std::string& text) {
  while (!bytes.empty()) {
    const Character character = next_character(bytes);
    text += character.valid ? bytes.substr(0, character.size_bytes) : kReplacement;
    bytes.remove_prefix(character.size_bytes);
  }
}

}  // namespace forerun
