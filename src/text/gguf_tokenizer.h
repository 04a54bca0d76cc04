#pragma once

#include "base/result.h"
#include "formats/gguf.h"
#include "text/tokenizer.h"

namespace forerun {

// The tokenizer that a GGUF's `tokenizer.*` keys describe, with llama.cpp's defaults for keys that
// are not there. Errors name the file and the key.
Result<TokenizerSpec> tokenizer_spec(const Gguf& gguf);

// The same, ready to use.
Result<Tokenizer> read_gguf_tokenizer(const Gguf& gguf);

}  // namespace forerun
