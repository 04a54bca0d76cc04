#include "formats/hub_catalog.h"

#include <algorithm>

#include "base/check.h"
#include "base/edit_distance.h"
#include "base/json.h"
#include "formats/models_json.h"
#include "formats/quote.h"

namespace forerun {
namespace {

bool is_lower_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// These become a folder's name or an argument of pip: no separator, no "..", no leading dash.
bool is_plain_name(std::string_view text) {
  return !text.empty() && is_lower_or_digit(text[0]) && text.find("..") == std::string_view::npos &&
         std::ranges::all_of(text, [](char c) {
           return is_lower_or_digit(c) || c == '.' || c == '-' || c == '_' || c == '+';
         });
}

bool is_digest(std::string_view text) {
  return text.size() == 64 && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// "name==version"
bool is_package(std::string_view text) {
  const size_t equals = text.find("==");
  return equals != std::string_view::npos && is_plain_name(text.substr(0, equals)) &&
         is_plain_name(text.substr(equals + 2));
}

// A path inside a wheel: it goes to Python's zipfile, never to the file system.
bool is_member(std::string_view text) {
  return !text.empty() && text[0] != '-' &&
         std::ranges::none_of(text, [](char c) { return c == '\0' || c == '\\'; });
}

// The end of a file that forerun reads; nothing else is put into a model's folder.
bool has_known_ending(std::string_view name) {
  constexpr std::string_view kEndings[] = {".gguf", ".json", ".safetensors", ".jinja"};
  return std::ranges::any_of(kEndings, [&](std::string_view end) { return name.ends_with(end); });
}

// A path that stays in the model's folder: no empty step, none that begins with a dot or a dash.
bool is_file(std::string_view text) {
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('/', begin), text.size());
    const std::string_view step = text.substr(begin, end - begin);
    if (step.empty() || step[0] == '.' || step[0] == '-') return false;
    begin = end + 1;
  }
  return is_member(text) && has_known_ending(text);
}

using Check = bool (*)(std::string_view);

Error cannot_be(const char* field, const Json& value) {
  return Error{"cannot have " + quote(value.dump(-1, ' ', false, Json::error_handler_t::replace)) +
               " as its " + field};
}

Result<std::string> text_field(const Json& fields, const char* field, Check is_valid) {
  const auto found = fields.find(field);
  if (found == fields.end()) return Error{std::string("has no ") + field};
  if (!found->is_string() || !is_valid(found->get_ref<const std::string&>())) {
    return cannot_be(field, *found);
  }
  return found->get<std::string>();
}

Result<std::vector<std::string>> texts_field(const Json& fields, const char* field,
                                             Check is_valid) {
  const auto found = fields.find(field);
  if (found == fields.end() || !found->is_array() || found->empty()) {
    return Error{std::string("has no list of ") + field};
  }
  std::vector<std::string> texts;
  for (const Json& text : *found) {
    if (!text.is_string() || !is_valid(text.get_ref<const std::string&>())) {
      return cannot_be(field, text);
    }
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

Result<HubFile> parse_file(const Json& fields) {
  if (!fields.is_object()) return Error{"has a file that is not an object"};
  Result<std::string> name = text_field(fields, "file", is_file);
  if (!name.ok()) return name.error();
  Result<std::vector<std::string>> members = texts_field(fields, "members", is_member);
  if (!members.ok()) return members.error();
  Result<std::string> sha256 = text_field(fields, "sha256", is_digest);
  if (!sha256.ok()) return sha256.error();
  const auto size = fields.find("size_bytes");
  if (size == fields.end() || !size->is_number_unsigned() || *size == 0) {
    return Error{"has no size_bytes above 0"};
  }
  return HubFile{*std::move(name), *std::move(members), *std::move(sha256), size->get<uint64_t>()};
}

Result<HubModel> parse_model(const std::string& name, const Json& fields) {
  if (!is_plain_name(name)) return Error{"has a name that cannot be one"};
  if (!fields.is_object()) return Error{"is not an object"};
  HubModel model;
  model.name = name;
  Result<std::vector<std::string>> packages = texts_field(fields, "packages", is_package);
  if (!packages.ok()) return packages.error();
  model.packages = *std::move(packages);
  const auto files = fields.find("files");
  if (files == fields.end() || !files->is_array() || files->empty()) {
    return Error{"has no list of files"};
  }
  for (const Json& entry : *files) {
    Result<HubFile> file = parse_file(entry);
    if (!file.ok()) return file.error();
    model.files.push_back(*std::move(file));
  }
  return model;
}

}  // namespace

uint64_t HubModel::size_bytes() const {
  uint64_t total = 0;
  for (const HubFile& file : files) total += file.size_bytes;
  return total;
}

std::string HubModel::package_list() const {
  std::string list;
  for (const std::string& package : packages) {
    const size_t equals = package.find("==");
    list +=
        (list.empty() ? "" : ", ") + package.substr(0, equals) + " " + package.substr(equals + 2);
  }
  return list;
}

const HubCatalog& HubCatalog::builtin() {
  static const HubCatalog catalog = [] {
    Result<HubCatalog> parsed = parse(models_json());
    CHECK(parsed.ok(), parsed.error().message);
    return *std::move(parsed);
  }();
  return catalog;
}

Result<HubCatalog> HubCatalog::parse(std::string_view json) {
  const Result<Json> table = parse_json(json);
  if (!table.ok()) return Error{"models.json: " + table.error().message};
  if (!table->is_object()) return Error{"models.json is not an object"};
  HubCatalog catalog;
  for (const auto& [name, fields] : table->items()) {
    Result<HubModel> model = parse_model(name, fields);
    if (!model.ok()) {
      return Error{"models.json: model " + quote(name) + " " + model.error().message};
    }
    catalog.models_.push_back(*std::move(model));
  }
  return catalog;
}

Result<HubModel> HubCatalog::find(std::string_view name) const {
  const auto found = std::ranges::find(models_, name, &HubModel::name);
  if (found != models_.end()) return *found;
  std::vector<std::string> names;
  names.reserve(models_.size());
  for (const HubModel& model : models_) names.push_back(model.name);
  std::string list;
  for (const std::string& known : by_nearness(name, names)) {
    list += (list.empty() ? "" : ", ") + known;
  }
  return Error{"no model is called " + quote(name) + "; there are: " + list};
}

}  // namespace forerun
