#pragma once

#include <cstdint>
#include <string>

#include "server/http_message.h"

namespace forerun {

// The answer in hand: what of its request the way it is sent depends on, and how far it is.
struct AnswerInHand {
  std::string method;
  std::string path;
  std::string route;
  std::string request_id;
  HttpHeaders cors_headers;
  bool http_1_0 = false;
  bool keep_alive = false;  // the client would like to go on
  double begin_time = 0.0;  // now_seconds()

  int status = 0;  // 0: nothing has been sent
  bool stream = false;
  bool ended = false;
  uint64_t body_bytes = 0;

  bool head_only() const { return method == "HEAD"; }
  // An HTTP/1.0 client knows no chunks; the stream's end is the connection's.
  bool chunked() const { return stream && !http_1_0; }
};

}  // namespace forerun
