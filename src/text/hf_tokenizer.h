#pragma once

#include "base/json.h"
#include "base/result.h"
#include "formats/hf_directory.h"
#include "text/tokenizer.h"

namespace forerun {

// The tokenizer of a Hugging Face directory: `tokenizer.json`, whose post-processor alone decides
// what goes around a text (`add_bos_token` beside it is what transformers made it from), and the
// tokens that the files beside it name:
//   BOS, EOS   tokenizer_config.json, else special_tokens_map.json, by their texts; where neither
//              file is there, config.json by ids
//   ends       EOS and every eos_token_id of generation_config.json (else of config.json), which
//   may
//              be a list
// Errors name the file and the key.
Result<Tokenizer> read_hf_tokenizer(const HfDirectory& directory);

// The same of what the files hold. Errors name the file in the directory.
Result<SpecialTokens> read_special_tokens(const HfConfigs& configs, const Vocabulary& vocabulary);

}  // namespace forerun
