#include "server/completions.h"

#include <utility>

#include "server/completion_reply.h"
#include "server/on_worker.h"
#include "server/output_form.h"
#include "server/prediction_field.h"
#include "server/prompt_fields.h"
#include "server/sampling_fields.h"

namespace forerun {
namespace {

constexpr int64_t kDefaultMaxTokens = 16;  // OpenAI's

// What OpenAI has and we have not.
void refuse_unknown(JsonFields& fields, int n) {
  if (!fields.text("suffix").value_or("").empty()) {
    fields.refuse("suffix", "is not offered: the model does not fill gaps");
  }
  const std::optional<int64_t> best_of = fields.integer("best_of", 1, kMaxChoices);
  if (best_of && *best_of != n) {
    fields.refuse("best_of", "is " + std::to_string(*best_of) +
                                 "; it must equal n: no choices are made to be thrown away");
  }
}

void read_logprobs(JsonFields& fields, bool echo, CompletionForm& form, Request& request) {
  const std::optional<int64_t> logprobs = fields.integer("logprobs", 0, kMaxTopLogprobs);
  if (!logprobs) return;
  form.logprobs = true;
  request.sampling.logprobs = LogprobMode::kRaw;
  request.sampling.top_logprobs = static_cast<int32_t>(*logprobs);
  if (echo) request.prompt_logprobs = {.first = 1, .top = static_cast<int>(*logprobs)};
}

// As the answer repeats a prompt, special tokens and all.
std::string text_of(const Tokenizer* tokenizer, const TokenIds& ids) {
  if (tokenizer == nullptr) return {};
  return tokenizer->decode(ids, {.skip_special = false, .at_text_start = true});
}

Checked<GenerationPlan> plan_completion(const ModelService& service, const HttpRequest& /*http*/,
                                        const OrderedJson& body) {
  JsonFields fields(body);
  CompletionForm form;
  form.answer = read_answer_options(fields, service, "cmpl-", "text_completion");
  form.echo = fields.flag("echo").value_or(false);
  Request request;
  read_sampling_fields(fields, service, {"max_tokens"}, kDefaultMaxTokens, request);
  read_logprobs(fields, form.echo, form, request);
  refuse_unknown(fields, request.n);
  read_output_form(fields, service, request);
  request.use_prefix_cache = form.answer.store;
  if (!form.answer.store) request.history_salt.reset();
  read_prediction(fields, service, request);
  const bool add_special = fields.flag("add_special_tokens").value_or(true);
  std::vector<TokenIds> prompts =
      read_prompts(fields, "prompt", PromptKind::kAny, service, add_special);
  for (const TokenIds& prompt : prompts) {
    check_length(fields, "prompt", service, prompt.size(), request.prompt_only ? 0 : 1);
  }
  check_choices(fields, "prompt", prompts.size(), request.n);
  if (!fields.ok()) return fields.error();

  GenerationPlan plan;
  plan.ids = {form.answer.head.id};
  plan.stream = form.answer.stream;
  plan.text.continues = true;
  for (const TokenIds& prompt : prompts) {
    if (form.echo) form.prompt_texts.push_back(text_of(service.tokenizer, prompt));
    plan.requests.push_back(request);
    plan.requests.back().prompt = prompt;
  }
  if (form.echo || form.answer.return_token_ids) form.prompt_ids = std::move(prompts);
  plan.reply = std::make_unique<CompletionReply>(service.tokenizer, std::move(form));
  return plan;
}

}  // namespace

void add_completion_routes(Router& router, ModelService& service) {
  router.add(
      {"POST", "/v1/completions", Access::kUser, generate_by_plan(service, plan_completion)});
}

}  // namespace forerun
