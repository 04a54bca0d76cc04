#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace forerun {

// Reads one HTTP/1.1 answer as it arrives and takes its framing off: Content-Length, chunks, or the
// end of the connection. Made for a load client: it keeps no header field but those two.
class ResponseReader final {
 public:
  // Takes the next bytes, of which none may follow the answer, and appends what they hold of the
  // body to `body`. An Error when they are not an answer.
  Status take(std::string_view bytes, std::string& body);

  // The other side has closed.
  void take_end() { complete_ = complete_ || part_ == Part::kUntilEnd; }

  bool complete() const { return complete_; }
  int status() const { return status_; }  // 0 until it is known
  bool keeps_connection() const { return keeps_connection_; }

 private:
  enum class Part : uint8_t { kHead, kLength, kChunkSize, kChunk, kChunkEnd, kTrailer, kUntilEnd };

  Status read_head();
  void read_field(std::string_view name, std::string_view value);
  Status read_chunk_size();
  // Moves a line from `unread_` to `line_`, without its end; false when it is not whole yet.
  bool next_line();
  void move_body(std::string& body);

  Part part_ = Part::kHead;
  std::string unread_;
  std::string line_;
  uint64_t left_ = 0;  // bytes of the body, or of the chunk
  bool chunked_ = false;
  bool has_length_ = false;
  bool complete_ = false;
  bool keeps_connection_ = true;
  int status_ = 0;
};

}  // namespace forerun
