#include "message_reader.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

namespace forerun {
namespace {

constexpr char kPrompt[] = "> ";
constexpr char kGoesOn[] = ". ";
constexpr std::string_view kQuotes = "\"\"\"";
constexpr size_t kMostBytes = 16'000'000;

Line read_piped_line() {
  Line line;
  int byte = 0;
  while ((byte = std::getc(stdin)) != EOF && byte != '\n') {
    if (line.text.size() == kMostBytes) {
      return {Line::Kind::kFailed, "a line of standard input is longer than 16 MB"};
    }
    line.text.push_back(static_cast<char>(byte));
  }
  if (std::ferror(stdin) != 0) {
    return {Line::Kind::kFailed,
            std::string("cannot read standard input: ") + std::strerror(errno)};
  }
  if (byte == EOF && line.text.empty()) line.kind = Line::Kind::kEnd;
  return line;
}

}  // namespace

Line MessageReader::read() {
  Line line = lines_(kPrompt);
  if (line.kind != Line::Kind::kText) return line;
  if (line.text.starts_with(kQuotes)) return read_quoted(line.text.substr(kQuotes.size()));
  while (line.text.ends_with('\\')) {
    line.text.back() = '\n';
    Line next = lines_(kGoesOn);
    if (next.kind == Line::Kind::kEnd) break;
    if (next.kind != Line::Kind::kText) return next;
    line.text += next.text;
  }
  return line;
}

Line MessageReader::read_quoted(std::string text) {
  while (!text.ends_with(kQuotes)) {
    Line next = lines_(kGoesOn);
    if (next.kind == Line::Kind::kEnd) return {Line::Kind::kText, text};
    if (next.kind != Line::Kind::kText) return next;
    if (!text.empty()) text += '\n';
    text += next.text;
  }
  text.resize(text.size() - kQuotes.size());
  if (text.ends_with('\n')) text.pop_back();
  return {Line::Kind::kText, text};
}

LineSource piped_lines() {
  return [](const std::string&) { return read_piped_line(); };
}

}  // namespace forerun
