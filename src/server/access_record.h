#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace forerun {

// One answered request, for the access log: neither bodies nor queries nor keys.
struct AccessRecord {
  std::string method;
  std::string path;         // percent-decoded: may hold any character but NUL
  std::string route;        // the pattern that answered; empty: none
  int status = 0;           // 499: the client left before an answer began
  bool complete = true;     // false: it left, or was given up, before the answer's end
  uint64_t body_bytes = 0;  // of the answer
  double seconds = 0.0;     // from its first byte to the end of its answer
  std::string request_id;
};

// Called on the I/O thread.
using AccessLog = std::function<void(const AccessRecord&)>;

}  // namespace forerun
