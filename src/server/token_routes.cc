#include "server/token_routes.h"

#include <utility>

#include "server/answer_text.h"
#include "server/chat_prompt.h"
#include "server/json_reply.h"
#include "server/model_field.h"
#include "server/on_worker.h"
#include "server/prompt_fields.h"

namespace forerun {
namespace {

constexpr size_t kMostTokens = 1 << 24;

// The ids of `prompt`, or of `messages` as a chat would send them.
TokenIds read_ids(JsonFields& fields, const ModelService& service) {
  if (fields.any("messages") != nullptr) {
    return read_chat_prompt(fields, service, read_tools(fields)).ids;
  }
  const std::optional<std::string> prompt = fields.text("prompt");
  const bool add_special = fields.flag("add_special_tokens").value_or(true);
  if (!prompt) fields.refuse("prompt", "is missing");
  if (!fields.ok() || !need_tokenizer(fields, "prompt", service)) return {};
  Result<TokenIds> ids = service.tokenizer->encode(*prompt, add_special, /*parse_special=*/true);
  if (!ids.ok()) fields.refuse("prompt", "cannot be tokenized: " + ids.error().message);
  return ids.ok() ? std::move(*ids) : TokenIds();
}

Checked<std::string> tokenize(const ModelService& service, const HttpRequest& /*http*/,
                              const OrderedJson& body) {
  JsonFields fields(body);
  read_model(fields, service.options);
  const TokenIds ids = read_ids(fields, service);
  const bool with_texts = fields.flag("return_token_strs").value_or(false);
  if (!fields.ok()) return fields.error();
  OrderedJson json = {
      {"count", ids.size()}, {"max_model_len", service.context_length}, {"tokens", ids}};
  json["token_strs"] = nullptr;
  if (with_texts) {
    json["token_strs"] = OrderedJson::array();
    for (const int32_t id : ids) json["token_strs"].push_back(token_text(service.tokenizer, id));
  }
  return json_text(json);
}

Checked<std::string> detokenize(const ModelService& service, const HttpRequest& /*http*/,
                                const OrderedJson& body) {
  JsonFields fields(body);
  read_model(fields, service.options);
  if (fields.any("tokens") == nullptr) fields.refuse("tokens", "is missing");
  const auto ids = fields.token_ids("tokens", service.vocab_size, kMostTokens);
  if (!fields.ok() || !need_tokenizer(fields, "tokens", service)) return fields.error();
  const DecodeOptions options{.skip_special = false, .at_text_start = true};
  return json_text({{"prompt", service.tokenizer->decode(*ids, options)}});
}

void reply_tokenizer_info(const ModelService& service, Exchange& exchange) {
  if (service.tokenizer == nullptr) {
    return exchange.reply(
        to_response({404, "the model has no tokenizer: " + service.tokenizer_error, {}, {}}));
  }
  const Tokenizer& tokenizer = *service.tokenizer;
  const auto text_or_null = [](std::string_view text) {
    return text.empty() ? OrderedJson() : OrderedJson(text);
  };
  reply_json(exchange, {{"tokenizer_class", "forerun"},
                        {"vocab_size", tokenizer.vocab_size()},
                        {"model_max_length", service.context_length},
                        {"bos_token", text_or_null(tokenizer.bos_text())},
                        {"eos_token", text_or_null(tokenizer.eos_text())},
                        {"end_ids", tokenizer.end_ids()},
                        {"chat_template", text_or_null(tokenizer.chat_template())}});
}

}  // namespace

void add_token_routes(Router& router, ModelService& service) {
  router.add({"POST", "/tokenize", Access::kUser, answer_on_worker(service, tokenize)});
  router.add({"POST", "/detokenize", Access::kUser, answer_on_worker(service, detokenize)});
  router.add({"GET", "/tokenizer_info", Access::kUser, [&service](const ExchangePtr& exchange) {
                reply_tokenizer_info(service, *exchange);
              }});
}

}  // namespace forerun
