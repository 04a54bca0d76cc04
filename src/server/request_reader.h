#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "server/http_message.h"
#include "server/server_options.h"

namespace forerun {

// Makes one request of the bytes that come: first its head, then, when told to go on, its body.
class RequestReader final {
 public:
  explicit RequestReader(const ServerOptions& options);
  ~RequestReader();

  enum class Step : uint8_t {
    kNeedMore,
    kHead,   // the head is whole; nothing of the body is taken before the next call
    kWhole,  // the request is whole; what follows it is left in the bytes
    kFailed,
  };
  // Takes what it can from the front of `bytes`.
  Step read(std::string& bytes);

  struct Failure {
    int status = 400;
    std::string message;
  };
  const Failure& failure() const;

  // The method, path, query and headers are set from kHead on, the body from kWhole on.
  HttpRequest& request();
  // From kHead on.
  bool has_body() const;
  uint64_t content_length() const;  // 0 where it is not told
  bool expects_continue() const;
  bool keep_alive() const;
  bool is_http_1_0() const;

 private:
  class Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace forerun
