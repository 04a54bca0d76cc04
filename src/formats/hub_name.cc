#include "formats/hub_name.h"

#include <algorithm>

#include "formats/quote.h"

namespace forerun {
namespace {

constexpr size_t kMaxStepBytes = 128;
constexpr size_t kMaxPathBytes = 512;

bool is_plain_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-' || c == '+';
}

bool is_plain_step(std::string_view step) {
  return !step.empty() && step.size() <= kMaxStepBytes && step[0] != '.' && step[0] != '-' &&
         step.find("..") == std::string_view::npos && std::ranges::all_of(step, is_plain_byte);
}

bool is_inside_step(std::string_view step) {
  return !step.empty() && step != "." && step != ".." && std::ranges::none_of(step, [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\';
  });
}

template <typename Check>
bool every_step(std::string_view path, Check check) {
  if (path.size() > kMaxPathBytes) return false;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    if (!check(path.substr(begin, end - begin))) return false;
    begin = end + 1;
  }
  return true;
}

}  // namespace

bool is_plain_path(std::string_view path) {
  return every_step(path, is_plain_step);
}

bool is_inside_path(std::string_view path) {
  return every_step(path, is_inside_step);
}

bool is_commit(std::string_view text) {
  return (text.size() == 40 || text.size() == 64) && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

Result<HubName> HubName::parse(std::string_view text) {
  HubName name;
  std::string_view rest = text;
  const auto cut = [&](char mark, std::string& part) {
    const size_t at = rest.find(mark);
    if (at == std::string_view::npos) return true;
    part = rest.substr(at + 1);
    rest = rest.substr(0, at);
    return is_plain_path(part);
  };
  const Error wrong{quote(text, 300) +
                    " is no name of a model on the hub, which are written org/name, "
                    "org/name:file.gguf or org/name@revision, in letters, digits and ._-+"};
  if (!cut('@', name.revision) || !cut(':', name.file)) return wrong;
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return wrong;
  name.organisation = rest.substr(0, slash);
  name.name = rest.substr(slash + 1);
  if (!is_plain_step(name.organisation) || !is_plain_step(name.name)) return wrong;
  return name;
}

std::string HubName::text() const {
  return repository() + (file.empty() ? "" : ":" + file) +
         (revision == "main" ? "" : "@" + revision);
}

}  // namespace forerun
