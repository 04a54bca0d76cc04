#pragma once

#include <string>

#include "text/tokenizer.h"

// Tokenizers for tests: a token a byte, and what a test adds.
namespace forerun {

// As tokenizer.ggml.token_type numbers them.
enum class TokenKind : int32_t { kUnknown = 2, kControl = 3, kUserDefined = 4, kByte = 6 };

// Ids 0 … 255 are the bytes.
TokenizerSpec byte_tokens();
void add_token(TokenizerSpec& spec, const std::string& text, TokenKind kind);
// CHECKs that the spec is a good one.
Tokenizer make_tokenizer(const TokenizerSpec& spec);

}  // namespace forerun
