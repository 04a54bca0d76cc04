#include "response_reader.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace forerun {
namespace {

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

template <typename T>
bool read_number(std::string_view text, T& value, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end != text.data();
}

}  // namespace

Status ResponseReader::take(std::string_view bytes, std::string& body) {
  unread_ += bytes;
  while (!complete_) {
    const bool in_body =
        part_ == Part::kLength || part_ == Part::kChunk || part_ == Part::kUntilEnd;
    if (in_body) {
      move_body(body);
      if (unread_.empty()) break;
      continue;
    }
    if (!next_line()) break;
    if (part_ == Part::kHead) {
      if (Status status = read_head(); !status.ok()) return status;
    } else if (part_ == Part::kChunkSize) {
      if (Status status = read_chunk_size(); !status.ok()) return status;
    } else if (part_ == Part::kChunkEnd) {
      part_ = Part::kChunkSize;
    } else {
      complete_ = line_.empty();  // the trailer's end
    }
  }
  if (complete_ && !unread_.empty()) return Error{"bytes follow the answer"};
  return {};
}

bool ResponseReader::next_line() {
  const size_t end = unread_.find("\r\n");
  if (end == std::string::npos) return false;
  line_.assign(unread_, 0, end);
  unread_.erase(0, end + 2);
  return true;
}

void ResponseReader::move_body(std::string& body) {
  const size_t count =
      part_ == Part::kUntilEnd ? unread_.size() : std::min<uint64_t>(left_, unread_.size());
  body.append(unread_, 0, count);
  unread_.erase(0, count);
  if (part_ == Part::kUntilEnd) return;
  left_ -= count;
  if (left_ > 0) return;
  if (part_ == Part::kLength) complete_ = true;
  if (part_ == Part::kChunk) part_ = Part::kChunkEnd;
}

Status ResponseReader::read_head() {
  if (status_ == 0) {
    if (!line_.starts_with("HTTP/1.") || line_.size() < 12 ||
        !read_number(std::string_view(line_).substr(9, 3), status_)) {
      return Error{"the answer begins with \"" + line_.substr(0, 40) + "\""};
    }
    return {};
  }
  if (!line_.empty()) {
    const size_t colon = line_.find(':');
    if (colon == std::string::npos) return Error{"a field of the head has no colon: " + line_};
    const size_t begin = line_.find_first_not_of(' ', colon + 1);
    read_field(std::string_view(line_).substr(0, colon),
               begin == std::string::npos ? "" : std::string_view(line_).substr(begin));
    return {};
  }
  if (status_ / 100 == 1) {  // "100 Continue": the answer's own head follows
    status_ = 0;
    return {};
  }
  part_ = chunked_ ? Part::kChunkSize : has_length_ ? Part::kLength : Part::kUntilEnd;
  complete_ = part_ == Part::kLength && left_ == 0;
  if (part_ == Part::kUntilEnd) keeps_connection_ = false;
  return {};
}

void ResponseReader::read_field(std::string_view name, std::string_view value) {
  if (same_word(name, "content-length")) has_length_ = read_number(value, left_);
  if (same_word(name, "transfer-encoding")) chunked_ = same_word(value, "chunked");
  if (same_word(name, "connection") && same_word(value, "close")) keeps_connection_ = false;
}

Status ResponseReader::read_chunk_size() {
  if (!read_number(line_, left_, 16)) return Error{"a chunk's size is \"" + line_ + "\""};
  part_ = left_ == 0 ? Part::kTrailer : Part::kChunk;
  return {};
}

}  // namespace forerun
