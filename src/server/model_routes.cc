#include "server/model_routes.h"

#include <utility>

#include "server/json_reply.h"
#include "server/model_field.h"

namespace forerun {
namespace {

OrderedJson model_json(const ModelService& service, const std::string& name) {
  return {{"id", name},
          {"object", "model"},
          {"created", service.created},
          {"owned_by", "forerun"},
          {"root", name},
          {"parent", nullptr},
          {"max_model_len", service.context_length}};
}

// What the embedding endpoint serves is a model too.
std::vector<std::pair<std::string, OrderedJson>> all_models(const ModelService& service) {
  std::vector<std::pair<std::string, OrderedJson>> models;
  models.reserve(service.options.model_names.size() + 1);
  for (const std::string& name : service.options.model_names) {
    models.emplace_back(name, model_json(service, name));
  }
  if (service.embedding != nullptr) {
    OrderedJson json = model_json(service, service.embedding->name());
    json["max_model_len"] = service.embedding->max_tokens();
    models.emplace_back(service.embedding->name(), std::move(json));
  }
  return models;
}

}  // namespace

void add_model_routes(Router& router, ModelService& service) {
  router.add({"GET", "/v1/models", Access::kUser, [&service](const ExchangePtr& exchange) {
                OrderedJson list = OrderedJson::array();
                for (auto& [name, json] : all_models(service)) list.push_back(std::move(json));
                reply_json(*exchange, {{"object", "list"}, {"data", std::move(list)}});
              }});
  router.add({"GET", "/v1/models/{id}", Access::kUser, [&service](const ExchangePtr& exchange) {
                const std::string& id = exchange->request().path_parameters.at("id");
                for (const auto& [name, json] : all_models(service)) {
                  if (name == id) return reply_json(*exchange, json);
                }
                exchange->reply(to_response(model_not_found(service.options, id)));
              }});
}

}  // namespace forerun
