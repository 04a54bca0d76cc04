// Reads the JSON files of a Hugging Face directory that a stranger wrote. An input is one object
// that holds them under their names: {"config.json": {...}, "tokenizer_config.json": {...}, ...}.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/json.h"
#include "formats/hf_directory.h"
#include "formats/safetensors_shards.h"
#include "sampling/sampling_defaults.h"
#include "text/hf_tokenizer.h"

namespace forerun {
namespace {

Vocabulary make_vocabulary() {
  Vocabulary vocabulary;
  vocabulary.offsets = {0};
  for (const char* text : {"a", "<s>", "</s>", "<|end|>"}) {
    vocabulary.bytes += text;
    vocabulary.offsets.push_back(vocabulary.bytes.size());
    vocabulary.special.push_back(text[0] == '<');
  }
  return vocabulary;
}

// As HfDirectory reads files: one that is no object never gets further.
Json object_of(const Json& files, const char* name) {
  const auto found = files.find(name);
  return found != files.end() && found->is_object() ? *found : Json::object();
}

void read_directory(const Json& files) {
  static const Vocabulary kVocabulary = make_vocabulary();
  HfConfigs configs;
  configs.config = object_of(files, "config.json");
  configs.generation_config = object_of(files, "generation_config.json");
  configs.tokenizer_config = object_of(files, "tokenizer_config.json");
  configs.special_tokens_map = object_of(files, "special_tokens_map.json");
  Result<std::string> chat_template = chat_template_of(configs.tokenizer_config);
  if (chat_template.ok()) configs.chat_template = *std::move(chat_template);
  const auto weight_map = read_weight_map(object_of(files, "model.safetensors.index.json"));
  if (weight_map.ok()) {
    for (const auto& [tensor, file] : *weight_map) {
      if (file.find('/') != std::string::npos) std::abort();
    }
  }
  const Result<SamplingDefaults> sampling = read_sampling_defaults(configs.generation_config);
  if (sampling.ok() && sampling->temperature && !(*sampling->temperature >= 0.0f)) std::abort();
  const Result<SpecialTokens> special = read_special_tokens(configs, kVocabulary);
  if (!special.ok()) return;
  for (const int32_t id : special->end_ids) {
    if (!kVocabulary.contains(id)) std::abort();
  }
}

}  // namespace
}  // namespace forerun

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto files = forerun::parse_json({reinterpret_cast<const char*>(data), size});
  if (files.ok() && files->is_object()) forerun::read_directory(*files);
  return 0;
}
