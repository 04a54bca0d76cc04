#include "text/gguf_tokenizer.h"

#include <algorithm>
#include <array>
#include <limits>

namespace forerun {
namespace {

// Tokens that end an answer in the families that have them. Files often name only one of theirs in
// `eos_token_id` (the list is llama.cpp's).
constexpr std::array<std::string_view, 17> kEndTexts = {"<|eot_id|>",
                                                        "<|im_end|>",
                                                        "<|end|>",
                                                        "<|return|>",
                                                        "<|call|>",
                                                        "<|eom_id|>",
                                                        "<end_of_turn>",
                                                        "<|endoftext|>",
                                                        "<|end_of_text|>",
                                                        "</s>",
                                                        "<EOT>",
                                                        "_<EOT>",
                                                        "[EOT]",
                                                        "[EOS]",
                                                        "<eos>",
                                                        "<turn|>",
                                                        "<end_of_utterance>"};

// Byte-level models whose texts begin with BOS unless the file says otherwise.
constexpr std::array<std::string_view, 8> kPreWithBos = {
    "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "lfm2", "tekken"};

template <size_t kSize>
bool contains(const std::array<std::string_view, kSize>& texts, std::string_view text) {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

template <typename T>
std::vector<std::string> copied(const std::vector<T>& views) {
  return std::vector<std::string>(views.begin(), views.end());
}

// Reads keys one after the other; the first Error stands.
class KeyReader final {
 public:
  explicit KeyReader(const Gguf& gguf) : gguf_(gguf) {}

  std::string string(std::string_view key, std::string_view otherwise) {
    return std::string(keep(gguf_.get_string_or(key, otherwise)));
  }
  bool boolean(std::string_view key, bool otherwise) {
    return keep(gguf_.get_bool_or(key, otherwise));
  }
  std::vector<std::string> strings(std::string_view key) {
    return has(key) ? copied(keep(gguf_.get_strings(key))) : std::vector<std::string>{};
  }
  std::vector<float> f32s(std::string_view key) {
    return has(key) ? keep(gguf_.get_f32s(key)) : std::vector<float>{};
  }
  std::vector<int32_t> i32s(std::string_view key) {
    return has(key) ? keep(gguf_.get_i32s(key)) : std::vector<int32_t>{};
  }
  // 2^32 - 1 is how files write "none".
  int32_t id(std::string_view key) {
    constexpr uint64_t kNone = std::numeric_limits<uint32_t>::max();
    const uint64_t id = keep(gguf_.get_u64_or(key, kNone));
    if (id == kNone) return kNoToken;
    if (id > static_cast<uint64_t>(std::numeric_limits<int32_t>::max())) {
      fail(std::string(key) + " is " + std::to_string(id) + ", which is no token id");
      return kNoToken;
    }
    return static_cast<int32_t>(id);
  }

  bool has(std::string_view key) const { return gguf_.find(key) != nullptr; }
  void fail(const std::string& sentence) {
    if (error_.message.empty()) error_.message = gguf_.path() + ": " + sentence;
  }
  const Error& error() const { return error_; }

 private:
  template <typename T>
  T keep(Result<T> result) {
    if (result.ok()) return std::move(*result);
    if (error_.message.empty()) error_ = result.error();
    return T{};
  }

  const Gguf& gguf_;
  Error error_;
};

// Gemma and Qwen know "</s>" as HTML's end of struck-out text, and end their answers otherwise.
bool ends_an_answer(const TokenizerSpec& spec, size_t id) {
  constexpr int32_t kControl = 3;
  const std::string& text = spec.tokens[id];
  const bool is_markup =
      text == "</s>" && id < spec.token_types.size() && spec.token_types[id] != kControl;
  return contains(kEndTexts, text) && !is_markup;
}

void read_special_ids(KeyReader& keys, TokenizerSpec& spec) {
  spec.bos_id = keys.id("tokenizer.ggml.bos_token_id");
  spec.eos_id = keys.id("tokenizer.ggml.eos_token_id");
  spec.unknown_id = keys.id("tokenizer.ggml.unknown_token_id");
  spec.end_ids = {spec.eos_id, keys.id("tokenizer.ggml.eot_token_id"),
                  keys.id("tokenizer.ggml.eom_token_id")};
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (ends_an_answer(spec, id)) spec.end_ids.push_back(static_cast<int32_t>(id));
  }
  std::sort(spec.end_ids.begin(), spec.end_ids.end());
  spec.end_ids.erase(std::unique(spec.end_ids.begin(), spec.end_ids.end()), spec.end_ids.end());
  std::erase(spec.end_ids, kNoToken);
}

}  // namespace

Result<TokenizerSpec> tokenizer_spec(const Gguf& gguf) {
  KeyReader keys(gguf);
  TokenizerSpec spec;
  for (const char* key : {"tokenizer.ggml.model", "tokenizer.ggml.tokens"}) {
    if (!keys.has(key)) keys.fail(std::string(key) + " is missing: the file has no tokenizer");
  }
  spec.model = keys.string("tokenizer.ggml.model", "");
  spec.pre = keys.string("tokenizer.ggml.pre", "default");
  spec.tokens = keys.strings("tokenizer.ggml.tokens");
  spec.merges = keys.strings("tokenizer.ggml.merges");
  spec.scores = keys.f32s("tokenizer.ggml.scores");
  spec.token_types = keys.i32s("tokenizer.ggml.token_type");
  const bool by_scores = spec.model == "llama";
  const bool begins_with_bos = by_scores || contains(kPreWithBos, spec.pre);
  spec.add_bos = keys.boolean("tokenizer.ggml.add_bos_token", begins_with_bos);
  spec.add_eos = keys.boolean("tokenizer.ggml.add_eos_token", false);
  spec.add_space_prefix = keys.boolean("tokenizer.ggml.add_space_prefix", by_scores);
  spec.chat_template = keys.string("tokenizer.chat_template", "");
  read_special_ids(keys, spec);
  if (!keys.error().message.empty()) return keys.error();
  return spec;
}

Result<Tokenizer> read_gguf_tokenizer(const Gguf& gguf) {
  const Result<TokenizerSpec> spec = tokenizer_spec(gguf);
  if (!spec.ok()) return spec.error();
  return Tokenizer::create(*spec);
}

}  // namespace forerun
