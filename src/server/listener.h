#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>

#include "base/result.h"
#include "server/http_service.h"

namespace forerun {

// One address that connections are taken at.
class Listener final {
 public:
  // Null where this machine has no such address; an Error says why it cannot be had.
  static Result<std::unique_ptr<Listener>> open(HttpService& service,
                                                const boost::asio::ip::tcp::endpoint& endpoint);

  int port() const;
  void accept();  // from now on
  void close();

 private:
  Listener(HttpService& service, boost::asio::ip::tcp::acceptor acceptor);

  void on_accepted(boost::asio::ip::tcp::socket socket);
  void retry_later(const boost::system::error_code& error);

  HttpService& service_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  bool short_of_files_ = false;
};

}  // namespace forerun
