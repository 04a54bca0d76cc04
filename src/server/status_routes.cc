#include "server/status_routes.h"

#include <utility>

#include "base/json.h"
#include "base/version.h"
#include "server/status_page_files.h"

namespace forerun {
namespace {

// Whether the client has this version of a file: If-None-Match holds its tag, or is *.
bool has_already(const HttpRequest& request, std::string_view tag) {
  const std::optional<std::string_view> known = find_header(request.headers, "If-None-Match");
  return known && (*known == "*" || known->find(tag) != std::string_view::npos);
}

void reply_file(const StatusPageFile& file, Exchange& exchange) {
  const std::string tag(file.etag);
  HttpResponse response;
  response.content_type = file.content_type;
  response.headers = {
      {"ETag", tag},
      {"Cache-Control", "no-cache"},
      // Nothing but our own files, and nobody's frame around them.
      {"Content-Security-Policy",
       "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
      {"X-Content-Type-Options", "nosniff"},
      {"Referrer-Policy", "no-referrer"}};
  if (has_already(exchange.request(), tag)) {
    response.status = 304;
  } else {
    response.body = file.content;
  }
  exchange.reply(std::move(response));
}

void reply_statistics(const ServerStatistics& statistics, const ServerFacts& facts,
                      Exchange& exchange) {
  Json json = statistics.json();
  json["model"] = facts.model;
  json["isa"] = facts.isa;
  json["fingerprint"] = facts.fingerprint;
  json["context_length"] = facts.context_length;
  json["version"] = kVersion;
  HttpResponse response;
  // Names come from files and may hold anything.
  response.body =
      json.dump(/*indent=*/-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
  response.headers = {{"Cache-Control", "no-store"}};
  exchange.reply(std::move(response));
}

}  // namespace

void add_status_routes(Router& router, const ServerStatistics& statistics, ServerFacts facts) {
  for (const StatusPageFile& file : status_page_files()) {
    router.add({"GET", std::string(file.path), Access::kOpen,
                [&file](const ExchangePtr& exchange) { reply_file(file, *exchange); }});
  }
  router.add({"GET", "/forerun/statistics", Access::kUser,
              [&statistics, facts = std::move(facts)](const ExchangePtr& exchange) {
                reply_statistics(statistics, facts, *exchange);
              }});
}

void add_metrics_route(Router& router, const Metrics& metrics,
                       std::function<EngineThread::Snapshot()> snapshot) {
  router.add({"GET", "/metrics", Access::kUser,
              [&metrics, snapshot = std::move(snapshot)](const ExchangePtr& exchange) {
                HttpResponse response;
                response.content_type = "text/plain; version=0.0.4; charset=utf-8";
                response.body = metrics.scrape(snapshot());
                exchange->reply(std::move(response));
              }});
}

}  // namespace forerun
