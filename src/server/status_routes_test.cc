#include "server/status_routes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <utility>

#include "server/exposition.h"
#include "server/status_page_files.h"

namespace forerun {
namespace {

class KeptExchange final : public Exchange {
 public:
  explicit KeptExchange(HttpRequest request) : request_(std::move(request)) {}

  const HttpRequest& request() const override { return request_; }
  void reply(HttpResponse response) override { response_ = std::move(response); }
  void begin_stream(const std::string& /*content_type*/) override {}
  void write(std::string /*bytes*/) override {}
  void end_stream() override {}
  void on_abandoned(std::function<void()> /*callback*/) override {}

  const HttpResponse& response() const { return response_; }

 private:
  HttpRequest request_;
  HttpResponse response_;
};

std::string header(const HttpResponse& response, const std::string& name) {
  for (const auto& [own, value] : response.headers) {
    if (own == name) return value;
  }
  return "";
}

class StatusRoutesTest : public testing::Test {
 protected:
  StatusRoutesTest() {
    add_status_routes(
        router_, statistics_,
        {.model = "tiny \xff", .isa = "avx2", .fingerprint = "f00d", .context_length = 512});
  }

  const Route* find(const std::string& path) const {
    const auto& routes = router_.routes();
    const auto route = std::find_if(routes.begin(), routes.end(),
                                    [&](const Route& some) { return some.pattern == path; });
    return route == routes.end() ? nullptr : &*route;
  }

  HttpResponse get(const std::string& path, HttpHeaders headers = {}) const {
    HttpRequest request;
    request.method = "GET";
    request.path = path;
    request.headers = std::move(headers);
    const auto exchange = std::make_shared<KeptExchange>(std::move(request));
    find(path)->handle(exchange);
    return exchange->response();
  }

  Metrics metrics_{"vllm", "tiny"};
  ServerStatistics statistics_{metrics_};
  Router router_;
};

std::string read_file(const std::string& name) {
  std::ifstream file(FORERUN_SOURCE_DIR "/src/server/status_page/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(StatusRoutesTest, ServeEveryFileAsItIs) {
  const std::vector<std::pair<std::string, std::string>> files = {
      {"index.html", "text/html; charset=utf-8"},
      {"page.css", "text/css; charset=utf-8"},
      {"page.js", "text/javascript; charset=utf-8"},
      {"icon.svg", "image/svg+xml"}};
  for (const auto& [name, type] : files) {
    const std::string path = name == "index.html" ? "/" : "/" + name;
    ASSERT_NE(find(path), nullptr) << path;
    EXPECT_EQ(find(path)->access, Access::kOpen);
    const HttpResponse response = get(path);
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.content_type, type);
    EXPECT_FALSE(response.body.empty());
    EXPECT_EQ(response.body, read_file(name));
    EXPECT_EQ(header(response, "Content-Security-Policy").rfind("default-src 'self';", 0), 0u);
    EXPECT_EQ(header(response, "X-Content-Type-Options"), "nosniff");
  }
}

TEST_F(StatusRoutesTest, EveryFileThePageNamesIsThere) {
  const std::string texts = get("/").body + get("/page.js").body + get("/chat.js").body;
  int named = 0;
  for (const StatusPageFile& file : status_page_files()) {
    const std::string name(file.path.substr(1));
    if (name.empty()) continue;
    EXPECT_NE(texts.find("/" + name), std::string::npos) << name;
    ++named;
  }
  EXPECT_GE(named, 9);
  for (size_t at = texts.find("from './"); at != std::string::npos;
       at = texts.find("from './", at + 1)) {
    const size_t begin = at + 7;
    EXPECT_NE(find(texts.substr(begin, texts.find('\'', begin) - begin)), nullptr)
        << texts.substr(at, 30);
  }
}

TEST_F(StatusRoutesTest, AFileThatTheClientHasIsNotSentAgain) {
  const std::string tag = header(get("/page.js"), "ETag");
  ASSERT_GT(tag.size(), 10u);
  const HttpResponse again = get("/page.js", {{"if-none-match", "W/\"x\", " + tag}});
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(again.body, "");
  EXPECT_EQ(header(again, "ETag"), tag);
  EXPECT_EQ(get("/page.js", {{"If-None-Match", "\"other\""}}).status, 200);
  EXPECT_NE(header(get("/page.css"), "ETag"), tag);
}

TEST_F(StatusRoutesTest, StatisticsNeedAKeyAndTellWhatIsRunning) {
  ASSERT_NE(find("/forerun/statistics"), nullptr);
  EXPECT_EQ(find("/forerun/statistics")->access, Access::kUser);
  const HttpResponse response = get("/forerun/statistics");
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_EQ(header(response, "Cache-Control"), "no-store");
  const Result<Json> json = parse_json(response.body);
  ASSERT_TRUE(json.ok()) << response.body;
  EXPECT_EQ((*json)["model"], "tiny \xEF\xBF\xBD");
  EXPECT_EQ((*json)["isa"], "avx2");
  EXPECT_EQ((*json)["fingerprint"], "f00d");
  EXPECT_EQ((*json)["context_length"], 512);
  std::set<std::string> names;
  for (const auto& [name, value] : json->items()) names.insert(name);
  EXPECT_EQ(names, (std::set<std::string>{"model", "isa", "fingerprint", "context_length",
                                          "version", "state", "state_seconds", "uptime_seconds",
                                          "now", "latency", "totals", "learning", "history"}));
}

TEST_F(StatusRoutesTest, MetricsNeedAKeyAndAreReadWhenAskedFor) {
  EngineThread::Snapshot snapshot;
  add_metrics_route(router_, metrics_, [&] { return snapshot; });
  ASSERT_NE(find("/metrics"), nullptr);
  EXPECT_EQ(find("/metrics")->access, Access::kUser);
  snapshot.requests_running = 7;
  const HttpResponse response = get("/metrics");
  EXPECT_EQ(response.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(parse_exposition(response.body).value("vllm:num_requests_running"), 7.0);
}

}  // namespace
}  // namespace forerun
