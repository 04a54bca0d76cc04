// Reads requests that a stranger wrote. The first byte says what the rest is: 'T' a target, else
// the bytes of a connection, which come whole and, a second time, in pieces of that size. Both ways
// the same requests must come out, and a complaint both times or never.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/request_reader.h"
#include "server/target.h"

namespace forerun {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

ServerOptions small_limits() {
  ServerOptions options;
  options.max_header_bytes = 512;
  options.max_body_bytes = 256;
  return options;
}
const ServerOptions kOptions = small_limits();

// What came of a connection's bytes.
struct Outcome {
  std::vector<HttpRequest> requests;
  int failed_status = 0;
};

void check_request(const HttpRequest& request) {
  require(!request.method.empty());
  require(request.path == "*" || request.path.starts_with('/'));
  require(request.headers.size() <= 100);
  require(request.body.size() <= static_cast<size_t>(kOptions.max_body_bytes));
}

class Stream final {
 public:
  void receive(std::string_view bytes) {
    if (outcome_.failed_status != 0) return;
    input_ += bytes;
    while (!input_.empty() && step()) continue;
  }
  const Outcome& outcome() const { return outcome_; }

 private:
  // False: more is needed, or nothing more will be taken.
  bool step() {
    if (!reader_) reader_.emplace(kOptions);
    switch (reader_->read(input_)) {
      case RequestReader::Step::kNeedMore:
        // What is kept for later is bounded, whoever sends it.
        require(input_.size() <= 8192);
        return false;
      case RequestReader::Step::kHead:
        check_request(reader_->request());
        return true;
      case RequestReader::Step::kWhole:
        check_request(reader_->request());
        require(!reader_->has_body());
        outcome_.requests.push_back(reader_->request());
        reader_.reset();
        return true;
      case RequestReader::Step::kFailed:
        outcome_.failed_status = reader_->failure().status;
        require(outcome_.failed_status >= 400 && outcome_.failed_status < 600);
        require(!reader_->failure().message.empty());
        return false;
    }
    return false;
  }

  std::string input_;
  std::optional<RequestReader> reader_;
  Outcome outcome_;
};

Outcome read_pieces(std::string_view bytes, size_t piece_size) {
  Stream stream;
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, piece_size);
    bytes.remove_prefix(piece.size());
    stream.receive(piece);
  }
  return stream.outcome();
}

void require_same(const Outcome& a, const Outcome& b) {
  require(a.requests.size() == b.requests.size());
  for (size_t i = 0; i < a.requests.size(); ++i) {
    require(a.requests[i].method == b.requests[i].method);
    require(a.requests[i].path == b.requests[i].path);
    require(a.requests[i].query == b.requests[i].query);
    require(a.requests[i].headers == b.requests[i].headers);
    require(a.requests[i].body == b.requests[i].body);
  }
  // Which of a bad request's faults is met first may depend on how it comes.
  require((a.failed_status == 0) == (b.failed_status == 0));
}

void use_target(std::string_view text) {
  const Result<Target> target = parse_target(text);
  if (!target.ok()) return require(!target.error().message.empty());
  require(target->path == "*" || target->path.starts_with('/'));
  require(target->path.size() == 1 || target->path.back() != '/');
}

}  // namespace
}  // namespace forerun

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'T') {
    forerun::use_target(rest);
  } else {
    const size_t piece_size = std::max<size_t>(data[0], 1);
    // With an end to every head: of half a head, a fault may be seen at once or later.
    const std::string bytes = std::string(rest) + "\r\n\r\n";
    forerun::require_same(forerun::read_pieces(bytes, bytes.size()),
                          forerun::read_pieces(bytes, piece_size));
  }
  return 0;
}
