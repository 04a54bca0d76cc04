#include "server/on_worker.h"

#include <exception>
#include <memory>
#include <utility>

#include "base/clock.h"

namespace forerun {
namespace {

Conclusion refuse(RequestError error) {
  return [error = std::move(error)](const ExchangePtr& exchange) {
    exchange->reply(to_response(error));
  };
}

// Libraries throw, if only for want of memory.
Conclusion without_exceptions(const std::function<Conclusion(const HttpRequest&)>& work,
                              const HttpRequest& request) {
  try {
    return work(request);
  } catch (const std::exception& error) {
    return refuse({500, std::string("the request could not be prepared: ") + error.what(), {}, {}});
  }
}

// What `make` makes of the body, given to `use`.
template <typename T, typename Use>
Conclusion conclude(ModelService& service, const HttpRequest& request,
                    Checked<T> (*make)(const ModelService&, const HttpRequest&, const OrderedJson&),
                    Use use) {
  Checked<OrderedJson> body = parse_body(request.body);
  if (auto* error = std::get_if<RequestError>(&body)) return refuse(std::move(*error));
  Checked<T> made = make(service, request, std::get<OrderedJson>(body));
  if (auto* error = std::get_if<RequestError>(&made)) return refuse(std::move(*error));
  // std::function wants to be copyable.
  const auto value = std::make_shared<T>(std::move(std::get<T>(made)));
  return [value, use](const ExchangePtr& exchange) { use(exchange, std::move(*value)); };
}

}  // namespace

void on_worker(ModelService& service, const ExchangePtr& exchange,
               std::function<Conclusion(const HttpRequest&)> work) {
  // Whoever drops the last reference to an exchange must be the I/O thread: the job gives its own
  // away before it ends.
  const auto held = std::make_shared<ExchangePtr>(exchange);
  const bool taken = service.workers.post([&service, held, work = std::move(work)] {
    Conclusion conclusion = without_exceptions(work, (*held)->request());
    service.post([conclusion = std::move(conclusion), exchange = std::move(*held)]() mutable {
      conclusion(std::move(exchange));
    });
  });
  if (!taken) exchange->reply(to_response({429, "all workers are busy; try again later", {}, {}}));
}

Handler answer_on_worker(ModelService& service, MakeAnswer make) {
  return [&service, make](const ExchangePtr& exchange) {
    on_worker(service, exchange, [&service, make](const HttpRequest& request) {
      return conclude(service, request, make, [](const ExchangePtr& to, std::string body) {
        HttpResponse response;
        response.body = std::move(body);
        to->reply(std::move(response));
      });
    });
  };
}

Handler generate_by_plan(ModelService& service, MakePlan make) {
  return [&service, make](const ExchangePtr& exchange) {
    const double arrival = now_seconds();
    on_worker(service, exchange, [&service, make, arrival](const HttpRequest& request) {
      return conclude(service, request, make,
                      [&service, arrival](ExchangePtr to, GenerationPlan plan) {
                        Generation::start(service, std::move(to), std::move(plan), arrival);
                      });
    });
  };
}

}  // namespace forerun
