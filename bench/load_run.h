#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace forerun {

struct LoadTarget {
  std::string host;  // an IPv4 address
  int port = 0;
  std::string path;
};

// "http://127.0.0.1:8000/v1/completions" taken apart. An Error says what is missing.
Result<LoadTarget> parse_target(const std::string& url);

// What came of one request. Times are seconds since the run began; negative: it never got so far.
struct LoadAnswer {
  double begin = -1.0;           // when its first byte was sent
  std::vector<double> arrivals;  // when text came: one for each event that carries some
  double end = -1.0;             // when the answer was complete
  int status = 0;                // 0: there was none
  int64_t tokens = 0;            // as the answer's usage counts them
  std::string error;             // why it is not a whole answer of status 200
};

// Sends the bodies by POST, `concurrency` at a time over as many connections, the next one when an
// answer is complete, from one thread that sleeps while nothing comes. An Error when the machine
// cannot (sockets, memory); what the server does wrong is in the answers.
Result<std::vector<LoadAnswer>> run_load(const LoadTarget& target,
                                         const std::vector<std::string>& bodies, int concurrency);

}  // namespace forerun
