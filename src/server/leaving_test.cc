// Clients that leave, close half of their connection, or do not take what they asked for.

#include <gtest/gtest.h>

#include <string>

#include "server/server_fixture.h"

namespace forerun {
namespace {

constexpr int kSmallBuffer = 4 << 10;

// The record of the one request of a test, once everything is over.
AccessRecord only_record(TestServer& server) {
  server.server->stop();
  EXPECT_EQ(server.server->requests_in_hand(), 0);
  const auto records = server.records();
  EXPECT_EQ(records.size(), 1u);
  return records.empty() ? AccessRecord() : records[0];
}

TEST(Leaving, TellsWhoeverAnswers) {
  struct Way {
    const char* name;
    void (*leave)(RawClient&);
  };
  const Way ways[] = {{"close", [](RawClient& client) { client.close(); }},
                      {"half-close", [](RawClient& client) { client.half_close(); }},
                      {"reset", [](RawClient& client) { client.reset(); }}};
  for (const Way& way : ways) {
    for (const char* path : {"/wait", "/wait_stream"}) {
      SCOPED_TRACE(std::string(way.name) + " at " + path);
      TestServer server;
      RawClient client(server.port());
      client.request("GET", path);
      const ExchangePtr waiting = server.arrival();
      way.leave(client);
      server.abandoned.wait();
      const bool streaming = std::string(path) == "/wait_stream";
      server.run_on_io([&] { streaming ? waiting->write("late") : waiting->reply({}); });
      const AccessRecord record = only_record(server);
      EXPECT_EQ(record.status, streaming ? 200 : 499);
      EXPECT_FALSE(record.complete);
    }
  }
}

TEST(Leaving, MidRequestLeavesNothing) {
  TestServer server;
  for (const char* sent :
       {"", "GET /op", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"}) {
    RawClient client(server.port());
    client.send(sent);
    client.half_close();
    EXPECT_TRUE(client.ended()) << sent;
  }
  server.server->stop();
  EXPECT_TRUE(server.records().empty());
  EXPECT_EQ(server.server->requests_in_hand(), 0);
}

// As `printf … | nc -N` does.
TEST(Leaving, AnswersWhatCanBeAtOnceToAHalfClosedClient) {
  TestServer server;
  for (int i = 0; i < 50; ++i) {
    RawClient client(server.port());
    client.send("GET /items/a HTTP/1.1\r\nHost: a\r\n\r\nGET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    client.half_close();
    ASSERT_EQ(client.answer().body, "a");
    ASSERT_EQ(client.answer().body, "onetwo");
    ASSERT_TRUE(client.ended());
  }
}

// The end comes while the first answer is still on its way, the second request before it.
TEST(Leaving, AnswersWhatAHalfClosedClientSentAhead) {
  TestServer server;
  RawClient client(server.port(), kSmallBuffer);
  const std::string large(16 << 20, 'x');
  client.request("POST", "/echo", "", large);
  client.request("GET", "/items/a");
  client.half_close();
  EXPECT_TRUE(client.answer().body == large);
  EXPECT_EQ(client.answer().body, "a");
  EXPECT_TRUE(client.ended());
}

TEST(Leaving, AHalfClosedClientDoesNotWaitForTheModel) {
  TestServer server;
  RawClient client(server.port());
  client.send("GET /items/a HTTP/1.1\r\nHost: a\r\n\r\nGET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  client.half_close();
  EXPECT_EQ(client.answer().body, "a");
  EXPECT_TRUE(client.ended());
  server.server->stop();
  EXPECT_EQ(server.server->requests_in_hand(), 0);
}

TEST(Leaving, ASlowReaderFillsItsOwnBufferAlone) {
  ServerOptions options;
  options.max_buffered_bytes = 256 << 10;
  TestServer server(options);
  RawClient slow(server.port(), kSmallBuffer);
  slow.request("GET", "/wait_stream");
  const ExchangePtr to_slow = server.arrival();
  RawClient fast(server.port());
  fast.request("GET", "/wait_stream");
  const ExchangePtr to_fast = server.arrival();
  const std::string piece(64 << 10, 's');
  for (int i = 0; i < 1000 && !server.abandoned.is_set(); ++i) {
    const std::string tick = "tick " + std::to_string(i) + ".";
    server.run_on_io([&] {
      to_slow->write(piece);
      to_fast->write(tick);
    });
    ASSERT_NE(fast.until(tick).find(tick), std::string::npos);
  }
  server.abandoned.wait();
  server.run_on_io([&] { to_fast->end_stream(); });
  fast.until("0\r\n\r\n");
  const auto records = server.records();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_FALSE(records[0].complete);
  EXPECT_GE(records[0].body_bytes, 256u << 10);
  EXPECT_TRUE(records[1].complete);
}

// What was not kept for a client must not be followed by an end, which would make the rest a whole.
TEST(Leaving, AStreamWithAGapHasNoEnd) {
  ServerOptions options;
  options.max_buffered_bytes = 1000;
  TestServer server(options);
  RawClient client(server.port());
  client.request("GET", "/wait_stream");
  const ExchangePtr stream = server.arrival();
  client.until("\r\n\r\n");
  server.run_on_io([&] {
    stream->write(std::string(2000, 'a'));
    stream->write("lost");
    stream->end_stream();
  });
  std::string rest;
  for (std::string bytes; !(bytes = client.some()).empty();) rest += bytes;
  EXPECT_EQ(rest.find("\r\n0\r\n\r\n"), std::string::npos);
  EXPECT_FALSE(only_record(server).complete);
}

// By its own limit, which is over before that of a later client: the kernel's comes second.
TEST(Leaving, GivesUpAClientThatTakesNothing) {
  ServerOptions options;
  options.max_buffered_bytes = 1 << 30;
  options.write_seconds = 0.1;
  options.header_seconds = 0.6;
  TestServer server(options);
  RawClient client(server.port(), kSmallBuffer);
  client.request("GET", "/wait_stream");
  const ExchangePtr stream = server.arrival();
  server.run_on_io([&] { stream->write(std::string(32 << 20, 's')); });
  EXPECT_TRUE(RawClient(server.port()).ended());
  server.run_on_io([] {});
  EXPECT_TRUE(server.abandoned.is_set());
  EXPECT_FALSE(only_record(server).complete);
}

}  // namespace
}  // namespace forerun
