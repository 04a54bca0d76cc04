#include "event_text.h"

#include <charconv>
#include <initializer_list>

namespace forerun {
namespace {

// What follows `"field":` and blanks; empty where there is no such field.
std::string_view value_of(std::string_view json, std::string_view quoted_field) {
  const size_t at = json.find(quoted_field);
  if (at == std::string_view::npos) return {};
  const size_t begin = json.find_first_not_of(": ", at + quoted_field.size());
  return begin == std::string_view::npos ? std::string_view() : json.substr(begin);
}

}  // namespace

bool carries_text(std::string_view event) {
  for (const std::string_view field : {R"("text")", R"("content")"}) {
    const std::string_view value = value_of(event, field);
    if (value.size() > 1 && value[0] == '"' && value[1] != '"') return true;
  }
  return false;
}

int64_t completion_tokens(std::string_view json) {
  const std::string_view value = value_of(json, R"("completion_tokens")");
  int64_t tokens = 0;
  std::from_chars(value.data(), value.data() + value.size(), tokens);
  return tokens;
}

}  // namespace forerun
