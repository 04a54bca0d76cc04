#include "formats/quote.h"

#include <algorithm>
#include <cstdint>

namespace forerun {
namespace {

// Bytes of the well-formed, printable character that `text` starts with; 0 when there is none.
size_t printable_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
  const size_t length = first >= 0xc2 && first < 0xe0   ? 2
                        : first >= 0xe0 && first < 0xf0 ? 3
                        : first >= 0xf0 && first < 0xf5 ? 4
                                                        : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // U+0080…U+009F are controls; overlong forms, surrogates and numbers past U+10FFFF are no text.
  if (first == 0xc2 && byte(1) < 0xa0) return 0;
  if (first == 0xe0 && byte(1) < 0xa0) return 0;
  if (first == 0xed && byte(1) >= 0xa0) return 0;
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) >= 0x90) return 0;
  return length;
}

std::string escape(char c) {
  if (c == '\n') return "\\n";
  if (c == '\t') return "\\t";
  constexpr char kHex[] = "0123456789abcdef";
  const auto byte = static_cast<uint8_t>(c);
  return {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
}

}  // namespace

std::string quote(std::string_view text, size_t max_bytes) {
  std::string quoted = "'";
  for (size_t i = 0; i < text.size();) {
    const size_t length = printable_length(text.substr(i));
    if (i + std::max<size_t>(length, 1) > max_bytes) return quoted + "…'";
    if (length > 0) {
      quoted += text.substr(i, length);
    } else {
      quoted += escape(text[i]);
    }
    i += std::max<size_t>(length, 1);
  }
  return quoted + "'";
}

}  // namespace forerun
