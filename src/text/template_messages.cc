#include "text/template_messages.h"

#include <array>
#include <string>
#include <utility>

#include "base/json.h"
#include "formats/quote.h"

namespace forerun {
namespace {

constexpr JsonLimits kArgumentsLimits = {
    .max_depth = 64, .max_values = 100'000, .max_comparisons = 10'000'000};
constexpr size_t kMistralIdBytes = 9;

constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kRoles = {
    {{"developer", "system"}, {"function", "tool"}}};

std::string text_of(const OrderedJson& object, const char* field) {
  if (!object.is_object()) return "";
  const auto found = object.find(field);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// Depth is limited: templates and their printing of JSON recurse.
Result<OrderedJson> parse_arguments(const std::string& text) {
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return OrderedJson::object();
  if (Status limits = check_json_limits(text, kArgumentsLimits); !limits.ok())
    return limits.error();
  const Result<Json> checked = parse_json(text, kArgumentsLimits.max_depth);
  if (!checked.ok()) return checked.error();
  if (!checked->is_object()) return Error{"it is not an object"};
  return OrderedJson::parse(text);  // in the order that the client wrote
}

Status join_parts(OrderedJson& content, const std::string& where) {
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string type = text_of(content[i], "type");
    if (type != "text" && type != "refusal") {
      return Error{where + ".content[" + std::to_string(i) + "] is of type " + quote(type) +
                   "; this model reads text only"};
    }
    text += text_of(content[i], type.c_str());
  }
  content = std::move(text);
  return {};
}

Status open_arguments(OrderedJson& function, const std::string& where) {
  const auto arguments = function.find("arguments");
  if (arguments == function.end() || !arguments->is_string()) return {};
  Result<OrderedJson> object = parse_arguments(arguments->get<std::string>());
  if (!object.ok()) {
    return Error{
        where + ".function.arguments must be the text of a JSON object: " + object.error().message};
  }
  *arguments = *std::move(object);
  return {};
}

void cut_id(OrderedJson& object, const char* field) {
  const std::string id = text_of(object, field);
  if (id.size() > kMistralIdBytes) object[field] = id.substr(id.size() - kMistralIdBytes);
}

Status change_calls(OrderedJson& message, const std::string& where, ToolSyntax syntax) {
  const auto calls = message.find("tool_calls");
  if (calls == message.end() || !calls->is_array()) return {};
  // Templates ask whether there is such a field.
  if (calls->empty()) {
    message.erase("tool_calls");
    return {};
  }
  for (size_t i = 0; i < calls->size(); ++i) {
    OrderedJson& call = (*calls)[i];
    if (!call.is_object() || !call.contains("function")) continue;
    const Status opened =
        open_arguments(call["function"], where + ".tool_calls[" + std::to_string(i) + "]");
    if (!opened.ok()) return opened;
    if (syntax == ToolSyntax::kMistral) cut_id(call, "id");
  }
  return {};
}

Status change(OrderedJson& message, const std::string& where, ToolSyntax syntax) {
  const std::string role = text_of(message, "role");
  for (const auto& [theirs, ours] : kRoles) {
    if (role == theirs) message["role"] = ours;
  }
  if (const auto content = message.find("content");
      content != message.end() && content->is_array()) {
    if (const Status joined = join_parts(*content, where); !joined.ok()) return joined;
  }
  if (!message.contains("reasoning_content") && message.contains("reasoning")) {
    message["reasoning_content"] = message["reasoning"];
  }
  if (syntax == ToolSyntax::kMistral) cut_id(message, "tool_call_id");
  return change_calls(message, where, syntax);
}

}  // namespace

Result<OrderedJson> messages_for_template(const OrderedJson& messages, ToolSyntax syntax) {
  OrderedJson changed = messages;
  for (size_t i = 0; i < changed.size(); ++i) {
    if (!changed[i].is_object()) continue;
    const Status status = change(changed[i], "messages[" + std::to_string(i) + "]", syntax);
    if (!status.ok()) return status.error();
  }
  return changed;
}

}  // namespace forerun
