#include "text/hf_tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>

#include "formats/quote.h"

namespace forerun {
namespace {

Error field_error(const std::string& file, const std::string& key, const std::string& sentence) {
  return Error{file + ": '" + key + "' " + sentence};
}

// Looks `key` up; null where it is absent, so that both read the same.
const Json& value_of(const Json& object, const std::string& key) {
  static const Json kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

// The id of a token by its text; added tokens first, since an ordinary one may be spelled alike.
int32_t find_token(const Vocabulary& vocabulary, std::string_view text) {
  int32_t plain = kNoToken;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary.token_bytes(id) != text) continue;
    if (vocabulary.is_special(id)) return id;
    if (plain == kNoToken) plain = id;
  }
  return plain;
}

// A token is written as its text, or as an object whose "content" it is.
Result<std::string> token_text(const Json& value, const std::string& file, const std::string& key) {
  if (value.is_null()) return std::string();
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object()) {
    const Json& content = value_of(value, "content");
    if (content.is_string()) return content.get<std::string>();
  }
  return field_error(file, key, "is neither a text nor an object with a 'content'");
}

Result<int32_t> token_id(const Json& value, const std::string& file, const std::string& key,
                         const Vocabulary& vocabulary) {
  if (!value.is_number_integer()) {
    return field_error(file, key, "is not a token id: a whole number is expected");
  }
  const auto id = value.is_number_unsigned() ? value.get<uint64_t>() : UINT64_MAX;
  if (id >= static_cast<uint64_t>(vocabulary.size())) {
    return field_error(file, key,
                       "is " + value.dump() + ", outside the vocabulary of " +
                           std::to_string(vocabulary.size()) + " tokens");
  }
  return static_cast<int32_t>(id);
}

// One id, a list of them, or nothing.
Result<std::vector<int32_t>> token_ids(const Json& config, const std::string& file,
                                       const std::string& key, const Vocabulary& vocabulary) {
  constexpr size_t kMaxIds = 1024;
  const Json& value = value_of(config, key);
  std::vector<int32_t> ids;
  if (value.is_null()) return ids;
  const Json list = value.is_array() ? value : Json::array({value});
  if (list.size() > kMaxIds) {
    return field_error(file, key,
                       "lists " + std::to_string(list.size()) + " tokens; the limit is " +
                           std::to_string(kMaxIds));
  }
  for (const Json& entry : list) {
    const Result<int32_t> id = token_id(entry, file, key, vocabulary);
    if (!id.ok()) return id.error();
    ids.push_back(*id);
  }
  return ids;
}

// "bos" or "eos".
Result<int32_t> named_token(const HfConfigs& configs, const std::string& name,
                            const Vocabulary& vocabulary) {
  const std::string key = name + "_token";
  struct Source {
    const Json& config;
    const char* file;
  };
  const Source kSources[] = {{configs.tokenizer_config, "tokenizer_config.json"},
                             {configs.special_tokens_map, "special_tokens_map.json"}};
  for (const auto& [config, file] : kSources) {
    const Result<std::string> text = token_text(value_of(config, key), file, key);
    if (!text.ok()) return text.error();
    if (text->empty()) continue;
    const int32_t id = find_token(vocabulary, *text);
    if (id != kNoToken) return id;
    return field_error(file, key, "is " + quote(*text) + ", which tokenizer.json does not have");
  }
  if (!configs.tokenizer_config.empty() || !configs.special_tokens_map.empty()) return kNoToken;
  const auto ids = token_ids(configs.config, "config.json", key + "_id", vocabulary);
  if (!ids.ok()) return ids.error();
  return ids->empty() ? kNoToken : ids->front();
}

Result<std::vector<int32_t>> end_tokens(const HfConfigs& configs, const Vocabulary& vocabulary) {
  constexpr char kKey[] = "eos_token_id";
  if (!value_of(configs.generation_config, kKey).is_null()) {
    return token_ids(configs.generation_config, "generation_config.json", kKey, vocabulary);
  }
  return token_ids(configs.config, "config.json", kKey, vocabulary);
}

}  // namespace

Result<SpecialTokens> read_special_tokens(const HfConfigs& configs, const Vocabulary& vocabulary) {
  const Result<int32_t> bos = named_token(configs, "bos", vocabulary);
  if (!bos.ok()) return bos.error();
  const Result<int32_t> eos = named_token(configs, "eos", vocabulary);
  if (!eos.ok()) return eos.error();
  Result<std::vector<int32_t>> ends = end_tokens(configs, vocabulary);
  if (!ends.ok()) return ends.error();
  SpecialTokens special;
  special.bos_id = *bos;
  special.eos_id = *eos != kNoToken || ends->empty() ? *eos : ends->front();
  special.end_ids = *std::move(ends);
  if (special.eos_id != kNoToken) special.end_ids.push_back(special.eos_id);
  special.chat_template = configs.chat_template;
  return special;
}

Result<Tokenizer> read_hf_tokenizer(const HfDirectory& directory) {
  const std::string path = directory.tokenizer_json_path();
  std::error_code failure;
  if (!std::filesystem::exists(path, failure)) {
    return Error{directory.path() +
                 " has no tokenizer.json, the only kind of tokenizer file that is read; save the "
                 "tokenizer again with transformers (save_pretrained writes one)"};
  }
  const Result<Tokenizer> tokenizer = Tokenizer::from_file(path);
  if (!tokenizer.ok()) return tokenizer.error();
  Result<SpecialTokens> special = read_special_tokens(directory.configs(), tokenizer->vocabulary());
  if (!special.ok()) return Error{directory.path() + "/" + special.error().message};
  return tokenizer->with(*std::move(special));
}

}  // namespace forerun
