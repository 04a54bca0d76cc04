#include "formats/http_client.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

// What is a host and port of its own; tests/e2e/pull_hub_test.py has a server.
TEST(UrlOrigin, HasSchemeHostAndPort) {
  EXPECT_EQ(url_origin("https://Hub.example/a?b"), "https://hub.example:443");
  EXPECT_EQ(url_origin("http://hub.example:8080"), "http://hub.example:8080");
  EXPECT_EQ(url_origin("http://[::1]:80/"), "http://[::1]:80");
  EXPECT_EQ(url_origin("https://hub.example.evil.example/"),
            "https://hub.example.evil.example:443");
  for (const char* url : {"", "hub.example", "file:///etc/passwd", "ftp://hub.example/",
                          "https://user@hub.example/", "https://", "javascript:x"}) {
    EXPECT_EQ(url_origin(url), "") << url;
  }
}

TEST(UrlEncoded, EncodesAllButUnreservedCharacters) {
  EXPECT_EQ(url_encoded("aZ9-._~"), "aZ9-._~");
  EXPECT_EQ(url_encoded("a/b c+%é"), "a%2Fb%20c%2B%25%C3%A9");
}

TEST(HttpClient, RefusesOtherSchemes) {
  HttpClient client;
  for (const char* url : {"file:///etc/passwd", "ftp://localhost/x", "nonsense"}) {
    HttpGet request;
    request.url = url;
    const HttpEnd end = client.get(request);
    EXPECT_EQ(end.failure, "it leads to a URL that is not followed") << url;
    EXPECT_FALSE(end.may_pass);
  }
}

TEST(HttpHead, FindsFieldsByTheirNames) {
  const HttpHead head{200, {{"etag", "\"a\""}, {"link", "x"}}};
  EXPECT_EQ(head.field("link"), "x");
  EXPECT_EQ(head.field("location"), "");
}

}  // namespace
}  // namespace forerun
