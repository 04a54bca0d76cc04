#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/vocabulary.h"

struct ForerunTokenizer;

namespace forerun {

constexpr int32_t kNoToken = -1;

// A tokenizer as a GGUF's `tokenizer.*` keys describe it (gguf_tokenizer.h reads them).
struct TokenizerSpec {
  std::string model;  // "gpt2": byte-level BPE; "llama": SentencePiece BPE by scores
  std::string pre;    // how byte-level BPE cuts text into words: "smollm", "llama-bpe", ...
  std::vector<std::string> tokens;   // [vocab]
  std::vector<std::string> merges;   // "left right", best first; for "gpt2"
  std::vector<float> scores;         // [vocab]; for "llama"
  std::vector<int32_t> token_types;  // [vocab] or empty: 1 normal, 2 unknown, 3 control, 4 user-
                                     // defined, 5 unused, 6 byte
  int32_t bos_id = kNoToken;
  int32_t eos_id = kNoToken;
  int32_t unknown_id = kNoToken;
  std::vector<int32_t> end_ids;  // every token that ends an answer, `eos_id` among them
  bool add_bos = false;
  bool add_eos = false;
  bool add_space_prefix = false;  // "llama": a text begins with a space that is not there
  std::string chat_template;      // empty: none
};

// Which tokens begin and end a text, and how a chat is put: what stands beside a `tokenizer.json`.
struct SpecialTokens {
  int32_t bos_id = kNoToken;
  int32_t eos_id = kNoToken;
  std::vector<int32_t> end_ids = {};  // in any order; every one is in the vocabulary
  std::string chat_template = {};     // empty: none
};

// Text to token ids and back. Immutable; any number of threads may use one.
class Tokenizer final {
 public:
  // Errors name the key and the entry. A build without the text edge always gives one.
  static Result<Tokenizer> create(const TokenizerSpec& spec);

  // From a Hugging Face `tokenizer.json`. Which ids begin and end a text stands in other files of
  // a model directory (hf_tokenizer.h reads them), so bos_id(), end_ids() and chat_template() are
  // empty until with() is told.
  static Result<Tokenizer> from_file(const std::string& tokenizer_json_path);
  // The same from the file's text.
  static Result<Tokenizer> from_json(std::string_view tokenizer_json);
  // The same tokenizer with these special tokens.
  Tokenizer with(SpecialTokens special) const;

  // `add_special`: put the tokens around the text that the model was trained with (its BOS, EOS).
  // `parse_special`: read control tokens in the text as such; leave it off for text from users.
  // Bytes that are not UTF-8 are read as U+FFFD.
  Result<std::vector<int32_t>> encode(std::string_view text, bool add_special,
                                      bool parse_special) const;

  // Ids outside the vocabulary stand for nothing.
  std::string decode(std::span<const int32_t> ids, DecodeOptions options = {}) const;

  const Vocabulary& vocabulary() const;
  int32_t vocab_size() const { return vocabulary().size(); }
  // The bytes an id stands for, not necessarily whole characters.
  std::string_view token_bytes(int32_t id) const { return vocabulary().token_bytes(id); }
  bool is_special(int32_t id) const { return vocabulary().is_special(id); }

  int32_t bos_id() const { return special_.bos_id; }
  int32_t eos_id() const { return special_.eos_id; }
  bool is_end(int32_t id) const;
  std::span<const int32_t> end_ids() const { return special_.end_ids; }
  std::string_view chat_template() const { return special_.chat_template; }
  // The texts of bos_id() and eos_id(), for chat templates.
  std::string_view bos_text() const { return token_bytes(bos_id()); }
  std::string_view eos_text() const { return token_bytes(eos_id()); }

  // For what else this folder asks of the crate; null without the text edge.
  const ForerunTokenizer* crate_handle() const;

 private:
  struct State;
  Tokenizer(std::shared_ptr<const State> state, SpecialTokens special);

  std::shared_ptr<const State> state_;
  SpecialTokens special_;  // end_ids ascending, each once
};

}  // namespace forerun
