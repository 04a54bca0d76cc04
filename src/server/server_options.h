#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace forerun {

// How the server listens, whom it lets in, and what it takes. `forerun serve --help` says the same
// in the user's words.
struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8000;  // 0: any free one

  std::vector<std::string> api_keys;  // none: everyone may call
  std::vector<std::string>
      unrecorded_keys;    // of these; whose answers nobody records or learns from
  std::string admin_key;  // empty: API keys may call everything
  std::vector<std::string> allowed_origins;  // CORS; empty: off; "*": any

  int max_connections = 4096;
  int max_waiting = 256;  // requests accepted and not yet running; more get a 429
  int64_t max_header_bytes = 16 << 10;
  int64_t max_body_bytes = 32 << 20;
  int64_t max_bodies_bytes = 256 << 20;  // that large bodies of all requests take together
  int64_t max_buffered_bytes = 4 << 20;  // that a client may fall behind in a stream
  double header_seconds = 10.0;          // a request's head must arrive in
  double body_seconds = 60.0;            // and its body
  double idle_seconds = 75.0;            // a connection may wait between requests
  double write_seconds = 60.0;           // a client that takes nothing is given up after
  double drain_seconds = 30.0;           // that running requests get after SIGTERM
  double stuck_seconds = 10.0;  // without a finished step while work is queued: /health is 503

  std::vector<std::string> model_names;  // that clients may ask for; the first is told by default
  std::string metrics_prefix = "vllm";
  bool share_prefix = false;   // one prefix cache for all keys
  bool share_history = false;  // drafts from any key's outputs
};

}  // namespace forerun
