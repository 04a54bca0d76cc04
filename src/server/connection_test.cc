// How requests and answers follow each other on a connection whose client does its part.

#include "server/connection.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <memory>
#include <string>
#include <vector>

#include "server/server_fixture.h"

namespace forerun {
namespace {

std::string get(const std::string& target, const std::string& headers = {}) {
  return "GET " + target + " HTTP/1.1\r\nHost: test\r\n" + headers + "\r\n";
}

TEST(Connection, AnswersInTheOrderOfTheRequests) {
  TestServer server;
  RawClient client(server.port());
  client.send(get("/items/a") + get("/wait") + get("/items/b") + "POST /echo HTTP/1.1\r\n");
  EXPECT_EQ(client.answer().body, "a");
  const ExchangePtr waiting = server.arrival();
  server.run_on_io([&] { waiting->reply({.body = "waited"}); });
  EXPECT_EQ(client.answer().body, "waited");
  EXPECT_EQ(client.answer().body, "b");
  client.send("Host: test\r\nContent-Length: 1\r\n\r\nc");
  EXPECT_EQ(client.answer().body, "c");
}

// More than a connection reads ahead: what is left in the socket is not forgotten there.
TEST(Connection, ReadsOnAfterManyRequestsAhead) {
  TestServer server;
  RawClient client(server.port());
  const std::string padding = "X-Padding: " + std::string(1000, 'p') + "\r\n";
  std::string requests = get("/wait");
  for (int i = 0; i < 300; ++i) requests += get("/items/" + std::to_string(i), padding);
  client.send(requests);
  const ExchangePtr waiting = server.arrival();
  server.run_on_io([&] { waiting->reply({.body = "waited"}); });
  EXPECT_EQ(client.answer().body, "waited");
  for (int i = 0; i < 300; ++i) ASSERT_EQ(client.answer().body, std::to_string(i));
}

TEST(Connection, GoesOnAfterBodies) {
  TestServer server;
  RawClient client(server.port());
  for (const size_t size : {1, 100'000, 3}) {
    client.request("POST", "/echo", "", std::string(size, 'x'));
    const ClientAnswer answer = client.answer();
    EXPECT_EQ(answer.body, std::string(size, 'x'));
    EXPECT_EQ(answer.header("Connection"), "");
  }
  client.send(
      "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
  EXPECT_EQ(client.answer().body, "abc");
  EXPECT_EQ(client.get("/items/a").body, "a");
}

TEST(Connection, ClosesWhenAsked) {
  TestServer server;
  RawClient client(server.port());
  client.send(get("/items/a", "Connection: close\r\n") + get("/items/b"));
  const ClientAnswer answer = client.answer();
  EXPECT_EQ(answer.body, "a");
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_TRUE(client.ended());
}

TEST(Connection, AnswersHeadWithoutABody) {
  TestServer server;
  RawClient client(server.port());
  client.request("HEAD", "/items/abc");
  const ClientAnswer fixed = client.answer(/*to_head=*/true);
  EXPECT_EQ(fixed.status, 200);
  EXPECT_EQ(fixed.header("Content-Length"), "3");
  client.request("HEAD", "/stream");
  const ClientAnswer stream = client.answer(/*to_head=*/true);
  EXPECT_EQ(stream.status, 200);
  EXPECT_EQ(stream.header("Transfer-Encoding"), "chunked");
  client.request("HEAD", "/nowhere");
  EXPECT_EQ(client.answer(/*to_head=*/true).status, 404);
  // What followed a head would be taken for this answer.
  EXPECT_EQ(client.get("/items/next").body, "next");
  for (const AccessRecord& record : server.records()) {
    EXPECT_EQ(record.body_bytes, record.method == "HEAD" ? 0u : 4u);
  }
}

TEST(Connection, StreamsInChunks) {
  TestServer server;
  RawClient client(server.port());
  client.send(get("/stream"));
  client.until("\r\n\r\n");
  EXPECT_EQ(client.until("0\r\n\r\n"), "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
  const ClientAnswer again = client.get("/stream");
  EXPECT_EQ(again.body, "onetwo");
  EXPECT_TRUE(again.complete);
  EXPECT_EQ(again.header("Content-Type"), "text/event-stream");
  EXPECT_EQ(again.header("Content-Length"), "");
  EXPECT_EQ(client.get("/items/a").body, "a");
}

TEST(Connection, SendsEachPieceAtOnce) {
  TestServer server;
  RawClient client(server.port());
  client.send(get("/wait_stream") + get("/items/a"));
  const ExchangePtr stream = server.arrival();
  client.until("\r\n\r\n");
  for (const char* piece : {"first", "second"}) {
    server.run_on_io([&] { stream->write(piece); });
    client.until(piece);
  }
  server.run_on_io([&] { stream->end_stream(); });
  client.until("0\r\n\r\n");
  EXPECT_EQ(client.answer().body, "a");
}

size_t allocated_bytes() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// Says nothing where a sanitizer brings an allocator of its own.
TEST(Connection, KeepsNoBufferWhileItWaits) {
  TestServer server;
  std::vector<std::unique_ptr<RawClient>> clients;
  constexpr size_t kClients = 50;
  const std::string body(60'000, 'x');
  const size_t before = allocated_bytes();
  for (size_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<RawClient>(server.port()));
    clients.back()->request("POST", "/echo", "", body);
    // By the piece: the client shall keep none of it either.
    for (size_t bytes = 0; bytes < body.size();) {
      const std::string some = clients.back()->some();
      ASSERT_FALSE(some.empty());
      bytes += some.size();
    }
  }
  server.run_on_io([] {});
  EXPECT_LT(allocated_bytes(), before + kClients * (8 << 10));
}

TEST(Connection, AsksForABodyThatIsWaitedWith) {
  ServerOptions options;
  options.max_body_bytes = 10;
  TestServer server(options);
  const std::string head =
      "POST /echo HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: ";
  RawClient client(server.port());
  client.send(head + "3\r\n\r\n");
  EXPECT_EQ(client.answer().status, 100);
  client.send("abc");
  EXPECT_EQ(client.answer().body, "abc");
  client.send(head + "3\r\n\r\nabc");
  EXPECT_EQ(client.answer().status, 200) << "to who has not waited";
  client.send("GET /items/a HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.answer().status, 200) << "without a body";
  client.send(head + "11\r\n\r\n");
  const ClientAnswer refused = client.answer();
  EXPECT_EQ(refused.status, 413);
  EXPECT_EQ(refused.header("Connection"), "close");
  EXPECT_TRUE(client.ended());
}

TEST(Connection, SpeaksHttp10) {
  TestServer server;
  RawClient once(server.port());
  once.send("GET /items/a HTTP/1.0\r\n\r\n");
  const ClientAnswer last = once.answer();
  EXPECT_EQ(last.body, "a");
  EXPECT_EQ(last.header("Connection"), "close");
  EXPECT_TRUE(once.ended());
  RawClient twice(server.port());
  for (int i = 0; i < 2; ++i) {
    twice.send("GET /items/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    const ClientAnswer answer = twice.answer();
    EXPECT_EQ(answer.body, "a");
    EXPECT_EQ(answer.header("Connection"), "keep-alive");
  }
}

TEST(Connection, StreamsToHttp10UntilItsEnd) {
  TestServer server;
  for (const char* headers : {"", "Connection: keep-alive\r\n"}) {
    RawClient client(server.port());
    client.send(std::string("GET /stream HTTP/1.0\r\n") + headers + "\r\n");
    const ClientAnswer answer = client.answer();
    EXPECT_EQ(answer.body, "onetwo");
    EXPECT_EQ(answer.header("Transfer-Encoding"), "");
    EXPECT_EQ(answer.header("Connection"), "close");
    EXPECT_TRUE(client.ended());
  }
}

}  // namespace
}  // namespace forerun
