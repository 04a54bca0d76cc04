#include "server/request_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace forerun {
namespace {

using Step = RequestReader::Step;

// Gives the reader `pieces` one after the other until it is done or fails.
Step read_pieces(RequestReader& reader, const std::vector<std::string>& pieces,
                 std::string* left = nullptr) {
  std::string bytes;
  Step step = Step::kNeedMore;
  for (const std::string& piece : pieces) {
    bytes += piece;
    do {
      step = reader.read(bytes);
    } while (step == Step::kHead);
    if (step != Step::kNeedMore) break;
  }
  if (left != nullptr) *left = bytes;
  return step;
}

std::vector<std::string> single_bytes(const std::string& text) {
  std::vector<std::string> pieces;
  for (const char c : text) pieces.emplace_back(1, c);
  return pieces;
}

TEST(RequestReader, StopsAfterTheHead) {
  const ServerOptions options;
  RequestReader reader(options);
  std::string bytes = "POST /x?y=z HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET";
  ASSERT_EQ(reader.read(bytes), Step::kHead);
  EXPECT_EQ(bytes, "abcGET");
  EXPECT_EQ(reader.request().method, "POST");
  EXPECT_EQ(reader.request().path, "/x");
  EXPECT_EQ(reader.request().query.at("y"), "z");
  EXPECT_TRUE(reader.has_body());
  EXPECT_EQ(reader.content_length(), 3u);
  EXPECT_TRUE(reader.keep_alive());
  ASSERT_EQ(reader.read(bytes), Step::kWhole);
  EXPECT_EQ(reader.request().body, "abc");
  EXPECT_EQ(bytes, "GET");
}

TEST(RequestReader, TakesOneByteAtATime) {
  const ServerOptions options;
  const std::string chunked =
      "\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-Folded: a\r\n "
      "b\r\n\r\n"
      "3;name=\"v\"\r\nabc\r\n00A\r\n0123456789\r\n0\r\nTrailer: x\r\nHost: y\r\n\r\n";
  RequestReader reader(options);
  ASSERT_EQ(read_pieces(reader, single_bytes(chunked)), Step::kWhole) << reader.failure().message;
  EXPECT_EQ(reader.request().body, "abc0123456789");
  EXPECT_EQ(find_header(reader.request().headers, "x-folded"), "a b");
  EXPECT_FALSE(find_header(reader.request().headers, "Trailer").has_value());
}

TEST(RequestReader, KnowsWhoWouldGoOn) {
  struct Case {
    const char* head;
    bool keep_alive;
  };
  const Case cases[] = {{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
                        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
                        {"GET / HTTP/1.0\r\n\r\n", false},
                        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true}};
  const ServerOptions options;
  for (const Case& expected : cases) {
    RequestReader reader(options);
    EXPECT_EQ(read_pieces(reader, {expected.head}), Step::kWhole);
    EXPECT_EQ(reader.keep_alive(), expected.keep_alive) << expected.head;
  }
}

struct BadRequest {
  int status;
  std::string text;
};

std::string with_headers(const std::string& headers, const std::string& body = {}) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n" + body;
}

std::vector<BadRequest> bad_requests() {
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  std::string many;
  for (int i = 0; i < 101; ++i) many += "A" + std::to_string(i) + ": b\r\n";
  return {
      {400, "\x16\x03\x01\x02"},
      {400, "GET\r\n\r\n"},
      {400, "GET /\r\n\r\n"},
      {400, "GET  / HTTP/1.1\r\n\r\n"},
      {400, std::string("GET /\0 HTTP/1.1\r\n\r\n", 19)},
      {400, "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n"},
      {400, "GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n"},
      {400, "GET /?q=%zz HTTP/1.1\r\nHost: a\r\n\r\n"},
      {505, "GET / HTTP/2.0\r\n\r\n"},
      {505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
      {505, "GET / HTTP/0.9\r\n\r\n"},
      {400, "GET / HTTP/1.1\r\n\r\n"},
      {400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
      {400, with_headers("Bad Name: x\r\n")},
      {400, with_headers(": x\r\n")},
      {400, with_headers(std::string("A: x\0y\r\n", 8))},
      {400, with_headers("A: x\x01y\r\n")},
      {431, with_headers(many)},
      {400, with_headers("Content-Length: 1\r\nContent-Length: 2\r\n")},
      {400, with_headers("Content-Length: -1\r\n")},
      {400, with_headers("Content-Length: 0x10\r\n")},
      {400, with_headers("Content-Length: 99999999999999999999999\r\n")},
      {413, with_headers("Content-Length: 18446744073709551615\r\n", "x")},
      {400, with_headers("Content-Length: 1\r\n" + chunked)},
      {400, with_headers(chunked + "Content-Length: 1\r\n")},
      {400, with_headers(chunked + chunked)},
      {501, with_headers("Transfer-Encoding: gzip\r\n")},
      {501, with_headers("Transfer-Encoding: gzip, chunked\r\n")},
      {501, with_headers("Transfer-Encoding: chunked, identity\r\n")},
      {501, with_headers("Transfer-Encoding: gzip\r\n" + chunked)},
      {400, "POST / HTTP/1.0\r\n" + chunked + "\r\n0\r\n\r\n"},
      {417, with_headers("Expect: the-unexpected\r\n")},
      {400, with_headers(chunked, "x\r\n")},
      {400, with_headers(chunked, "-1\r\n")},
      {400, with_headers(chunked, "\r\n")},
      {400, with_headers(chunked, "3\nabc\r\n0\r\n\r\n")},
      {400, with_headers(chunked, "3\r\nabcd\r\n0\r\n\r\n")},
      {400, with_headers(chunked, "3;;;\r\nabc\r\n0\r\n\r\n")},
      {400, with_headers(chunked, "fffffffffffffffff\r\n")},
      {413, with_headers(chunked, "ffffffffffffffff\r\n")},
      {413, with_headers(chunked, "7FFFFFFFFFFFFFFF\r\n")},
      {413, with_headers(chunked, "8\r\n12345678\r\n9\r\n")},
      {400, with_headers(chunked, "0\r\nbad trailer\r\n\r\n")},
      {400, with_headers(chunked, "1;" + std::string(5000, 'a'))},
      {400, with_headers(chunked, "0\r\nA: " + std::string(5000, 'a'))},
      {431, with_headers("A: " + std::string(2000, 'a') + "\r\n")},
      {431, with_headers("A: " + std::string(2000, 'a'))},
      {414, "GET /" + std::string(2000, 'a')},
  };
}

TEST(RequestReader, RefusesBadRequestsWhole) {
  ServerOptions options;
  options.max_header_bytes = 1800;
  options.max_body_bytes = 16;
  for (const BadRequest& bad : bad_requests()) {
    RequestReader reader(options);
    EXPECT_EQ(read_pieces(reader, {bad.text}), Step::kFailed) << bad.text;
    EXPECT_EQ(reader.failure().status, bad.status) << bad.text << reader.failure().message;
    EXPECT_FALSE(reader.failure().message.empty());
  }
}

TEST(RequestReader, RefusesBadRequestsByTheByte) {
  ServerOptions options;
  options.max_header_bytes = 1800;
  options.max_body_bytes = 16;
  for (const BadRequest& bad : bad_requests()) {
    RequestReader reader(options);
    EXPECT_EQ(read_pieces(reader, single_bytes(bad.text)), Step::kFailed) << bad.text;
    EXPECT_EQ(reader.failure().status, bad.status) << bad.text << reader.failure().message;
  }
}

TEST(RequestReader, RefusesALongTarget) {
  ServerOptions options;
  RequestReader reader(options);
  EXPECT_EQ(read_pieces(reader, {"GET /" + std::string(9000, 'a') + " HTTP/1.1\r\n"}),
            Step::kFailed);
  EXPECT_EQ(reader.failure().status, 414);
}

}  // namespace
}  // namespace forerun
