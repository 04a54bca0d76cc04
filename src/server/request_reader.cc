#include "server/request_reader.h"

#include <boost/beast/http/basic_parser.hpp>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "server/target.h"

namespace forerun {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;

constexpr size_t kMaxTargetBytes = 8 << 10;
constexpr size_t kMaxHeaders = 100;
// Of a chunk's size with its extensions, and of the trailer after the last one.
constexpr size_t kMaxChunkHeadBytes = 4 << 10;

struct Complaint {
  http::error error;
  int status;
  const char* sentence;
};
constexpr Complaint kComplaints[] = {
    {http::error::bad_method, 400,
     "The request does not begin with a method; this port speaks HTTP, not HTTPS."},
    {http::error::bad_target, 400, "The request's target holds a character that a URL has not."},
    {http::error::bad_version, 505,
     "The first line of a request ends in HTTP/1.1 or HTTP/1.0 and CR LF."},
    {http::error::bad_field, 400, "The name of a header holds a character that it may not have."},
    {http::error::bad_value, 400, "The value of a header holds a control character."},
    {http::error::bad_content_length, 400,
     "The request's Content-Length is no number, given twice, or beside a Transfer-Encoding."},
    {http::error::bad_transfer_encoding, 400,
     "The request's Transfer-Encoding is given twice or beside a Content-Length."},
    {http::error::bad_chunk, 400, "A chunk of the request's body has no hexadecimal size."},
    {http::error::bad_chunk_extension, 400, "A chunk of the request's body is malformed."},
    {http::error::header_limit, 431, "A header that goes over several lines is too long."},
    {http::error::bad_line_ending, 400, "A line of the request does not end in CR LF."},
};

RequestReader::Failure failure_of(const error_code& error) {
  for (const Complaint& complaint : kComplaints) {
    if (error == complaint.error) return {complaint.status, complaint.sentence};
  }
  return {400, "The request is malformed: " + error.message() + "."};
}

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

// Beast's parser, with what it finds put where handlers want it. It knows no limit of the body: its
// own would be told before a key could be asked for.
class RequestReader::Parser final : public http::basic_parser<true> {
 public:
  explicit Parser(const ServerOptions& options) : options_(options) {
    // Twice ours, which is then always the one that is met.
    header_limit(static_cast<uint32_t>(2 * options.max_header_bytes));
    body_limit(std::numeric_limits<uint64_t>::max());
  }

  Step read(std::string& bytes);

  HttpRequest request;
  Failure failure;
  bool http_1_0 = false;
  bool expects_continue = false;

 private:
  Step fail(Failure why) {
    if (failure.message.empty()) failure = std::move(why);
    return Step::kFailed;
  }
  // For the callbacks below: any error makes the parser stop.
  void refuse(error_code& error, int status, std::string message) {
    failure = {status, std::move(message)};
    error = http::error::bad_value;
  }
  void refuse_large_body(error_code& error) {
    refuse(
        error, 413,
        "The request's body is larger than " + std::to_string(options_.max_body_bytes) + " bytes.");
  }

  void skip_empty_lines(std::string& bytes);
  std::optional<Failure> too_much_pending(std::string_view pending) const;
  std::optional<Failure> check_head() const;

  void on_request_impl(http::verb, boost::beast::string_view method,
                       boost::beast::string_view target, int version, error_code& error) override;
  void on_field_impl(http::field, boost::beast::string_view name, boost::beast::string_view value,
                     error_code& error) override;
  void on_header_impl(error_code& error) override;
  void on_body_init_impl(const boost::optional<uint64_t>& length, error_code& error) override;
  size_t on_body_impl(boost::beast::string_view piece, error_code& error) override;
  void on_chunk_header_impl(uint64_t size, boost::beast::string_view, error_code& error) override;
  size_t on_chunk_body_impl(uint64_t, boost::beast::string_view piece, error_code& error) override {
    return on_body_impl(piece, error);
  }
  void on_finish_impl(error_code&) override {}
  void on_response_impl(int, boost::beast::string_view, int, error_code&) override {}

  const ServerOptions& options_;
  size_t head_bytes_ = 0;  // taken of the head so far
  bool told_head_ = false;
};

RequestReader::Step RequestReader::Parser::read(std::string& bytes) {
  size_t taken = 0;
  error_code error;
  if (!got_some()) skip_empty_lines(bytes);
  if (!got_some() && bytes == "\r") return Step::kNeedMore;
  while (!is_done() && taken < bytes.size() && !error) {
    const size_t before = taken;
    const bool in_head = !is_header_done();
    taken += put({bytes.data() + taken, bytes.size() - taken}, error);
    if (in_head) head_bytes_ += taken - before;
    if (in_head && is_header_done()) break;
  }
  bytes.erase(0, taken);
  if (!failure.message.empty()) return Step::kFailed;
  if (auto limit = too_much_pending(bytes)) return fail(*std::move(limit));
  if (error && error != http::error::need_more) return fail(failure_of(error));
  if (!is_header_done()) return Step::kNeedMore;
  if (!std::exchange(told_head_, true)) {
    if (auto wrong = check_head()) return fail(*std::move(wrong));
    return Step::kHead;
  }
  return is_done() ? Step::kWhole : Step::kNeedMore;
}

// Some clients end a body with a line break too many.
void RequestReader::Parser::skip_empty_lines(std::string& bytes) {
  size_t size = 0;
  while (bytes.compare(size, 2, "\r\n") == 0) size += 2;
  bytes.erase(0, size);
  head_bytes_ += size;
}

// `pending`: what the parser left for when more has come.
std::optional<RequestReader::Failure> RequestReader::Parser::too_much_pending(
    std::string_view pending) const {
  const bool in_head = !is_header_done();
  const auto max_head_bytes = static_cast<size_t>(options_.max_header_bytes);
  if (head_bytes_ + (in_head ? pending.size() : 0) > max_head_bytes) {
    if (in_head && request.method.empty() && pending.find('\n') == std::string_view::npos) {
      return Failure{414, "The request's first line is longer than " +
                              std::to_string(max_head_bytes) + " bytes."};
    }
    return Failure{431, "The request's headers are larger than " + std::to_string(max_head_bytes) +
                            " bytes in all."};
  }
  if (!in_head && told_head_ && !is_done() && pending.size() > kMaxChunkHeadBytes) {
    return Failure{400, "A chunk's extensions or the trailer are longer than " +
                            std::to_string(kMaxChunkHeadBytes) + " bytes."};
  }
  return std::nullopt;
}

// What the parser lets pass.
std::optional<RequestReader::Failure> RequestReader::Parser::check_head() const {
  size_t hosts = 0;
  size_t codings = 0;
  bool chunked_alone = true;
  for (const auto& [name, value] : request.headers) {
    if (equal_without_case(name, "Host")) ++hosts;
    if (equal_without_case(name, "Transfer-Encoding")) {
      ++codings;
      chunked_alone = chunked_alone && equal_without_case(value, "chunked");
    }
  }
  if (hosts > 1 || (hosts == 0 && !http_1_0)) {
    return Failure{400, "A request has one Host header."};
  }
  if (codings > 0 && http_1_0) {
    return Failure{400, "An HTTP/1.0 request has no Transfer-Encoding."};
  }
  if (codings > 0 && (!chunked_alone || codings > 1)) {
    return Failure{501, "The only Transfer-Encoding that this server knows is 'chunked'."};
  }
  return std::nullopt;
}

void RequestReader::Parser::on_request_impl(http::verb, boost::beast::string_view method,
                                            boost::beast::string_view target, int version,
                                            error_code& error) {
  request.method = std::string(view(method));
  http_1_0 = version == 10;
  if (target.size() > kMaxTargetBytes) {
    return refuse(
        error, 414,
        "The request's target is longer than " + std::to_string(kMaxTargetBytes) + " bytes.");
  }
  Result<Target> parsed = forerun::parse_target(view(target));
  if (!parsed.ok()) return refuse(error, 400, parsed.error().message);
  request.path = std::move(parsed->path);
  request.query = std::move(parsed->query);
}

void RequestReader::Parser::on_field_impl(http::field field, boost::beast::string_view name,
                                          boost::beast::string_view value, error_code& error) {
  if (is_header_done()) return;  // of the trailer
  if (request.headers.size() == kMaxHeaders) {
    return refuse(error, 431,
                  "The request has more than " + std::to_string(kMaxHeaders) + " headers.");
  }
  if (field == http::field::expect && !http_1_0) {
    if (!equal_without_case(view(value), "100-continue")) {
      return refuse(error, 417, "The only expectation that this server knows is '100-continue'.");
    }
    expects_continue = true;
  }
  request.headers.emplace_back(view(name), view(value));
}

void RequestReader::Parser::on_header_impl(error_code&) {}

void RequestReader::Parser::on_body_init_impl(const boost::optional<uint64_t>& length,
                                              error_code& error) {
  if (length && *length > static_cast<uint64_t>(options_.max_body_bytes)) refuse_large_body(error);
}

size_t RequestReader::Parser::on_body_impl(boost::beast::string_view piece, error_code&) {
  request.body.append(piece.data(), piece.size());
  return piece.size();
}

void RequestReader::Parser::on_chunk_header_impl(uint64_t size, boost::beast::string_view,
                                                 error_code& error) {
  if (size > static_cast<uint64_t>(options_.max_body_bytes) - request.body.size()) {
    refuse_large_body(error);
  }
}

RequestReader::RequestReader(const ServerOptions& options)
    : parser_(std::make_unique<Parser>(options)) {}
RequestReader::~RequestReader() = default;

RequestReader::Step RequestReader::read(std::string& bytes) {
  return parser_->read(bytes);
}
const RequestReader::Failure& RequestReader::failure() const {
  return parser_->failure;
}
HttpRequest& RequestReader::request() {
  return parser_->request;
}
bool RequestReader::has_body() const {
  return !parser_->is_done();
}
uint64_t RequestReader::content_length() const {
  return parser_->chunked() ? 0 : parser_->content_length().value_or(0);
}
bool RequestReader::expects_continue() const {
  return parser_->expects_continue;
}
bool RequestReader::keep_alive() const {
  return parser_->keep_alive();
}
bool RequestReader::is_http_1_0() const {
  return parser_->http_1_0;
}

}  // namespace forerun
