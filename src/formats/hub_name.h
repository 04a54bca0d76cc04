#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace forerun {

// A model of the hub as a user writes it: "org/name", "org/name:file.gguf", "org/name@revision",
// "org/name:file.gguf@revision".
struct HubName {
  std::string organisation;
  std::string name;
  std::string file;               // its path in the repository; empty: the repository's model
  std::string revision = "main";  // a branch, a tag or a commit

  // Each part becomes part of a path on this machine and of a URL: an Error where one has other
  // characters than letters, digits and "._-+", or a step that is empty or begins with a dot or
  // dash.
  static Result<HubName> parse(std::string_view text);

  std::string repository() const { return organisation + "/" + name; }
  std::string text() const;  // as parse() takes it
};

// Whether `path` consists of such steps.
bool is_plain_path(std::string_view path);

// Whether `path` stays in its folder, whatever its characters: no "..", no empty step, not
// absolute, no backslash, no control characters.
bool is_inside_path(std::string_view path);

// 40 or 64 lower-case hexadecimal digits.
bool is_commit(std::string_view text);

}  // namespace forerun
