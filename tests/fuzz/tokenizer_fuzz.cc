// Reads tokenizers that a stranger wrote, and has them encode and decode. The first byte of an
// input says what the rest is:
//
//   'G'  a GGUF file
//   '{'  a tokenizer.json, up to a zero byte; then text to encode
//   else choices from which a nearly right GGUF vocabulary is built; then text to encode

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "choices.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "text/detokenizer.h"
#include "text/gguf_tokenizer.h"
#include "text/text_fixture.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace forerun {
namespace {

constexpr std::string_view kText =
    "Hello  world, it's 2026!\n\n\té 漢字 🤖\u200d \u2581<|start|><s></s>\xff\xe2\x82";

void require(bool holds) {
  if (!holds) std::abort();
}

bool is_utf8(std::string_view text) {
  std::string valid;
  append_valid_utf8(text, valid);
  return valid == text;
}

// Streaming gives whole characters, and together what decoding at once gives.
void check_decoding(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  for (const bool skip_special : {false, true}) {
    const DecodeOptions options = {.skip_special = skip_special};
    Detokenizer detokenizer(tokenizer.vocabulary(), options);
    std::string streamed;
    for (const int32_t id : ids) {
      const std::string_view piece = detokenizer.push(id);
      require(is_utf8(piece));
      streamed += piece;
    }
    streamed += detokenizer.finish();
    require(streamed == tokenizer.decode(ids, options));
  }
}

void use(const Tokenizer& tokenizer, std::string_view text) {
  for (const bool special : {false, true}) {
    const auto ids = tokenizer.encode(text, /*add_special=*/special, /*parse_special=*/special);
    if (!ids.ok()) {
      require(!ids.error().message.empty());
      continue;
    }
    for (const int32_t id : *ids) require(id >= 0 && id < tokenizer.vocab_size());
    check_decoding(tokenizer, *ids);
  }
  std::vector<int32_t> every_id;
  for (int32_t id = -1; id <= std::min(tokenizer.vocab_size(), 300); ++id) every_id.push_back(id);
  check_decoding(tokenizer, every_id);
}

void use_gguf(std::span<const uint8_t> bytes, std::string_view text) {
  const Result<Gguf> gguf = Gguf::parse(bytes, "input", GgufTypes::kAny);
  if (!gguf.ok()) return;
  const Result<TokenizerSpec> spec = tokenizer_spec(*gguf);
  if (!spec.ok()) return;
  const Result<Tokenizer> tokenizer = Tokenizer::create(*spec);
  if (tokenizer.ok()) use(*tokenizer, text);
}

void use_json(std::string_view input) {
  const size_t end = std::min(input.find('\0'), input.size());
  const Result<Tokenizer> tokenizer = Tokenizer::from_json(input.substr(0, end));
  if (!tokenizer.ok()) return;
  std::string text(kText);
  use(*tokenizer, text.append(input.substr(std::min(end + 1, input.size()))));
}

// A fixture with some of its entries changed, as a GGUF file.
class VocabularyBuilder final {
 public:
  explicit VocabularyBuilder(Choices& choices) : choices_(choices) {}

  std::vector<uint8_t> build() {
    spec_ = choices_.below(2) == 0 ? byte_level_fixture() : sentence_piece_fixture();
    constexpr const char* kPres[] = {"smollm",  "gpt-2", "llama-bpe", "qwen2",       "qwen35",
                                     "default", "dbrx",  "gpt-4o",    "deepseek-v3", "nonesuch"};
    spec_.pre = kPres[choices_.below(std::size(kPres))];
    const uint64_t num_changes = choices_.below(24);
    for (uint64_t i = 0; i < num_changes; ++i) change();
    return written();
  }

 private:
  std::string& any_token() {
    const uint64_t index = choices_.next() * uint64_t{256} + choices_.next();
    return spec_.tokens[index % spec_.tokens.size()];
  }

  void change() {
    switch (choices_.below(12)) {
      case 0:
      case 1:
        return add_merged_token();
      case 2:
        return add_token(any_token() + any_token(), static_cast<int32_t>(choices_.below(8)));
      case 3:
        return add_token(std::string(choices_.below(5), static_cast<char>(choices_.next())), 1);
      case 4:
        any_token() = any_token();
        return;
      case 5:
        if (!spec_.merges.empty()) spec_.merges[choices_.below(spec_.merges.size())] += any_token();
        return;
      case 6:
        spec_.token_types[choices_.next() % spec_.token_types.size()] =
            static_cast<int32_t>(choices_.perhaps(choices_.below(7)));
        return;
      case 7: {
        constexpr float kOdd[] = {std::numeric_limits<float>::quiet_NaN(),
                                  std::numeric_limits<float>::infinity()};
        if (!spec_.scores.empty()) spec_.scores.back() = kOdd[choices_.below(2)];
        return;
      }
      case 8:
        spec_.bos_id = static_cast<int32_t>(choices_.perhaps(choices_.next()));
        spec_.eos_id = static_cast<int32_t>(choices_.perhaps(choices_.next()));
        return;
      case 9:
        spec_.unknown_id = static_cast<int32_t>(choices_.perhaps(choices_.next()));
        return;
      case 10:
        spec_.tokens.pop_back();
        return;
      default:
        spec_.add_bos = spec_.add_eos = spec_.add_space_prefix = choices_.below(2) == 0;
        return;
    }
  }

  void add_token(const std::string& text, int32_t type) {
    spec_.tokens.push_back(text);
    spec_.token_types.push_back(type);
    if (!spec_.scores.empty()) spec_.scores.push_back(-static_cast<float>(choices_.next()));
  }

  void add_merged_token() {
    const std::string left = any_token();
    const std::string right = any_token();
    add_token(left + right, 1);
    std::string merge = left;
    spec_.merges.push_back(merge.append(" ").append(right));
  }

  std::vector<uint8_t> written() const {
    GgufWriter writer;
    writer.add_string("tokenizer.ggml.model", spec_.model);
    writer.add_string("tokenizer.ggml.pre", spec_.pre);
    writer.add_strings("tokenizer.ggml.tokens", spec_.tokens);
    writer.add_strings("tokenizer.ggml.merges", spec_.merges);
    writer.add_f32s("tokenizer.ggml.scores", spec_.scores);
    writer.add_i32s("tokenizer.ggml.token_type", spec_.token_types);
    writer.add_u32("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(spec_.bos_id));
    writer.add_u32("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(spec_.eos_id));
    writer.add_u32("tokenizer.ggml.unknown_token_id", static_cast<uint32_t>(spec_.unknown_id));
    writer.add_bool("tokenizer.ggml.add_bos_token", spec_.add_bos);
    writer.add_bool("tokenizer.ggml.add_eos_token", spec_.add_eos);
    writer.add_bool("tokenizer.ggml.add_space_prefix", spec_.add_space_prefix);
    return writer.encode();
  }

  Choices& choices_;
  TokenizerSpec spec_;
};

std::string_view text_of(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace
}  // namespace forerun

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> input(data, size);
  if (size > 0 && data[0] == 'G') {
    forerun::use_gguf(input, forerun::kText);
  } else if (size > 0 && data[0] == '{') {
    forerun::use_json(forerun::text_of(input));
  } else {
    forerun::Choices choices(input);
    const std::vector<uint8_t> file = forerun::VocabularyBuilder(choices).build();
    std::string text(forerun::kText);
    forerun::use_gguf(file, text.append(forerun::text_of(choices.rest())));
  }
  return 0;
}
