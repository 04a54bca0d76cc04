#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace forerun {

// Keeps keys in the order they were written: templates print tools and arguments, and the model
// was trained on that order. A Json converts to it (sorted).
using OrderedJson = nlohmann::ordered_json;

struct ChatOptions {
  bool add_generation_prompt = true;  // end with the opening of the assistant's answer
  OrderedJson tools = {};             // array of function tools; null: none
  OrderedJson variables = {};         // object of further template variables (`enable_thinking`,
                                      // ...); null: none. They cannot replace those above
  std::string bos_text = {};          // Tokenizer::bos_text(), eos_text()
  std::string eos_text = {};
};

// The prompt a model's Jinja template makes of `messages` (array of {role, content, ...}), as
// transformers' apply_chat_template would. Encode it with add_special = false and parse_special =
// true. A template that refuses the messages, fails, or reaches a limit (256 KiB of source, a
// million instructions, recursion 100 deep, 4 MiB of output, memory, 10 s) is an Error that says
// which.
Result<std::string> render_chat(std::string_view chat_template, const OrderedJson& messages,
                                const ChatOptions& options);

}  // namespace forerun
