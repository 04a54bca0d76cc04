#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "server/answer_in_hand.h"
#include "server/http_exchange.h"
#include "server/http_service.h"
#include "server/output_buffer.h"
#include "server/request_reader.h"

namespace forerun {

// One client's connection: its requests, one at a time, and their answers in order. Everything
// happens on the I/O thread. While nothing happens it holds no buffer: it waits for the socket to
// be readable and reads into the service's.
class Connection final : public AnswerWriter, public std::enable_shared_from_this<Connection> {
 public:
  Connection(HttpService& service, boost::asio::ip::tcp::socket socket);
  ~Connection() override;

  // Waits for requests.
  void start();
  // Answers without having read anything, and closes.
  void refuse(const HttpResponse& response);
  // At once; whoever is answering is told.
  void close();

  double deadline() const;  // now_seconds(); infinity: none
  void check_deadline();

  void send_reply(HttpResponse response) override;
  void send_stream_head(const std::string& content_type) override;
  void send_piece(const std::string& bytes) override;
  void send_stream_end() override;
  void give_up_answer() override;

 private:
  enum class Phase : uint8_t {
    kIdle,       // nothing of a request has come
    kHead,       // something of its head has
    kBody,       // something of its body is missing
    kAnswering,  // a handler has it, or its answer is not all sent
    kLingering,  // the last answer is sent; waits for the client to have read it
    kClosed,
  };
  static constexpr double kNever = std::numeric_limits<double>::infinity();

  void enter(Phase phase, double limit_seconds = kNever);
  void drop();

  // connection_read.cc
  void watch();
  void on_readable();
  void on_end_of_input();
  bool sends_ended_answer() const;
  void read_request();
  bool admit_head();
  void dispatch();
  void reject(HttpResponse response);
  void next_request();
  void begin_answer();

  // connection_write.cc
  void send_head(const HttpResponse& response);
  void end_answer();
  void log_answer();
  void flush();
  void on_written(const boost::system::error_code& error, size_t bytes);
  void linger();

  HttpService& service_;
  boost::asio::ip::tcp::socket socket_;
  Phase phase_ = Phase::kIdle;
  double phase_deadline_ = kNever;
  double write_deadline_ = kNever;

  std::string input_;  // read and not yet taken
  bool watching_ = false;
  bool input_ended_ = false;
  std::unique_ptr<RequestReader> reader_;
  BodyShare body_share_;
  double request_time_ = 0.0;  // of its first byte
  const Route* route_ = nullptr;

  std::optional<AnswerInHand> answer_;
  std::weak_ptr<HttpExchange> exchange_;
  OutputBuffer output_;
  bool writing_ = false;
  bool close_after_ = false;
  bool dropping_ = false;
};

}  // namespace forerun
