#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/json_fields.h"
#include "text/chat_template.h"
#include "text/tool_grammar.h"

namespace forerun {

// `messages`, held to what templates may rely on: roles that there are, contents that are texts or
// lists of parts, calls that have names. Null after an error.
const OrderedJson* read_messages(JsonFields& fields);

// The functions that an answer may call.
struct ToolFields {
  const OrderedJson* tools = nullptr;  // a checked list; null: none
  std::vector<std::string> names = {};
  ToolChoice choice = {};
  bool parallel = true;

  bool may_call() const { return tools != nullptr && choice.mode != ToolChoice::Mode::kNone; }
};
ToolFields read_tools(JsonFields& fields);

}  // namespace forerun
