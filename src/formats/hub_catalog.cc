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

bool is_member(std::string_view text) {
  const std::string_view file = text.substr(text.rfind('/') + 1);
  return file.size() > 5 && file.ends_with(".gguf") && file[0] != '.' && file[0] != '-' &&
         std::ranges::none_of(text, [](char c) { return c == '\0' || c == '\\'; });
}

Result<std::string> text_field(const Json& fields, const char* field,
                               bool (*is_valid)(std::string_view)) {
  const auto found = fields.find(field);
  if (found == fields.end()) return Error{std::string("has no ") + field};
  if (!found->is_string() || !is_valid(found->get_ref<const std::string&>())) {
    return Error{std::string("has a ") + field + " that cannot be one: " +
                 quote(found->dump(-1, ' ', false, Json::error_handler_t::replace))};
  }
  return found->get<std::string>();
}

Result<HubModel> parse_model(const std::string& name, const Json& fields) {
  if (!is_plain_name(name)) return Error{"has a name that cannot be one"};
  if (!fields.is_object()) return Error{"is not an object"};
  HubModel model;
  model.name = name;
  struct Field {
    const char* name;
    std::string HubModel::* place;
    bool (*is_valid)(std::string_view);
  };
  constexpr Field kFields[] = {{"package", &HubModel::package, is_plain_name},
                               {"version", &HubModel::version, is_plain_name},
                               {"member", &HubModel::member, is_member},
                               {"sha256", &HubModel::sha256, is_digest}};
  for (const Field& field : kFields) {
    Result<std::string> text = text_field(fields, field.name, field.is_valid);
    if (!text.ok()) return text.error();
    model.*field.place = *std::move(text);
  }
  const auto size = fields.find("size_bytes");
  if (size == fields.end() || !size->is_number_unsigned() || *size == 0) {
    return Error{"has no size_bytes above 0"};
  }
  model.size_bytes = size->get<uint64_t>();
  return model;
}

}  // namespace

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
