// What a connection may take: of time, of memory, of files.

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "server/server_fixture.h"

namespace forerun {
namespace {

constexpr double kShort = 0.1;  // seconds

const std::string kBodyOfMany = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";

// Sends a byte now and then until it goes.
class Trickle final {
 public:
  explicit Trickle(const RawClient& client)
      : thread_([this, &client] {
          while (!ended_) {
            client.send("a");
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
          }
        }) {}
  ~Trickle() {
    ended_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

void expect_timeout(RawClient& client, const std::string& part) {
  const ClientAnswer answer = client.answer();
  EXPECT_EQ(answer.status, 408);
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_NE(answer.body.find(part), std::string::npos) << answer.body;
  EXPECT_TRUE(client.ended());
}

TEST(Limits, AHeadHasItsTime) {
  ServerOptions options;
  options.header_seconds = kShort;
  TestServer server(options);
  RawClient stalled(server.port());
  stalled.send("GET /items/a HTTP/1.1\r\nHo");
  expect_timeout(stalled, "head");
  RawClient slow(server.port());
  slow.send("GET /");
  const Trickle trickle(slow);
  expect_timeout(slow, "head");
}

TEST(Limits, ABodyHasItsTime) {
  ServerOptions options;
  options.body_seconds = kShort;
  TestServer server(options);
  RawClient stalled(server.port());
  stalled.send(kBodyOfMany);
  expect_timeout(stalled, "body");
  RawClient slow(server.port());
  slow.send(kBodyOfMany);
  const Trickle trickle(slow);
  expect_timeout(slow, "body");
}

TEST(Limits, WhoSaysNothingIsClosedWithoutAWord) {
  ServerOptions options;
  options.header_seconds = kShort;
  TestServer server(options);
  RawClient client(server.port());
  EXPECT_TRUE(client.ended());
}

TEST(Limits, BetweenRequestsAConnectionHasItsTime) {
  ServerOptions options;
  options.idle_seconds = kShort;
  TestServer server(options);
  RawClient waiting(server.port());
  waiting.get("/open");
  waiting.request("GET", "/wait");
  const ExchangePtr exchange = server.arrival();
  RawClient idle(server.port());
  EXPECT_EQ(idle.get("/open").status, 200);
  EXPECT_TRUE(idle.ended());
  server.run_on_io([&] { exchange->reply({.body = "late"}); });
  EXPECT_EQ(waiting.answer().body, "late") << "to who waits for an answer";
}

TEST(Limits, MoreConnectionsAreToldSo) {
  ServerOptions options;
  options.max_connections = 2;
  TestServer server(options);
  RawClient first(server.port());
  RawClient second(server.port());
  EXPECT_EQ(first.get("/open").status, 200);
  EXPECT_EQ(second.get("/open").status, 200);
  RawClient third(server.port());
  const ClientAnswer refused = third.answer();
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.header("Retry-After"), "1");
  EXPECT_EQ(refused.header("Connection"), "close");
  third.half_close();
  EXPECT_TRUE(third.ended());
  EXPECT_EQ(first.get("/open").status, 200);
  first.half_close();
  EXPECT_TRUE(first.ended());
  EXPECT_EQ(RawClient(server.port()).get("/open").status, 200);
}

// Leaves one file to be opened by this process.
class OneFileLeft final {
 public:
  OneFileLeft() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const int next = dup(STDERR_FILENO);
    close(next);
    rlimit limit = before_;
    limit.rlim_cur = static_cast<rlim_t>(next) + 1;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  }
  ~OneFileLeft() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_ = {};
};

TEST(Limits, OutOfFilesItGoesOnWithWhomItHas) {
  TestServer server;
  RawClient known(server.port());
  EXPECT_EQ(known.get("/open").status, 200);
  std::unique_ptr<RawClient> late;
  {
    const OneFileLeft scarce;
    late = std::make_unique<RawClient>(server.port());  // takes it; the kernel lets it wait
    late->request("GET", "/items/late");
    for (int i = 0; i < 10; ++i) EXPECT_EQ(known.get("/open").status, 200);
    EXPECT_FALSE(late->has_some());
  }
  EXPECT_EQ(late->answer().body, "late");
}

ServerOptions with_room_for_a_megabyte() {
  ServerOptions options;
  options.max_bodies_bytes = 1 << 20;
  return options;
}

ClientAnswer echo(const TestServer& server, size_t bytes) {
  RawClient client(server.port());
  client.request("POST", "/echo", "", std::string(bytes, 'a'));
  return client.answer();
}

TEST(Limits, LargeBodiesShareABudget) {
  TestServer server(with_room_for_a_megabyte());
  RawClient first(server.port());
  first.request("POST", "/wait", "", std::string(900'000, 'a'));
  ExchangePtr exchange = server.arrival();
  const ClientAnswer refused = echo(server, 400'000);
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.header("Retry-After"), "1");
  EXPECT_EQ(refused.header("Connection"), "close");
  EXPECT_EQ(echo(server, 60'000).status, 200) << "small ones find room";
  server.run_on_io([&] {
    exchange->reply({.body = "done"});
    exchange.reset();
  });
  EXPECT_EQ(first.answer().status, 200);
  EXPECT_EQ(echo(server, 900'000).status, 200);
}

// Refused as it grows: no length says beforehand what a chunked body will take.
TEST(Limits, ABodyBeyondTheBudgetIsReadNoFurther) {
  TestServer server(with_room_for_a_megabyte());
  RawClient client(server.port());
  client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "20000\r\n" + std::string(128 << 10, 'a') + "\r\n";
  for (int i = 0; i < 9; ++i) client.send(chunk);
  EXPECT_EQ(client.answer().status, 503);
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(echo(server, 1'000'000).status, 200) << "its share is given back";
}

TEST(Limits, WhoLeavesGivesItsShareBack) {
  TestServer server(with_room_for_a_megabyte());
  RawClient client(server.port());
  client.send(kBodyOfMany + std::string(900'000, 'a'));
  client.half_close();
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(echo(server, 900'000).status, 200);
}

}  // namespace
}  // namespace forerun
