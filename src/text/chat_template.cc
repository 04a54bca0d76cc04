#include "text/chat_template.h"

#include "text/crate_bytes.h"

namespace forerun {
namespace {

Result<std::string> template_variables(const OrderedJson& messages, const ChatOptions& options) {
  if (!messages.is_array()) return Error{"messages must be an array"};
  if (!options.tools.is_null() && !options.tools.is_array()) {
    return Error{"tools must be an array"};
  }
  if (!options.variables.is_null() && !options.variables.is_object()) {
    return Error{"chat_template_kwargs must be an object"};
  }
  OrderedJson variables = options.variables.is_null() ? OrderedJson::object() : options.variables;
  variables["messages"] = messages;
  // Templates ask `if tools`, or `tools is not none`: an absent list is none, as transformers has
  // it.
  variables["tools"] = options.tools;
  variables["add_generation_prompt"] = options.add_generation_prompt;
  variables["bos_token"] = options.bos_text;
  variables["eos_token"] = options.eos_text;
  // Text that is not UTF-8 must not throw here.
  return variables.dump(/*indent=*/-1, ' ', /*ensure_ascii=*/false,
                        OrderedJson::error_handler_t::replace);
}

}  // namespace

Result<std::string> render_chat(std::string_view chat_template, const OrderedJson& messages,
                                const ChatOptions& options) {
  const Result<std::string> variables = template_variables(messages, options);
  if (!variables.ok()) return variables.error();
  ForerunBytes text;
  ForerunBytes error;
  if (!forerun_template_render(bytes_of(chat_template), chat_template.size(), bytes_of(*variables),
                               variables->size(), &text, &error)) {
    return take_error(error);
  }
  return take_text(text);
}

}  // namespace forerun
