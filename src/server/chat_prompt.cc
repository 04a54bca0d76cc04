#include "server/chat_prompt.h"

#include <utility>

#include "server/conversation.h"
#include "server/prompt_fields.h"
#include "text/chat_template.h"
#include "text/template_messages.h"

namespace forerun {
namespace {

bool need_template(JsonFields& fields, const ModelService& service) {
  if (!need_tokenizer(fields, "messages", service)) return false;
  if (!service.tokenizer->chat_template().empty()) return true;
  fields.refuse("messages",
                "need a chat template, and the model has none; /v1/completions takes a prompt");
  return false;
}

struct Ending {
  bool opens_answer = true;   // with the opening of the assistant's answer
  bool is_continued = false;  // the last message is the beginning of the answer
};

Ending read_ending(JsonFields& fields) {
  Ending ending;
  ending.is_continued = fields.flag("continue_final_message").value_or(false);
  const std::optional<bool> opens = fields.flag("add_generation_prompt");
  if (ending.is_continued && opens.value_or(false)) {
    fields.refuse("continue_final_message", "and add_generation_prompt exclude each other");
  }
  ending.opens_answer = opens.value_or(!ending.is_continued);
  return ending;
}

OrderedJson read_variables(JsonFields& fields) {
  OrderedJson variables = OrderedJson::object();
  if (const OrderedJson* given = fields.object("chat_template_kwargs")) variables = *given;
  if (auto effort = fields.text("reasoning_effort")) variables["reasoning_effort"] = *effort;
  return variables;
}

// Cuts the rendered prompt behind the last message's content, as transformers does.
void cut_behind(JsonFields& fields, const OrderedJson& messages, std::string& prompt) {
  const OrderedJson* content = JsonFields(messages.back()).any("content");
  std::string text = content != nullptr && content->is_string() ? content->get<std::string>() : "";
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  const size_t at = text.empty() ? std::string::npos : prompt.rfind(text);
  if (at == std::string::npos) {
    return fields.refuse("continue_final_message",
                         "needs a last message whose content the template puts as it is");
  }
  prompt.resize(at + text.size());
}

}  // namespace

ChatPrompt read_chat_prompt(JsonFields& fields, const ModelService& service,
                            const ToolFields& tools) {
  const OrderedJson* messages = read_messages(fields);
  const Ending ending = read_ending(fields);
  ChatOptions options;
  options.variables = read_variables(fields);
  options.add_generation_prompt = ending.opens_answer;
  if (!fields.ok() || !need_template(fields, service)) return {};
  options.bos_text = service.tokenizer->bos_text();
  options.eos_text = service.tokenizer->eos_text();
  if (tools.may_call()) options.tools = *tools.tools;

  const Result<OrderedJson> prepared = messages_for_template(*messages, service.chat_format.tools);
  if (!prepared.ok()) {
    fields.refuse_with("messages", prepared.error().message);
    return {};
  }
  Result<std::string> text = render_chat(service.tokenizer->chat_template(), *prepared, options);
  if (!text.ok()) {
    fields.refuse_with("messages",
                       "the chat template refuses the messages: " + text.error().message);
    return {};
  }
  ChatPrompt prompt;
  prompt.text = std::move(*text);
  if (service.records) prompt.conversation = conversation_of_messages(*messages);
  if (ending.is_continued) cut_behind(fields, *prepared, prompt.text);
  Result<TokenIds> ids =
      service.tokenizer->encode(prompt.text, /*add_special=*/false, /*parse_special=*/true);
  if (!ids.ok()) fields.refuse("messages", "cannot be tokenized: " + ids.error().message);
  if (ids.ok() && ids->empty()) fields.refuse("messages", "make an empty prompt");
  if (ids.ok()) prompt.ids = std::move(*ids);
  return prompt;
}

}  // namespace forerun
