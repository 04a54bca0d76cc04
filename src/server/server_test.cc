#include "server/server.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "server/server_fixture.h"

namespace forerun {
namespace {

std::string error_message(const ClientAnswer& answer) {
  return Json::parse(answer.body).at("error").at("message");
}

ServerOptions with_keys() {
  ServerOptions options;
  options.api_keys = {"first", "second"};
  options.admin_key = "admin";
  return options;
}

TEST(Server, FindsAFreePortAndTellsIt) {
  TestServer server;
  EXPECT_GT(server.port(), 0);
  EXPECT_EQ(server.server->url(), "http://127.0.0.1:" + std::to_string(server.port()));
  EXPECT_EQ(RawClient(server.port()).get("/open").status, 200);
}

TEST(Server, AnswersNothingBeforeItServes) {
  ServerOptions options = with_keys();
  options.port = 0;
  Server server(options);
  ASSERT_TRUE(server.listen().ok());
  RawClient client(server.port());
  for (const char* path : {"/open", "/nowhere"}) {
    const ClientAnswer answer = client.get(path);
    EXPECT_EQ(answer.status, 503) << path;
    EXPECT_EQ(answer.header("Retry-After"), "1");
    EXPECT_NE(answer.body.find("loading"), std::string::npos) << answer.body;
  }
  Router router;
  router.add({"GET", "/open", Access::kOpen,
              [](const ExchangePtr& exchange) { exchange->reply({.body = "{}"}); }});
  server.serve(std::move(router));
  EXPECT_EQ(RawClient(server.port()).get("/open").status, 200);
}

TEST(Server, SaysThatAPortIsInUse) {
  TestServer first;
  ServerOptions options;
  options.port = first.port();
  Server second(options);
  const Status status = second.listen();
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("in use"), std::string::npos) << status.error().message;
}

TEST(Server, SaysThatAHostHasNoAddress) {
  ServerOptions options;
  options.port = 0;
  for (const char* host : {"no.such.host.invalid", "192.0.2.1", "not a name"}) {
    options.host = host;
    const Status status = Server(options).listen();
    ASSERT_FALSE(status.ok()) << host;
    EXPECT_NE(status.error().message.find(host), std::string::npos) << status.error().message;
  }
}

TEST(Server, ListensAtNames) {
  ServerOptions options;
  for (const char* host : {"localhost", "0.0.0.0", "::"}) {
    options.host = host;
    TestServer server(options);
    EXPECT_EQ(RawClient(server.port()).get("/open").status, 200) << host;
  }
}

TEST(Server, KnowsPathsAndMethods) {
  TestServer server;
  RawClient client(server.port());
  EXPECT_EQ(client.get("/nowhere").status, 404);
  const ClientAnswer wrong_method = client.get("/echo");
  EXPECT_EQ(wrong_method.status, 405);
  EXPECT_EQ(wrong_method.header("Allow"), "POST, OPTIONS");
  EXPECT_EQ(client.get("/items/a%20b/c?x=y").body, "a b/c");
  client.request("OPTIONS", "/open");
  const ClientAnswer options = client.answer();
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.header("Allow"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(options.header("Content-Length"), "");
  EXPECT_EQ(options.header("Access-Control-Allow-Methods"), "");
}

TEST(Server, AsksForAKey) {
  TestServer server(with_keys());
  RawClient client(server.port());
  EXPECT_EQ(client.get("/open").status, 200);
  const ClientAnswer no_key = client.get("/items/a");
  EXPECT_EQ(no_key.status, 401);
  EXPECT_EQ(no_key.header("WWW-Authenticate"), "Bearer");
  EXPECT_EQ(Json::parse(no_key.body).at("error").at("code"), "invalid_api_key");
  EXPECT_EQ(client.get("/nowhere").status, 401);
  EXPECT_EQ(client.get("/items/a", "X-Api-Key: wrong\r\n").status, 401);
  EXPECT_EQ(client.get("/items/a", "X-Api-Key: first\r\n").status, 200);
  EXPECT_EQ(client.get("/nowhere", "X-Api-Key: first\r\n").status, 404);
  client.request("POST", "/admin", "Authorization: Bearer second\r\n");
  EXPECT_EQ(client.answer().status, 403);
  client.request("POST", "/admin", "Authorization: Bearer admin\r\n");
  EXPECT_EQ(client.answer().status, 200);
}

TEST(Server, TakesNoBodyOfAStranger) {
  TestServer server(with_keys());
  RawClient client(server.port());
  client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n");
  const ClientAnswer answer = client.answer();
  EXPECT_EQ(answer.status, 401);
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_TRUE(client.ended());
}

TEST(Server, GivesEachKeyItsSalt) {
  TestServer server(with_keys());
  RawClient client(server.port());
  std::vector<std::string> salts;
  for (const char* key : {"first", "second", "first"}) {
    client.request("POST", "/echo", std::string("X-Api-Key: ") + key + "\r\n", "x");
    salts.push_back(client.answer().header("X-Salt"));
  }
  EXPECT_NE(salts[0], "0");
  EXPECT_NE(salts[0], salts[1]);
  EXPECT_EQ(salts[0], salts[2]);
}

TEST(Server, CarriesRequestIds) {
  TestServer server;
  RawClient client(server.port());
  client.request("POST", "/echo", "X-Request-Id: mine-1\r\n", "x");
  const ClientAnswer mine = client.answer();
  EXPECT_EQ(mine.header("X-Request-Id"), "mine-1");
  EXPECT_EQ(mine.header("X-Id"), "mine-1");
  const std::string drawn = client.get("/open").header("X-Request-Id");
  EXPECT_EQ(drawn.size(), 32u);
  for (const std::string& bad : {std::string(129, 'a'), std::string("\xff"), std::string()}) {
    EXPECT_EQ(client.get("/open", "X-Request-Id: " + bad + "\r\n").header("X-Request-Id").size(),
              32u);
  }
  EXPECT_EQ(client.get("/nowhere", "X-Request-Id: lost\r\n").header("X-Request-Id"), "lost");
}

TEST(Server, LetsAllowedOriginsIn) {
  ServerOptions options = with_keys();
  options.allowed_origins = {"https://page.example"};
  TestServer server(options);
  RawClient client(server.port());
  client.request("OPTIONS", "/echo",
                 "Origin: https://page.example\r\nAccess-Control-Request-Method: POST\r\n"
                 "Access-Control-Request-Headers: authorization, x-stainless-os\r\n");
  const ClientAnswer preflight = client.answer();
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.header("Access-Control-Allow-Origin"), "https://page.example");
  EXPECT_EQ(preflight.header("Access-Control-Allow-Methods"), "POST, OPTIONS");
  EXPECT_EQ(preflight.header("Access-Control-Allow-Headers"), "authorization, x-stainless-os");
  EXPECT_EQ(preflight.header("Vary"), "Origin");
  const ClientAnswer refused = client.get("/items/a", "Origin: https://page.example\r\n");
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.header("Access-Control-Allow-Origin"), "https://page.example");
  const ClientAnswer other = client.get("/open", "Origin: https://other.example\r\n");
  EXPECT_EQ(other.status, 200);
  EXPECT_EQ(other.header("Access-Control-Allow-Origin"), "");
  EXPECT_EQ(other.header("Vary"), "Origin");
}

TEST(Server, SurvivesItsHandlers) {
  TestServer server;
  RawClient client(server.port());
  const ClientAnswer thrown = client.get("/throw");
  EXPECT_EQ(thrown.status, 500);
  EXPECT_EQ(thrown.body.find("thrown by"), std::string::npos);
  EXPECT_EQ(client.get("/forget").status, 500);
  EXPECT_EQ(client.get("/open").status, 200);
  const ClientAnswer cut = client.get("/throw_late");
  EXPECT_EQ(cut.status, 200);
  EXPECT_FALSE(cut.complete);
}

TEST(Server, LogsAnswersWithoutQueries) {
  TestServer server;
  RawClient client(server.port());
  client.get("/items/a?key=secret", "X-Request-Id: r1\r\n");
  client.get("/nowhere");
  client.send("nonsense\r\n\r\n");
  client.answer();
  const std::vector<AccessRecord> records = server.records();
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].method, "GET");
  EXPECT_EQ(records[0].path, "/items/a");
  EXPECT_EQ(records[0].route, "/items/{name}");
  EXPECT_EQ(records[0].status, 200);
  EXPECT_EQ(records[0].body_bytes, 1u);
  EXPECT_EQ(records[0].request_id, "r1");
  EXPECT_TRUE(records[0].complete);
  EXPECT_EQ(records[1].status, 404);
  EXPECT_EQ(records[1].route, "");
  EXPECT_EQ(records[2].status, 400);
}

TEST(Server, DrainsAndStaysHealthy) {
  TestServer server;
  RawClient running(server.port());
  running.request("GET", "/wait");
  server.arrived.wait();
  RawClient idle(server.port());
  idle.get("/open");
  server.server->drain();
  const ClientAnswer refused = idle.get("/items/a");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.header("Retry-After"), "1");
  EXPECT_EQ(refused.header("Connection"), "close");
  EXPECT_NE(error_message(refused).find("shutting down"), std::string::npos);
  EXPECT_EQ(RawClient(server.port()).get("/open").status, 200);
  EXPECT_GE(server.server->requests_in_hand(), 1);
  server.run_on_io([&] { server.waiting->reply({.body = "late"}); });
  EXPECT_EQ(running.answer().body, "late");
  EXPECT_TRUE(running.ended());
  server.server->stop();
  EXPECT_EQ(server.server->requests_in_hand(), 0);
}

TEST(Server, StopTellsWhoeverAnswers) {
  TestServer server;
  RawClient client(server.port());
  client.request("GET", "/wait");
  server.arrived.wait();
  server.server->stop();
  server.abandoned.wait();
  EXPECT_TRUE(client.ended());
  server.waiting->reply({.body = "for nobody"});
  bool told = false;
  server.waiting->on_abandoned([&told] { told = true; });
  EXPECT_TRUE(told);
}

TEST(Server, RunsPostedJobsInOrder) {
  TestServer server;
  std::vector<int> order;
  const PostToIo post = server.server->post_to_io();
  for (int i = 0; i < 100; ++i) post([&order, i] { order.push_back(i); });
  server.run_on_io([] {});
  ASSERT_EQ(order.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[i], i);
  server.run_on_io([&] { post([] { throw std::runtime_error("thrown by a job"); }); });
  EXPECT_EQ(RawClient(server.port()).get("/open").status, 200);
  server.server->stop();
  post([&order] { order.clear(); });
  EXPECT_EQ(order.size(), 100u);
}

}  // namespace
}  // namespace forerun
