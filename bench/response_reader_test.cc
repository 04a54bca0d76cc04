#include "response_reader.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

struct Read {
  std::string body;
  bool ok = true;
  bool complete = false;
  int status = 0;
  bool keeps_connection = true;
};

// The answer given in pieces of `piece` bytes.
Read read(std::string_view answer, size_t piece, bool closed = false) {
  ResponseReader reader;
  Read read;
  for (size_t at = 0; at < answer.size() && read.ok; at += piece) {
    read.ok = reader.take(answer.substr(at, piece), read.body).ok();
  }
  if (closed) reader.take_end();
  read.complete = reader.complete();
  read.status = reader.status();
  read.keeps_connection = reader.keeps_connection();
  return read;
}

class Pieces : public testing::TestWithParam<size_t> {};

TEST_P(Pieces, BodyOfALength) {
  const Read got = read("HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\nX: y\r\n\r\nhello", GetParam());
  EXPECT_TRUE(got.ok && got.complete && got.keeps_connection);
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.body, "hello");
}

TEST_P(Pieces, Chunks) {
  const Read got = read(
      "HTTP/1.1 429 Too Many\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
      "3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nTrailer: t\r\n\r\n",
      GetParam());
  EXPECT_TRUE(got.ok && got.complete);
  EXPECT_FALSE(got.keeps_connection);
  EXPECT_EQ(got.status, 429);
  EXPECT_EQ(got.body, "abc0123456789abcdef");
}

TEST_P(Pieces, BodyUntilTheEnd) {
  const std::string_view answer = "HTTP/1.0 200 OK\r\n\r\nall of it";
  EXPECT_FALSE(read(answer, GetParam()).complete);
  const Read got = read(answer, GetParam(), /*closed=*/true);
  EXPECT_TRUE(got.ok && got.complete);
  EXPECT_EQ(got.body, "all of it");
}

TEST_P(Pieces, WhatIsCutIsNotComplete) {
  const std::string_view answers[] = {
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", ""};
  for (const std::string_view answer : answers) {
    const Read got = read(answer, GetParam(), /*closed=*/true);
    EXPECT_TRUE(got.ok);
    EXPECT_FALSE(got.complete) << answer;
  }
}

TEST_P(Pieces, AnErrorForWhatIsNoAnswer) {
  const std::string_view answers[] = {
      "SSH-2.0-something\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc"};
  for (const std::string_view answer : answers) EXPECT_FALSE(read(answer, GetParam()).ok) << answer;
}

TEST(ResponseReader, APreliminaryAnswerIsPassedOver) {
  const Read got =
      read("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!", 7);
  EXPECT_TRUE(got.ok && got.complete);
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.body, "!");
}

INSTANTIATE_TEST_SUITE_P(Sizes, Pieces, testing::Values(1, 2, 3, 1000));

}  // namespace
}  // namespace forerun
