#include <algorithm>

#include "server/chat_fields.h"

namespace forerun {
namespace {

constexpr size_t kMaxTools = 128;
constexpr size_t kMaxNameBytes = 256;

// The function's name, or an error.
std::string read_tool(JsonFields& fields, const OrderedJson& tool, const std::string& name) {
  JsonFields outer(tool, name + ".");
  if (outer.text("type").value_or("") != "function") {
    outer.refuse("type", "must be \"function\"");
  }
  std::string function_name;
  if (const OrderedJson* function = outer.object("function")) {
    JsonFields inner(*function, name + ".function.");
    function_name = inner.text("name").value_or("");
    if (function_name.empty() || function_name.size() > kMaxNameBytes) {
      inner.refuse("name", "must be a string of 1 to " + std::to_string(kMaxNameBytes) + " bytes");
    }
    inner.object("parameters");
    inner.text("description");
    inner.flag("strict");
    if (!inner.ok()) outer.take_error(inner);
  } else {
    outer.refuse("function", "is missing");
  }
  if (!outer.ok()) fields.take_error(outer);
  return function_name;
}

ToolChoice read_choice(JsonFields& fields, bool has_tools) {
  using Mode = ToolChoice::Mode;
  const OrderedJson* value = fields.any("tool_choice");
  if (value == nullptr) return {};
  if (*value == "auto") return {};
  if (*value == "none") return {Mode::kNone};
  ToolChoice choice;
  if (*value == "required") {
    choice.mode = Mode::kRequired;
  } else if (value->is_object()) {
    const OrderedJson* function = JsonFields(*value, "tool_choice.").object("function");
    if (function != nullptr) choice.function = JsonFields(*function).text("name").value_or("");
    choice.mode = Mode::kFunction;
  }
  if (choice.mode == Mode::kAuto || (choice.mode == Mode::kFunction && choice.function.empty())) {
    fields.refuse("tool_choice",
                  "must be \"none\", \"auto\", \"required\" or the name of a function");
  } else if (!has_tools) {
    fields.refuse("tool_choice", "asks for a call, and there are no tools");
  }
  return choice;
}

}  // namespace

ToolFields read_tools(JsonFields& fields) {
  ToolFields read;
  const OrderedJson* tools = fields.list("tools");
  if (tools != nullptr && tools->size() > kMaxTools) {
    fields.refuse("tools", "has " + std::to_string(tools->size()) + " functions; the limit is " +
                               std::to_string(kMaxTools));
  } else if (tools != nullptr && !tools->empty()) {
    read.tools = tools;
    for (size_t i = 0; i < tools->size(); ++i) {
      read.names.push_back(read_tool(fields, (*tools)[i], "tools[" + std::to_string(i) + "]"));
    }
  }
  read.choice = read_choice(fields, read.tools != nullptr);
  const bool is_one = std::ranges::find(read.names, read.choice.function) != read.names.end();
  if (read.choice.mode == ToolChoice::Mode::kFunction && !is_one) {
    fields.refuse("tool_choice", "names \"" + read.choice.function.substr(0, 100) +
                                     "\", which is none of the tools");
  }
  // Who names a function wants a call of it, not several.
  const bool named = read.choice.mode == ToolChoice::Mode::kFunction;
  read.parallel = fields.flag("parallel_tool_calls").value_or(!named);
  return read;
}

}  // namespace forerun
