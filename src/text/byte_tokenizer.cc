#include "text/byte_tokenizer.h"

#include <cstdio>

#include "base/check.h"

namespace forerun {

void add_token(TokenizerSpec& spec, const std::string& text, TokenKind kind) {
  spec.tokens.push_back(text);
  spec.token_types.push_back(static_cast<int32_t>(kind));
  spec.scores.push_back(0.0f);
}

TokenizerSpec byte_tokens() {
  TokenizerSpec spec;
  spec.model = "llama";
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof(text), "<0x%02X>", byte);
    add_token(spec, text, TokenKind::kByte);
  }
  return spec;
}

Tokenizer make_tokenizer(const TokenizerSpec& spec) {
  Result<Tokenizer> made = Tokenizer::create(spec);
  CHECK(made.ok(), made.error().message);
  return *std::move(made);
}

}  // namespace forerun
