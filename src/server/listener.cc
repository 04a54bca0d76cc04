#include "server/listener.h"

#include <boost/asio/ip/v6_only.hpp>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "server/connection.h"
#include "server/errors.h"

namespace forerun {
namespace {

using boost::asio::ip::tcp;
using boost::asio::ip::v6_only;
using boost::system::error_code;

// Beyond max_connections this many more are told so and closed. A client in the kernel's queue
// would wait without a word, and a load balancer could not send it elsewhere.
constexpr size_t kMaxRefusals = 64;
constexpr auto kPause = std::chrono::milliseconds(100);

std::string sentence(const tcp::endpoint& endpoint, const error_code& error) {
  const std::string address = endpoint.address().to_string();
  const std::string port = std::to_string(endpoint.port());
  if (error == boost::asio::error::address_in_use) {
    return "Port " + port + " of " + address +
           " is in use by another program; another port, or 0 for any free one, will do.";
  }
  return "Cannot listen at " + address + ", port " + port + ": " + error.message() + ".";
}

// "localhost" has an IPv6 address on machines without IPv6 too.
bool is_not_ours(const error_code& error) {
  return error == boost::system::errc::address_not_available ||
         error == boost::system::errc::address_family_not_supported;
}

}  // namespace

Result<std::unique_ptr<Listener>> Listener::open(HttpService& service,
                                                 const tcp::endpoint& endpoint) {
  tcp::acceptor acceptor(service.loop->context());
  error_code error;
  const auto done = [&error] { return !error; };
  acceptor.open(endpoint.protocol(), error);
  // So that a restart need not wait for the last run's connections to be forgotten.
  if (done()) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  // "::" is every address of both families.
  const bool all_families = endpoint.address().is_v6() && endpoint.address().is_unspecified();
  if (done() && all_families) acceptor.set_option(v6_only(false), error);
  if (done()) acceptor.bind(endpoint, error);
  if (done()) acceptor.listen(boost::asio::socket_base::max_listen_connections, error);
  if (is_not_ours(error)) return std::unique_ptr<Listener>();
  if (!done()) return Error{sentence(endpoint, error)};
  return std::unique_ptr<Listener>(new Listener(service, std::move(acceptor)));
}

Listener::Listener(HttpService& service, tcp::acceptor acceptor)
    : service_(service), acceptor_(std::move(acceptor)), pause_(service.loop->context()) {}

int Listener::port() const {
  error_code ignored;
  return acceptor_.local_endpoint(ignored).port();
}

void Listener::accept() {
  acceptor_.async_accept([this](const error_code& error, tcp::socket socket) {
    if (error == boost::asio::error::operation_aborted || !acceptor_.is_open()) return;
    if (error && error != boost::asio::error::connection_aborted) return retry_later(error);
    short_of_files_ = false;
    if (!error) on_accepted(std::move(socket));
    accept();
  });
}

void Listener::on_accepted(tcp::socket socket) {
  const auto max_connections = static_cast<size_t>(service_.options.max_connections);
  const size_t open = service_.connections.size();
  if (open >= max_connections + kMaxRefusals) return;
  auto connection = std::make_shared<Connection>(service_, std::move(socket));
  service_.connections.add(connection);
  if (open < max_connections) return connection->start();
  HttpResponse response = error_response(503, "The server has as many connections as it takes: " +
                                                  std::to_string(max_connections) + ".");
  response.headers.emplace_back("Retry-After", "1");
  connection->refuse(response);
}

// Out of file descriptors or of the kernel's memory: the waiting client stays ready to be accepted,
// and asking again at once would spin.
void Listener::retry_later(const error_code& error) {
  if (!std::exchange(short_of_files_, true)) {
    log(LogLevel::kError, "cannot accept connections", {{"error", error.message()}});
  }
  pause_.expires_after(kPause);
  pause_.async_wait([this](const error_code& aborted) {
    if (!aborted) accept();
  });
}

void Listener::close() {
  error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
}

}  // namespace forerun
