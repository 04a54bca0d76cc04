#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "server/http_message.h"

namespace forerun {

// The bytes before an answer's body.
struct ResponseHead {
  enum class Body : uint8_t { kNone, kLength, kChunked, kUntilClose };

  int status = 200;
  std::string content_type;
  Body body = Body::kLength;
  uint64_t length = 0;       // of kLength
  std::string connection;    // "close", "keep-alive" or empty
  HttpHeaders headers = {};  // further ones; control characters in them become spaces
};
std::string format_head(const ResponseHead& head);

// Of an answer that never has a body, whatever its length.
bool is_bodiless(int status);

}  // namespace forerun
