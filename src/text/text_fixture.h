#pragma once

#include <string>
#include <vector>

#include "text/tokenizer.h"

// Tokenizers small enough to be made in code.
namespace forerun {

// Byte-level BPE: the 256 bytes (ids 0 to 255), six merges, <|start|> and <|end|> (control; the
// latter ends an answer) and a user-defined token of two newlines.
TokenizerSpec byte_level_fixture();

// SentencePiece by scores: <unk>, <s>, </s>, the 256 byte tokens (from id 3), letters and words.
TokenizerSpec sentence_piece_fixture();

constexpr int32_t kFixtureStart = 262;
constexpr int32_t kFixtureEnd = 263;
constexpr int32_t kFixtureNewlines = 264;

}  // namespace forerun
