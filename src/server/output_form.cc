#include "server/output_form.h"

#include <optional>
#include <utility>

namespace forerun {
namespace {

struct NamedSpec {
  std::string field;
  GrammarSpec spec;
};

// `json_schema` of a response_format.
std::optional<GrammarSpec> read_schema(JsonFields& format) {
  const OrderedJson* holder = format.object("json_schema");
  if (holder == nullptr) {
    format.refuse("json_schema", "is missing");
    return std::nullopt;
  }
  const OrderedJson* schema = JsonFields(*holder).any("schema");
  if (schema == nullptr) return GrammarSpec{GrammarKind::kJsonObject, {}};
  if (!schema->is_object() && !schema->is_boolean()) {
    format.refuse("json_schema.schema",
                  std::string("is ") + json_kind(*schema) + "; it must be an object");
    return std::nullopt;
  }
  return GrammarSpec{GrammarKind::kJsonSchema, schema->dump()};
}

std::optional<GrammarSpec> read_response_format(JsonFields& fields) {
  const OrderedJson* object = fields.object("response_format");
  if (object == nullptr) return std::nullopt;
  JsonFields format(*object, "response_format.");
  const std::string type = format.text("type").value_or("");
  std::optional<GrammarSpec> spec;
  if (type == "json_object") {
    spec = GrammarSpec{GrammarKind::kJsonObject, {}};
  } else if (type == "json_schema") {
    spec = read_schema(format);
  } else if (type != "text") {
    format.refuse("type", "must be \"text\", \"json_object\" or \"json_schema\"");
  }
  if (!format.ok()) fields.take_error(format);
  return spec;
}

std::optional<GrammarSpec> read_text(JsonFields& fields, const char* name, GrammarKind kind) {
  std::optional<std::string> text = fields.text(name);
  if (!text) return std::nullopt;
  return GrammarSpec{kind, std::move(*text)};
}

std::optional<GrammarSpec> read_guided_json(JsonFields& fields) {
  const OrderedJson* schema = fields.any("guided_json");
  if (schema == nullptr) return std::nullopt;
  return GrammarSpec{GrammarKind::kJsonSchema,
                     schema->is_string() ? schema->get<std::string>() : schema->dump()};
}

std::optional<NamedSpec> read_spec(JsonFields& fields) {
  std::optional<NamedSpec> found;
  const auto take = [&](const char* name, std::optional<GrammarSpec> spec) {
    if (!spec) return;
    if (found) fields.refuse(name, "and " + found->field + " exclude each other");
    found = NamedSpec{name, std::move(*spec)};
  };
  take("response_format", read_response_format(fields));
  take("regex", read_text(fields, "regex", GrammarKind::kRegex));
  take("grammar", read_text(fields, "grammar", GrammarKind::kLark));
  take("guided_json", read_guided_json(fields));
  take("guided_regex", read_text(fields, "guided_regex", GrammarKind::kRegex));
  take("guided_grammar", read_text(fields, "guided_grammar", GrammarKind::kLark));
  return found;
}

}  // namespace

bool read_output_form(JsonFields& fields, const ModelService& service, Request& request) {
  const std::optional<NamedSpec> named = read_spec(fields);
  if (!named || !fields.ok()) return false;
  hold_to(fields, service, named->field, named->spec, request);
  return true;
}

void hold_to(JsonFields& fields, const ModelService& service, const std::string& name,
             const GrammarSpec& spec, Request& request) {
  if (!fields.ok()) return;
  if (service.grammars == nullptr)
    return fields.refuse(name, "needs a tokenizer: " + service.tokenizer_error);
  Result<std::shared_ptr<const Grammar>> grammar = service.grammars->compile(spec);
  if (!grammar.ok()) return fields.refuse(name, "cannot be followed: " + grammar.error().message);
  request.grammar = std::move(*grammar);
}

}  // namespace forerun
