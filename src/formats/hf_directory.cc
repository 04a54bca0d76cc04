#include "formats/hf_directory.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "formats/quote.h"
#include "formats/small_json_file.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

// The largest in use, tokenizer_config.json with thousands of added tokens, have a few MB.
constexpr uint64_t kMaxConfigBytes = 16'000'000;
constexpr uint64_t kMaxTemplateBytes = 1'000'000;

bool is_file(const std::string& path) {
  std::error_code failure;
  return fs::is_regular_file(path, failure);
}

Result<std::string> named_template(const Json& list) {
  std::string chosen;
  for (const Json& entry : list) {
    const auto text_of = [&](const char* key) {
      const auto found = entry.is_object() ? entry.find(key) : entry.end();
      const bool is_text = found != entry.end() && found->is_string();
      return is_text ? found->get_ref<const std::string&>() : std::string();
    };
    std::string text = text_of("template");
    const std::string name = text_of("name");
    if (text.empty() || name.empty()) {
      return Error{"'chat_template' is a list, but not of objects with a name and a template"};
    }
    if (name == "default" || list.size() == 1) chosen = std::move(text);
  }
  return chosen;
}

}  // namespace

Result<std::string> chat_template_of(const Json& config) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return std::string();
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array()) return named_template(*found);
  return Error{"'chat_template' is neither a string nor a list of named templates"};
}

Result<HfDirectory> HfDirectory::open(const std::string& path) {
  Result<SafetensorsShards> weights = SafetensorsShards::open(path);
  if (!weights.ok()) return weights.error();
  HfDirectory directory(*std::move(weights));
  Status status = directory.read_configs();
  if (status.ok()) status = directory.read_chat_template();
  if (!status.ok()) return status.error();
  return directory;
}

Status HfDirectory::read_configs() {
  struct Config {
    const char* name;
    Json HfConfigs::* place;
  };
  constexpr Config kConfigs[] = {{"config.json", &HfConfigs::config},
                                 {"generation_config.json", &HfConfigs::generation_config},
                                 {"tokenizer_config.json", &HfConfigs::tokenizer_config},
                                 {"special_tokens_map.json", &HfConfigs::special_tokens_map}};
  for (const Config& config : kConfigs) {
    const std::string file = path() + "/" + config.name;
    if (!is_file(file)) continue;
    Result<Json> json = read_json_object(file, kMaxConfigBytes);
    if (!json.ok()) return json.error();
    configs_.*config.place = *std::move(json);
  }
  return {};
}

Status HfDirectory::read_chat_template() {
  const std::string jinja = path() + "/chat_template.jinja";
  const std::string json_file = path() + "/chat_template.json";
  Result<std::string> text = std::string();
  if (is_file(jinja)) {
    text = read_small_file(jinja, kMaxTemplateBytes);
    if (!text.ok()) return text.error();
  }
  if (text->empty()) {
    text = chat_template_of(configs_.tokenizer_config);
    if (!text.ok()) return Error{path() + "/tokenizer_config.json: " + text.error().message};
  }
  if (text->empty() && is_file(json_file)) {
    const Result<Json> json = read_json_object(json_file, kMaxConfigBytes);
    if (!json.ok()) return json.error();
    text = chat_template_of(*json);
    if (!text.ok()) return Error{json_file + ": " + text.error().message};
  }
  configs_.chat_template = *std::move(text);
  return {};
}

}  // namespace forerun
