#include "text_input.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "formats/quote.h"

namespace forerun {
namespace {

constexpr size_t kMostBytes = 256'000'000;

Result<std::string> read_all(std::FILE* file, const std::string& name) {
  std::string text;
  char piece[1 << 16];
  size_t size = 0;
  do {
    size = std::fread(piece, 1, sizeof(piece), file);
    text.append(piece, size);
    if (text.size() > kMostBytes) return Error{name + " is larger than 256 MB"};
  } while (size == sizeof(piece));  // less is the end, or an error
  if (std::ferror(file) != 0) return Error{"cannot read " + name + ": " + std::strerror(errno)};
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace

Result<std::string> read_text(const std::string& path) {
  if (path == "-") return read_all(stdin, "standard input");
  const std::string name = quote(path, 300);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             std::fclose);
  if (file == nullptr) return Error{"cannot open " + name + ": " + std::strerror(errno)};
  return read_all(file.get(), name);
}

}  // namespace forerun
