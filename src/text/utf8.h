#pragma once

#include <string>
#include <string_view>

namespace forerun {

// The length of the longest prefix of `bytes` that no later byte can change: all of it but an
// incomplete character at the end.
size_t complete_utf8_prefix(std::string_view bytes);

// Appends `bytes` to `text`, each maximal part that is not UTF-8 as one U+FFFD (the Unicode
// Standard's "substitution of maximal subparts", as browsers, Python and Rust do it).
void append_valid_utf8(std::string_view bytes, std::string& text);

}  // namespace forerun
