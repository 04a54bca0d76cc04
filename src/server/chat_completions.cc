#include "server/chat_completions.h"

#include <utility>

#include "server/chat_prompt.h"
#include "server/chat_reply.h"
#include "server/on_worker.h"
#include "server/output_form.h"
#include "server/prediction_field.h"
#include "server/prompt_fields.h"
#include "server/sampling_fields.h"
#include "text/tool_grammar.h"

namespace forerun {
namespace {

void read_logprobs(JsonFields& fields, ChatForm& form, Request& request) {
  form.logprobs = fields.flag("logprobs").value_or(false);
  const int64_t top = fields.integer("top_logprobs", 0, kMaxTopLogprobs).value_or(0);
  if (top > 0 && !form.logprobs) {
    fields.refuse("top_logprobs", "needs logprobs to be true");
  }
  if (!form.logprobs) return;
  request.sampling.logprobs = LogprobMode::kRaw;
  request.sampling.top_logprobs = static_cast<int32_t>(top);
}

// Holds the answer to the tools' parameters, where it is to call one.
void hold_to_tools(JsonFields& fields, const ModelService& service, const ToolFields& tools,
                   ThinkingStart thinking, bool has_form, Request& request) {
  if (!fields.ok() || !tools.may_call()) return;
  if (const Status takes = check_takes_tools(service.chat_format); !takes.ok()) {
    return fields.refuse_with("tools", takes.error().message);
  }
  const Result<std::optional<std::string>> grammar =
      tool_grammar(*tools.tools, {.format = service.chat_format,
                                  .thinking = thinking,
                                  .choice = tools.choice,
                                  .parallel_calls = tools.parallel,
                                  .vocabulary = &service.tokenizer->vocabulary()});
  if (!grammar.ok()) return fields.refuse_with("tools", grammar.error().message);
  if (!*grammar) return;
  if (has_form)
    return fields.refuse("response_format", "and tools that must be called exclude each other");
  hold_to(fields, service, "tools", {GrammarKind::kLark, **grammar}, request);
}

// How the answer's text is taken apart, where more than content may be in it.
std::optional<MessageParserOptions> parser_options(const ModelService& service,
                                                   const ToolFields& tools,
                                                   ThinkingStart thinking) {
  if (!tools.may_call() && thinking == ThinkingStart::kNone) return std::nullopt;
  return MessageParserOptions{.format = service.chat_format,
                              .thinking = thinking,
                              .tools = tools.may_call(),
                              .tool_names = tools.names,
                              .parallel_calls = tools.parallel,
                              .random = random_bits};
}

Checked<GenerationPlan> plan_chat(const ModelService& service, const HttpRequest& /*http*/,
                                  const OrderedJson& body) {
  JsonFields fields(body);
  ChatForm form;
  form.answer = read_answer_options(fields, service, "chatcmpl-", "chat.completion");
  Request request;
  read_sampling_fields(fields, service, {"max_completion_tokens", "max_tokens"}, 0, request);
  read_logprobs(fields, form, request);
  request.use_prefix_cache = form.answer.store;
  if (!form.answer.store) request.history_salt.reset();
  read_prediction(fields, service, request);
  const ToolFields tools = read_tools(fields);
  ChatPrompt prompt = read_chat_prompt(fields, service, tools);
  check_length(fields, "messages", service, prompt.ids.size(), request.prompt_only ? 0 : 1);
  if (!fields.ok()) return fields.error();

  const ThinkingStart thinking = thinking_start(service.chat_format, prompt.text);
  const bool has_form = read_output_form(fields, service, request);
  hold_to_tools(fields, service, tools, thinking, has_form, request);
  if (!fields.ok()) return fields.error();

  GenerationPlan plan;
  plan.ids = {form.answer.head.id};
  plan.stream = form.answer.stream;
  if (plan.stream) form.answer.head.object = "chat.completion.chunk";
  form.parser = parser_options(service, tools, thinking);
  if (form.parser) {
    plan.text.shown_special_ids =
        special_marker_ids(service.chat_format, service.tokenizer->vocabulary());
  }
  if (form.answer.return_token_ids) form.prompt_ids = prompt.ids;
  if (form.answer.store) request.conversation = prompt.conversation;
  request.prompt = std::move(prompt.ids);
  plan.requests.push_back(std::move(request));
  plan.reply = std::make_unique<ChatReply>(service.tokenizer, std::move(form));
  return plan;
}

}  // namespace

void add_chat_routes(Router& router, ModelService& service) {
  router.add({"POST", "/v1/chat/completions", Access::kUser, generate_by_plan(service, plan_chat)});
}

}  // namespace forerun
