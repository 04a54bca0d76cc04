#include "server/info_routes.h"

#include <string>
#include <utility>

#include "base/version.h"
#include "server/json_reply.h"

namespace forerun {
namespace {

std::string first_name(const ModelService& service) {
  const auto& names = service.options.model_names;
  return names.empty() ? "" : names.front();
}

OrderedJson model_info(const ModelService& service) {
  const bool has_tokenizer = service.tokenizer != nullptr;
  return {{"model_path", first_name(service)},
          {"tokenizer_path", has_tokenizer ? OrderedJson(first_name(service)) : OrderedJson()},
          {"is_generation", true},
          {"weight_version", "default"},
          {"has_chat_template", has_tokenizer && !service.tokenizer->chat_template().empty()}};
}

// As SGLang's, as far as there is something to tell.
OrderedJson server_info(const ModelService& service) {
  const EngineThread::Snapshot snapshot = service.engine.snapshot();
  const int64_t kv_tokens = int64_t{snapshot.engine.kv_pages} * kPageTokens;
  return {{"model_path", first_name(service)},
          {"served_model_name", first_name(service)},
          {"version", kVersion},
          {"system_fingerprint", service.fingerprint},
          {"context_length", service.context_length},
          {"max_total_num_tokens", kv_tokens},
          {"max_queued_requests", service.options.max_waiting},
          {"weight_version", "default"},
          {"tp_size", 1},
          {"dp_size", 1},
          {"internal_states",
           {{{"num_running_reqs", snapshot.requests_running},
             {"num_waiting_reqs", snapshot.requests_waiting},
             {"memory_usage", {{"token_capacity", kv_tokens}}}}}}};
}

// As vLLM's /server_info?config_format=json.
OrderedJson vllm_info(const ModelService& service) {
  return {{"vllm_config",
           {{"model_config",
             {{"model", first_name(service)},
              {"served_model_name", service.options.model_names},
              {"max_model_len", service.context_length}}},
            {"parallel_config",
             {{"tensor_parallel_size", 1},
              {"pipeline_parallel_size", 1},
              {"data_parallel_size", 1},
              {"world_size", 1}}}}}};
}

void flush_cache(ModelService& service, ExchangePtr exchange) {
  service.engine.flush_prefix_cache([exchange = std::move(exchange)] {
    reply_json(*exchange, {{"success", true}, {"message", "cached prefixes are forgotten"}});
  });
}

}  // namespace

void add_info_routes(Router& router, ModelService& service) {
  for (const char* path : {"/model_info", "/get_model_info"}) {
    router.add({"GET", path, Access::kUser, [&service](const ExchangePtr& exchange) {
                  reply_json(*exchange, model_info(service));
                }});
  }
  for (const char* path : {"/server_info", "/get_server_info"}) {
    router.add({"GET", path, Access::kUser, [&service](const ExchangePtr& exchange) {
                  const bool vllm = exchange->request().query.contains("config_format");
                  reply_json(*exchange, vllm ? vllm_info(service) : server_info(service));
                }});
  }
  for (const char* method : {"GET", "POST"}) {
    router.add({method, "/flush_cache", Access::kAdmin,
                [&service](ExchangePtr exchange) { flush_cache(service, std::move(exchange)); }});
  }
}

}  // namespace forerun
