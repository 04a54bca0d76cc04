#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace forerun {

// What stands between method and version in a request line: "/v1/models?limit=3".
struct Target {
  std::string path;                          // percent-decoded, without a trailing slash
  std::map<std::string, std::string> query;  // decoded, '+' as a space; of a name twice the last
};

// Takes the origin form, the absolute form that proxies send ("http://host/path") and "*". An Error
// where a % is not followed by two hexadecimal digits, or what is decoded holds a NUL or is not
// UTF-8.
Result<Target> parse_target(std::string_view target);

}  // namespace forerun
