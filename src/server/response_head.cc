#include "server/response_head.h"

#include <ctime>

namespace forerun {
namespace {

struct Reason {
  int status;
  const char* phrase;
};
constexpr Reason kReasons[] = {{200, "OK"},
                               {201, "Created"},
                               {202, "Accepted"},
                               {204, "No Content"},
                               {301, "Moved Permanently"},
                               {302, "Found"},
                               {304, "Not Modified"},
                               {400, "Bad Request"},
                               {401, "Unauthorized"},
                               {403, "Forbidden"},
                               {404, "Not Found"},
                               {405, "Method Not Allowed"},
                               {408, "Request Timeout"},
                               {409, "Conflict"},
                               {413, "Content Too Large"},
                               {414, "URI Too Long"},
                               {415, "Unsupported Media Type"},
                               {417, "Expectation Failed"},
                               {422, "Unprocessable Content"},
                               {429, "Too Many Requests"},
                               {431, "Request Header Fields Too Large"},
                               {500, "Internal Server Error"},
                               {501, "Not Implemented"},
                               {503, "Service Unavailable"},
                               {504, "Gateway Timeout"},
                               {505, "HTTP Version Not Supported"}};

const char* reason_of(int status) {
  for (const Reason& reason : kReasons) {
    if (reason.status == status) return reason.phrase;
  }
  return "Other";
}

// "Sun, 06 Nov 1994 08:49:37 GMT"
std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  gmtime_r(&now, &parts);
  char text[32];
  const size_t size = std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text, size};
}

// A value may hold what a client sent; a line break in it would begin a field of the client's own.
void append_field(std::string& head, const std::string& name, const std::string& value) {
  head += name;
  head += ": ";
  for (const char c : value) head += static_cast<unsigned char>(c) < ' ' || c == 127 ? ' ' : c;
  head += "\r\n";
}

}  // namespace

bool is_bodiless(int status) {
  return status == 204 || status == 304;
}

std::string format_head(const ResponseHead& head) {
  std::string text = "HTTP/1.1 " + std::to_string(head.status) + " " + reason_of(head.status);
  text += "\r\n";
  append_field(text, "Date", http_date());
  if (!head.content_type.empty()) append_field(text, "Content-Type", head.content_type);
  if (head.body == ResponseHead::Body::kLength) {
    append_field(text, "Content-Length", std::to_string(head.length));
  } else if (head.body == ResponseHead::Body::kChunked) {
    append_field(text, "Transfer-Encoding", "chunked");
  }
  if (!head.connection.empty()) append_field(text, "Connection", head.connection);
  for (const auto& [name, value] : head.headers) append_field(text, name, value);
  text += "\r\n";
  return text;
}

}  // namespace forerun
