#include "server/learning_routes.h"

#include <charconv>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "online/head_report.h"
#include "server/json_fields.h"
#include "server/json_reply.h"
#include "server/learning_status.h"
#include "server/on_worker.h"

namespace forerun {
namespace {

constexpr size_t kUsualEvents = 100;
constexpr char kVersion[] = "version";

std::optional<int64_t> whole_number(const std::string& text) {
  int64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

Conclusion reply_with(Json json, int status = 200) {
  return [json = std::move(json), status](const ExchangePtr& exchange) {
    reply_json(*exchange, json, status);
  };
}

Conclusion refuse(RequestError error) {
  return [error = std::move(error)](const ExchangePtr& exchange) {
    exchange->reply(to_response(error));
  };
}
Conclusion refuse(int status, std::string message) {
  return refuse(RequestError{status, std::move(message), {}, {}});
}

// Heads are read from files: that is a worker's.
Handler by_worker(ModelService& service, std::function<Conclusion(const HttpRequest&)> work) {
  return [&service, work = std::move(work)](const ExchangePtr& exchange) {
    on_worker(service, exchange, work);
  };
}

// The analyzer does not see that std::function frees what it holds.
// NOLINTBEGIN(clang-analyzer-cplusplus.NewDeleteLeaks)
Conclusion no_such_head(const HttpRequest& request) {
  return refuse(404, "there is no head \"" + request.path_parameters.at(kVersion).substr(0, 40) +
                         "\"; GET /forerun/heads lists those there are");
}

Conclusion tell_heads(const Learning& learning) {
  Result<Json> heads = report_heads(learning.store());
  return heads.ok() ? reply_with(*std::move(heads)) : refuse(500, heads.error().message);
}

Conclusion tell_head(const Learning& learning, const HttpRequest& request) {
  const std::optional<int64_t> version = whole_number(request.path_parameters.at(kVersion));
  if (!version) return no_such_head(request);
  Result<Json> head = report_head(learning.store(), *version);
  return head.ok() ? reply_with(*std::move(head)) : no_such_head(request);
}

Conclusion activate(Learning& learning, const HttpRequest& request) {
  const std::optional<int64_t> version = whole_number(request.path_parameters.at(kVersion));
  const bool is_there = version && (*version == 0 || learning.store().entry(*version).ok());
  if (!is_there) return no_such_head(request);
  const Status asked = learning.activate(*version);
  if (!asked.ok()) return refuse(404, asked.error().message);
  return reply_with({{"asked", true}, {"version", *version}}, 202);
}

Conclusion roll_back(Learning& learning) {
  const Status asked = learning.roll_back();
  return asked.ok() ? reply_with({{"asked", true}}, 202) : refuse(409, asked.error().message);
}

Conclusion switch_learning(Learning& learning, const HttpRequest& request) {
  const Checked<OrderedJson> body = parse_body(request.body);
  if (const auto* error = std::get_if<RequestError>(&body)) return refuse(*error);
  JsonFields fields(std::get<OrderedJson>(body));
  const std::optional<bool> enabled = fields.flag("enabled");
  if (fields.ok() && !enabled) fields.refuse("enabled", "is missing");
  if (!fields.ok()) return refuse(fields.error());
  learning.set_enabled(*enabled);
  return reply_with(learning_json(learning.status()));
}

std::string query(const HttpRequest& request, const char* name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? "" : found->second;
}

bool wants_json(const HttpRequest& request) {
  const std::string_view accept = find_header(request.headers, "Accept").value_or("");
  return query(request, "format") == "json" ||
         accept.find("application/json") != std::string_view::npos;
}

void tell_events(LearningEvents& events, const ExchangePtr& exchange) {
  const HttpRequest& request = exchange->request();
  const auto refuse_field = [&](const char* field, const std::string& sentence) {
    exchange->reply(to_response({400, field + sentence, field, {}}));
  };
  if (const std::string format = query(request, "format"); !format.empty() && format != "json") {
    return refuse_field("format", " must be \"json\" where it is given");
  }
  const std::string last = query(request, "last");
  const std::optional<int64_t> count =
      last.empty() ? static_cast<int64_t>(kUsualEvents) : whole_number(last);
  if (!count || *count > static_cast<int64_t>(LearningEvents::kMostKept)) {
    return refuse_field(
        "last", " must be a whole number from 0 to " + std::to_string(LearningEvents::kMostKept));
  }
  const auto most = static_cast<size_t>(*count);
  return wants_json(request) ? reply_json(*exchange, events.last(most))
                             : events.follow(exchange, most);
}

std::shared_ptr<LearningEvents> listen(Learning& learning, const PostToIo& post) {
  const Result<std::vector<Json>> past = learning.store().read_events(LearningEvents::kMostKept);
  if (!past.ok()) log(LogLevel::kWarning, "no past events", {{"error", past.error().message}});
  const auto events = std::make_shared<LearningEvents>(past.ok() ? *past : std::vector<Json>());
  learning.listen([post, events = std::weak_ptr(events)](const Json& event) {
    post([events, event] {
      if (const auto still = events.lock()) still->add(event);
    });
  });
  return events;
}

}  // namespace

std::shared_ptr<LearningEvents> add_learning_routes(Router& router, ModelService& service,
                                                    Learning& learning) {
  std::shared_ptr<LearningEvents> events = listen(learning, service.post);
  router.add(
      {"GET", "/forerun/heads", Access::kUser,
       by_worker(service, [&learning](const HttpRequest&) { return tell_heads(learning); })});
  router.add(
      {"GET", "/forerun/heads/{version}", Access::kUser,
       by_worker(service, [&learning](const HttpRequest& r) { return tell_head(learning, r); })});
  router.add(
      {"POST", "/forerun/heads/{version}/activate", Access::kAdmin,
       by_worker(service, [&learning](const HttpRequest& r) { return activate(learning, r); })});
  router.add({"POST", "/forerun/heads/rollback", Access::kAdmin,
              by_worker(service, [&learning](const HttpRequest&) { return roll_back(learning); })});
  router.add({"GET", "/forerun/learning", Access::kUser, [&learning](const ExchangePtr& exchange) {
                reply_json(*exchange, learning_json(learning.status()));
              }});
  router.add({"POST", "/forerun/learning", Access::kAdmin,
              by_worker(service, [&learning](const HttpRequest& r) {
                return switch_learning(learning, r);
              })});
  router.add({"GET", "/forerun/events", Access::kUser,
              [events](const ExchangePtr& exchange) { tell_events(*events, exchange); }});
  return events;
}
// NOLINTEND(clang-analyzer-cplusplus.NewDeleteLeaks)

}  // namespace forerun
