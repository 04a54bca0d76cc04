#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "server/access_record.h"
#include "server/admit_request.h"
#include "server/api_keys.h"
#include "server/body_budget.h"
#include "server/connection_set.h"
#include "server/cors.h"
#include "server/io_loop.h"
#include "server/router.h"
#include "server/server_options.h"

namespace forerun {

// What all connections stand on. Used on the I/O thread alone, but for the count.
struct HttpService {
  explicit HttpService(const ServerOptions& options)
      : options(options), keys(options), cors(options.allowed_origins) {}

  const ServerOptions options;
  const ApiKeys keys;
  const Cors cors;
  Router router;
  AccessLog access_log;
  const std::shared_ptr<BodyBudget> body_budget =
      std::make_shared<BodyBudget>(options.max_bodies_bytes);
  ServerPhase phase = ServerPhase::kLoading;
  // From a request's head to the last byte of its answer.
  std::atomic<int> requests_in_hand = 0;

  const std::shared_ptr<IoLoop> loop = std::make_shared<IoLoop>();
  const PostToIo post = post_to(loop);
  ConnectionSet connections{loop->context()};
  // Every connection reads into this one; what is not used at once is kept by the connection.
  std::vector<char> read_buffer = std::vector<char>(64 << 10);
  std::mt19937_64 request_ids{std::random_device()()};
};

}  // namespace forerun
