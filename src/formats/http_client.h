#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace forerun {

// What came before an answer's body.
struct HttpHead {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> fields;  // names in lower case

  // Empty where there is no such field.
  std::string_view field(std::string_view name) const;
};

struct HttpGet {
  std::string url;
  std::string token;                 // sent as a bearer's to the URL's own host and port, no other
  std::vector<std::string> headers;  // "Name: value"
  uint64_t max_bytes = 0;            // of the body; more is a failure
  double most_seconds = 0.0;         // for all of it; 0: as long as bytes come
  std::function<Status(const HttpHead&)> on_head;           // of a 2xx; may be empty
  std::function<Status(std::span<const uint8_t>)> on_body;  // of a 2xx
};

// How a request ended. Redirects have been followed (10 at most, to http or https, and from https
// to nothing else).
struct HttpEnd {
  HttpHead head;          // of the last answer; status 0: none came
  std::string failure;    // why it did not come whole, as the end of a sentence; empty: it did
  bool may_pass = false;  // a failure of the network or the server's, worth another try
  double retry_after_seconds = 0.0;  // as the server asks
};

// GET by libcurl, one request at a time, connections kept. Proxies as libcurl's environment
// variables say. A connection that moves nothing for 30 s is given up.
class HttpClient final {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  HttpEnd get(const HttpGet& request);

 private:
  struct Curl;
  std::unique_ptr<Curl> curl_;
};

// "https://host:443" of a URL, with the port always; empty where it is no http(s) URL, or holds a
// user's name.
std::string url_origin(const std::string& url);

// A step of a URL's path or a value of its query, percent-encoded.
std::string url_encoded(std::string_view text);

}  // namespace forerun
