#include "text/tokenizer.h"

#include <algorithm>

#include "base/mapped_file.h"
#include "text/crate_bytes.h"

namespace forerun {
namespace {

struct FreeTokenizer {
  void operator()(ForerunTokenizer* tokenizer) const { forerun_tokenizer_free(tokenizer); }
};
using Handle = std::unique_ptr<ForerunTokenizer, FreeTokenizer>;

// Many strings in the crate's form; lives as long as the call it is made for.
class StringBlob final {
 public:
  explicit StringBlob(const std::vector<std::string>& strings) {
    offsets_.reserve(strings.size() + 1);
    offsets_.push_back(0);
    for (const std::string& string : strings) {
      bytes_ += string;
      offsets_.push_back(bytes_.size());
    }
  }

  ForerunStrings view() const {
    return {bytes_of(bytes_), bytes_.size(), offsets_.data(), offsets_.size() - 1};
  }

 private:
  std::string bytes_;
  std::vector<uint64_t> offsets_;
};

Result<Handle> make_handle(const TokenizerSpec& spec) {
  const StringBlob tokens(spec.tokens);
  const StringBlob merges(spec.merges);
  const ForerunTokenizerSpec c_spec = {
      .model = spec.model.c_str(),
      .pre = spec.pre.c_str(),
      .tokens = tokens.view(),
      .merges = merges.view(),
      .scores = spec.scores.data(),
      .num_scores = spec.scores.size(),
      .token_types = spec.token_types.data(),
      .num_token_types = spec.token_types.size(),
      .bos_id = spec.bos_id,
      .eos_id = spec.eos_id,
      .unknown_id = spec.unknown_id,
      .add_bos = spec.add_bos,
      .add_eos = spec.add_eos,
      .add_space_prefix = spec.add_space_prefix,
  };
  ForerunTokenizer* tokenizer = nullptr;
  ForerunBytes error;
  if (!forerun_tokenizer_from_spec(&c_spec, &tokenizer, &error)) return take_error(error);
  return Handle(tokenizer);
}

Result<Vocabulary> copy_vocabulary(const ForerunTokenizer* tokenizer) {
  ForerunVocabulary c_vocabulary;
  ForerunBytes error;
  if (!forerun_tokenizer_vocabulary(tokenizer, &c_vocabulary, &error)) return take_error(error);
  const size_t num_tokens = c_vocabulary.num_tokens;
  Vocabulary vocabulary;
  vocabulary.bytes.assign(reinterpret_cast<const char*>(c_vocabulary.bytes.data),
                          c_vocabulary.bytes.size);
  vocabulary.offsets.assign(c_vocabulary.offsets, c_vocabulary.offsets + num_tokens + 1);
  vocabulary.special.assign(c_vocabulary.special, c_vocabulary.special + num_tokens);
  vocabulary.strips_leading_space = c_vocabulary.strips_leading_space;
  forerun_vocabulary_free(c_vocabulary);
  return vocabulary;
}

Status check_end_ids(const TokenizerSpec& spec) {
  const auto num_tokens = static_cast<int32_t>(spec.tokens.size());
  for (const int32_t id : spec.end_ids) {
    if (id < 0 || id >= num_tokens) {
      return Error{"the tokenizer's end token " + std::to_string(id) +
                   " is outside its vocabulary of " + std::to_string(num_tokens) + " tokens"};
    }
  }
  return {};
}

}  // namespace

struct Tokenizer::State {
  Handle handle;
  Vocabulary vocabulary;
};

Tokenizer::Tokenizer(std::shared_ptr<const State> state, SpecialTokens special)
    : state_(std::move(state)), special_(std::move(special)) {
  std::vector<int32_t>& ends = special_.end_ids;
  std::ranges::sort(ends);
  ends.erase(std::ranges::unique(ends).begin(), ends.end());
}

Tokenizer Tokenizer::with(SpecialTokens special) const {
  return {state_, std::move(special)};
}

Result<Tokenizer> Tokenizer::create(const TokenizerSpec& spec) {
  Result<Handle> handle = make_handle(spec);
  if (!handle.ok()) return handle.error();
  if (Status status = check_end_ids(spec); !status.ok()) return status.error();
  Result<Vocabulary> vocabulary = copy_vocabulary(handle->get());
  if (!vocabulary.ok()) return vocabulary.error();
  return Tokenizer(std::make_shared<const State>(State{std::move(*handle), std::move(*vocabulary)}),
                   {spec.bos_id, spec.eos_id, spec.end_ids, spec.chat_template});
}

Result<Tokenizer> Tokenizer::from_file(const std::string& tokenizer_json_path) {
  Result<MappedFile> file = MappedFile::open(tokenizer_json_path);
  if (!file.ok()) return file.error();
  const auto bytes = file->bytes();
  Result<Tokenizer> tokenizer =
      from_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!tokenizer.ok()) return Error{tokenizer_json_path + ": " + tokenizer.error().message};
  return tokenizer;
}

Result<Tokenizer> Tokenizer::from_json(std::string_view tokenizer_json) {
  ForerunTokenizer* tokenizer = nullptr;
  ForerunBytes error;
  if (!forerun_tokenizer_from_json(bytes_of(tokenizer_json), tokenizer_json.size(), &tokenizer,
                                   &error)) {
    return take_error(error);
  }
  Handle handle(tokenizer);
  Result<Vocabulary> vocabulary = copy_vocabulary(handle.get());
  if (!vocabulary.ok()) return vocabulary.error();
  return Tokenizer(std::make_shared<const State>(State{std::move(handle), std::move(*vocabulary)}),
                   {});
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text, bool add_special,
                                               bool parse_special) const {
  ForerunIds c_ids;
  ForerunBytes error;
  if (!forerun_tokenizer_encode(state_->handle.get(), bytes_of(text), text.size(), add_special,
                                parse_special, &c_ids, &error)) {
    return take_error(error);
  }
  std::vector<int32_t> ids(c_ids.data, c_ids.data + c_ids.size);
  forerun_ids_free(c_ids);
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, DecodeOptions options) const {
  return forerun::decode(state_->vocabulary, ids, options);
}

const Vocabulary& Tokenizer::vocabulary() const {
  return state_->vocabulary;
}

const ForerunTokenizer* Tokenizer::crate_handle() const {
  return state_->handle.get();
}

bool Tokenizer::is_end(int32_t id) const {
  return std::ranges::binary_search(special_.end_ids, id);
}

}  // namespace forerun
