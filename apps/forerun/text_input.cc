#include "text_input.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "formats/quote.h"

namespace forerun {
namespace {

Result<std::string> read_all(std::FILE* file, const std::string& name, size_t most_bytes) {
  std::string text;
  char piece[1 << 16];
  size_t size = 0;
  do {
    size = std::fread(piece, 1, sizeof(piece), file);
    text.append(piece, size);
    if (text.size() > most_bytes) {
      return Error{name + " is larger than " + std::to_string(most_bytes / 1'000'000) + " MB"};
    }
  } while (size == sizeof(piece));  // less is the end, or an error
  if (std::ferror(file) != 0) return Error{"cannot read " + name + ": " + std::strerror(errno)};
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace

Result<std::string> read_text(const std::string& path, size_t most_bytes) {
  if (path == "-") return read_all(stdin, "standard input", most_bytes);
  const std::string name = quote(path, 300);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             std::fclose);
  if (file == nullptr) return Error{"cannot open " + name + ": " + std::strerror(errno)};
  return read_all(file.get(), name, most_bytes);
}

}  // namespace forerun
