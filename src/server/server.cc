#include "server/server.h"

#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "server/http_service.h"
#include "server/listener.h"

namespace forerun {
namespace {

using boost::asio::ip::tcp;

// Beside connections: the model's files, logs, the engine's own.
constexpr int kOtherFiles = 256;

// The usual limit of 1,024 open files is there for programs that use select().
void allow_files(int count) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const auto wanted = std::min<rlim_t>(static_cast<rlim_t>(count), limit.rlim_max);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

// "[::1]" -> "::1", as it stands in a URL
std::string without_brackets(const std::string& host) {
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  return bracketed ? host.substr(1, host.size() - 2) : host;
}

// A name may have several addresses, "localhost" one of each family.
Result<std::vector<tcp::endpoint>> resolve(boost::asio::io_context& context,
                                           const std::string& host, int port) {
  tcp::resolver resolver(context);
  boost::system::error_code error;
  const auto found = resolver.resolve(without_brackets(host), std::to_string(port),
                                      tcp::resolver::numeric_service, error);
  if (error) return Error{"The host '" + host + "' has no address: " + error.message() + "."};
  std::vector<tcp::endpoint> endpoints;
  for (const auto& entry : found) {
    const tcp::endpoint endpoint = entry.endpoint();
    const auto same = std::find(endpoints.begin(), endpoints.end(), endpoint);
    if (same == endpoints.end()) endpoints.push_back(endpoint);
  }
  return endpoints;
}

}  // namespace

struct Server::State {
  explicit State(const ServerOptions& options) : service(options) {}

  Status listen();

  HttpService service;
  std::vector<std::unique_ptr<Listener>> listeners;
  std::thread thread;
};

// At every address of the host that this machine has; the first may pick the port for all.
Status Server::State::listen() {
  const ServerOptions& options = service.options;
  const auto endpoints = resolve(service.loop->context(), options.host, options.port);
  if (!endpoints.ok()) return endpoints.error();
  for (tcp::endpoint endpoint : *endpoints) {
    if (!listeners.empty()) endpoint.port(static_cast<uint16_t>(listeners.front()->port()));
    auto listener = Listener::open(service, endpoint);
    if (!listener.ok()) return listener.error();
    if (*listener != nullptr) listeners.push_back(*std::move(listener));
  }
  if (!listeners.empty()) return {};
  return Error{"The host '" + options.host + "' is no address of this machine."};
}

Server::Server(const ServerOptions& options) : state_(std::make_unique<State>(options)) {}

Server::~Server() {
  stop();
}

PostToIo Server::post_to_io() const {
  return state_->service.post;
}

Status Server::listen(AccessLog access_log) {
  CHECK(!state_->thread.joinable(), "a server listens once");
  HttpService& service = state_->service;
  service.access_log = std::move(access_log);
  allow_files(service.options.max_connections + kOtherFiles);
  if (Status status = state_->listen(); !status.ok()) return status;
  for (const auto& listener : state_->listeners) listener->accept();
  state_->thread = std::thread([loop = service.loop] {
    pthread_setname_np(pthread_self(), "forerun-http");
    loop->run();
  });
  return {};
}

void Server::serve(Router router) {
  state_->service.post([service = &state_->service, router = std::move(router)]() mutable {
    CHECK(service->phase == ServerPhase::kLoading, "a server serves once");
    service->router = std::move(router);
    service->phase = ServerPhase::kServing;
  });
}

int Server::port() const {
  return state_->listeners.empty() ? state_->service.options.port : state_->listeners[0]->port();
}

std::string Server::url() const {
  const std::string host = without_brackets(state_->service.options.host);
  const bool is_v6 = host.find(':') != std::string::npos;
  return "http://" + (is_v6 ? "[" + host + "]" : host) + ":" + std::to_string(port());
}

void Server::drain() {
  state_->service.post([service = &state_->service] { service->phase = ServerPhase::kDraining; });
}

int Server::requests_in_hand() const {
  return state_->service.requests_in_hand;
}

void Server::stop() {
  HttpService& service = state_->service;
  if (state_->thread.joinable()) {
    service.post([this, &service] {
      for (const auto& listener : state_->listeners) listener->close();
      service.connections.close_all();
      service.loop->stop();
    });
    state_->thread.join();
  }
  service.loop->close();
}

}  // namespace forerun
