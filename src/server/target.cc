#include "server/target.h"

#include <utility>

#include "text/utf8.h"

namespace forerun {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_utf8(const std::string& text) {
  std::string valid;
  append_valid_utf8(text, valid);
  return valid == text;
}

// `part` names what is decoded in an error.
Result<std::string> percent_decode(std::string_view text, const char* part, bool plus_is_space) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      decoded += ' ';
    } else if (text[i] != '%') {
      decoded += text[i];
    } else {
      const int high = i + 1 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return Error{std::string("The ") + part + " of the request has a % without two " +
                     "hexadecimal digits after it."};
      }
      decoded += static_cast<char>(16 * high + low);
      i += 2;
    }
  }
  if (decoded.find('\0') != std::string::npos || !is_utf8(decoded)) {
    return Error{std::string("The ") + part + " of the request is not UTF-8 text without NULs."};
  }
  return decoded;
}

Status parse_query(std::string_view text, std::map<std::string, std::string>& query) {
  while (!text.empty()) {
    const std::string_view field = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), field.size() + 1));
    if (field.empty()) continue;
    const size_t equals = std::min(field.find('='), field.size());
    Result<std::string> name = percent_decode(field.substr(0, equals), "query", true);
    if (!name.ok()) return name.error();
    const std::string_view rest = field.substr(std::min(equals + 1, field.size()));
    Result<std::string> value = percent_decode(rest, "query", true);
    if (!value.ok()) return value.error();
    query[*std::move(name)] = *std::move(value);
  }
  return {};
}

// "http://host/path" -> "/path"
std::string_view without_origin(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    target.remove_prefix(scheme.size());
    target.remove_prefix(std::min(target.find_first_of("/?"), target.size()));
    break;
  }
  return target;
}

}  // namespace

Result<Target> parse_target(std::string_view target) {
  target = without_origin(target.substr(0, target.find('#')));
  const size_t question = std::min(target.find('?'), target.size());
  Result<std::string> path = percent_decode(target.substr(0, question), "path", false);
  if (!path.ok()) return path.error();
  Target parsed;
  parsed.path = *std::move(path);
  while (parsed.path.size() > 1 && parsed.path.back() == '/') parsed.path.pop_back();
  if (parsed.path.empty()) parsed.path = "/";
  if (parsed.path[0] != '/' && parsed.path != "*") {
    return Error{"The path of the request does not begin with a slash."};
  }
  const std::string_view query = target.substr(std::min(question + 1, target.size()));
  if (Status status = parse_query(query, parsed.query); !status.ok()) return status.error();
  return parsed;
}

}  // namespace forerun
