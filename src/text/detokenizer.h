#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "text/vocabulary.h"

namespace forerun {

// Token ids in, text out as soon as it is certain: never half a character, and all that was put out
// together equals decode() of all ids. Each push costs the length of its token.
//
//   Detokenizer detokenizer(vocabulary);
//   for (int32_t id : ids) send(detokenizer.push(id));
//   send(detokenizer.finish());
//
// Borrows the vocabulary.
class Detokenizer final {
 public:
  explicit Detokenizer(const Vocabulary& vocabulary, DecodeOptions options = {});

  // The text that `id` completes, possibly none; valid until the next call.
  std::string_view push(int32_t id);
  // The same of bytes that tokens stand for, cut anywhere.
  std::string_view push_bytes(std::string_view bytes);

  // The text of an unfinished character at the end. A new text may be pushed afterwards.
  std::string_view finish();

  // Bytes held back because they may begin a character.
  std::string_view held() const { return held_; }

 private:
  const Vocabulary* vocabulary_;
  DecodeOptions options_;
  bool at_start_;
  std::string held_;  // at most 3 bytes between calls
  std::string text_;
};

}  // namespace forerun
