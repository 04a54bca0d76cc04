#include "server/generate.h"

#include <utility>

#include "server/generate_reply.h"
#include "server/json_reply.h"
#include "server/on_worker.h"
#include "server/output_form.h"
#include "server/prompt_fields.h"
#include "server/sampling_fields.h"

namespace forerun {
namespace {

constexpr int64_t kDefaultMaxTokens = 128;  // SGLang's

// `text` or `input_ids`, whose name is returned.
std::vector<TokenIds> read_prompts(JsonFields& fields, const ModelService& service,
                                   std::string& name) {
  name = fields.any("input_ids") != nullptr ? "input_ids" : "text";
  if (name == "input_ids" && fields.any("text") != nullptr) {
    fields.refuse("text", "and input_ids exclude each other");
  }
  return read_prompts(fields, name, name == "text" ? PromptKind::kTexts : PromptKind::kIds, service,
                      /*add_special=*/true);
}

// Whether the field holds several prompts.
bool is_list_of_prompts(const JsonFields& fields, const std::string& name) {
  const OrderedJson* value = fields.any(name);
  return value != nullptr && value->is_array() && !value->empty() && !value->front().is_number();
}

void read_sampling(JsonFields& fields, const ModelService& service, Request& request) {
  static const OrderedJson kNothing = OrderedJson::object();
  const OrderedJson* given = fields.object("sampling_params");
  JsonFields sampling(given == nullptr ? kNothing : *given, "sampling_params.");
  read_sampling_fields(sampling, service, {"max_new_tokens"}, kDefaultMaxTokens, request);
  read_output_form(sampling, service, request);
  if (!sampling.ok()) fields.take_error(sampling);
}

// Log-probs are of the distribution that is sampled from, which is what training weighs.
void read_logprobs(JsonFields& fields, GenerateForm& form, Request& request) {
  form.return_logprob = fields.flag("return_logprob").value_or(false);
  form.return_text_in_logprobs = fields.flag("return_text_in_logprobs").value_or(true);
  form.logprob_start = fields.integer("logprob_start_len", -1, INT32_MAX).value_or(-1);
  form.top_logprobs =
      static_cast<int>(fields.integer("top_logprobs_num", 0, kMaxTopLogprobs).value_or(0));
  if (!form.return_logprob) return;
  request.sampling.logprobs = LogprobMode::kProcessed;
  request.sampling.top_logprobs = form.top_logprobs;
}

// The prompts' names: `rid`, or a list of them.
std::vector<std::string> read_ids(JsonFields& fields, size_t num_prompts) {
  const auto given = fields.texts("rid", kMaxChoices);
  if (!given || given->empty()) {
    return std::vector<std::string>(num_prompts, new_answer_id(""));
  }
  if (given->size() == num_prompts) return *given;
  if (given->size() > 1) {
    fields.refuse("rid", "has " + std::to_string(given->size()) + " names for " +
                             std::to_string(num_prompts) + " prompts");
  }
  return std::vector<std::string>(num_prompts, given->front());
}

void ask_prompt_logprobs(const GenerateForm& form, const std::string& name, JsonFields& fields,
                         Request& request) {
  if (!form.return_logprob || form.logprob_start < 0) return;
  const auto tokens = static_cast<int64_t>(request.prompt.size());
  if (form.logprob_start >= tokens) {
    fields.refuse("logprob_start_len", "is " + std::to_string(form.logprob_start) + "; " + name +
                                           " has " + std::to_string(tokens) + " tokens");
    return;
  }
  request.prompt_logprobs = {.first = std::max<int64_t>(1, form.logprob_start),
                             .top = form.top_logprobs};
}

Checked<GenerationPlan> plan_generate(const ModelService& service, const HttpRequest& /*http*/,
                                      const OrderedJson& body) {
  JsonFields fields(body);
  GenerationPlan plan;
  plan.stream = fields.flag("stream").value_or(false);
  plan.text.continues = true;
  Request request;
  read_sampling(fields, service, request);
  GenerateForm form;
  read_logprobs(fields, form, request);
  std::string name;
  form.prompts = read_prompts(fields, service, name);
  form.is_list = is_list_of_prompts(fields, name) || request.n > 1;
  form.ids = read_ids(fields, form.prompts.size());
  form.weight_version = "default";
  for (const TokenIds& prompt : form.prompts) {
    check_length(fields, name, service, prompt.size(), request.prompt_only ? 0 : 1);
    plan.requests.push_back(request);
    plan.requests.back().prompt = prompt;
    ask_prompt_logprobs(form, name, fields, plan.requests.back());
  }
  check_choices(fields, name, form.prompts.size(), request.n);
  if (!fields.ok()) return fields.error();
  plan.ids = form.ids;
  plan.reply = std::make_unique<GenerateReply>(service.tokenizer, std::move(form));
  return plan;
}

// Ends what runs under a name, or everything that came with the caller's key. What was generated
// is told to whoever asked for it.
void abort(ModelService& service, const ExchangePtr& exchange) {
  Checked<OrderedJson> body = parse_body(exchange->request().body);
  if (const auto* error = std::get_if<RequestError>(&body)) {
    return exchange->reply(to_response(*error));
  }
  JsonFields fields(std::get<OrderedJson>(body));
  const bool all = fields.flag("abort_all").value_or(false);
  const std::string id = fields.text("rid").value_or("");
  if (!all && id.empty()) fields.refuse("rid", "is missing, and abort_all is not true");
  if (!fields.ok()) return exchange->reply(to_response(fields.error()));
  const auto tickets = service.running.find(exchange->request().salt, all ? nullptr : &id);
  for (const EngineThread::Ticket ticket : tickets) service.engine.cancel(ticket);
  reply_json(*exchange, {{"success", true}});
}

}  // namespace

void add_generate_routes(Router& router, ModelService& service) {
  router.add({"POST", "/generate", Access::kUser, generate_by_plan(service, plan_generate)});
  router.add({"POST", "/abort_request", Access::kUser,
              [&service](const ExchangePtr& exchange) { abort(service, exchange); }});
}

}  // namespace forerun
