#include "text/chat_format.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace forerun {
namespace {

constexpr std::array<ToolMarkers, 4> kMarkers = {{
    {"", false, "", "", "", "arguments"},
    {"<tool_call>", false, "", "", "</tool_call>", "arguments"},
    {"<|python_tag|>", true, "", ";", "", "parameters"},
    {"[TOOL_CALLS]", false, "[", ",", "]", "arguments"},
}};

// A template has a form when it has all of `parts` and none of `others`, which mark forms that
// share its beginning.
struct SyntaxSign {
  ToolSyntax syntax;
  std::array<std::string_view, 2> parts;
  std::array<std::string_view, 3> others;
};
constexpr std::array<SyntaxSign, 3> kSigns = {{
    {ToolSyntax::kHermes, {"<tool_call>", ""}, {"<function=", "<arg_key>", ""}},
    {ToolSyntax::kMistral, {"[TOOL_CALLS]", ""}, {"[ARGS]", "[CALL_ID]", ""}},
    {ToolSyntax::kLlama3,
     {"<|start_header_id|>", "parameters\""},
     {"<tool_call>", "<function=", ""}},
}};

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool is_name_byte(char byte) {
  return std::isalnum(static_cast<unsigned char>(byte)) != 0 || byte == '_';
}

// The text after a string literal that `code` begins with.
std::string_view after_string(std::string_view code) {
  size_t end = 1;
  while (end < code.size() && code[end] != code[0]) end += code[end] == '\\' ? 2 : 1;
  return code.substr(std::min(end + 1, code.size()));
}

// Whether an expression or statement of Jinja names a variable.
bool names_variable(std::string_view code, std::string_view name) {
  char before = ' ';
  while (!code.empty()) {
    if (code[0] == '"' || code[0] == '\'') {
      code = after_string(code);
      before = ' ';
      continue;
    }
    const auto length =
        static_cast<size_t>(std::ranges::find_if_not(code, is_name_byte) - code.begin());
    if (code.substr(0, length) == name && before != '.') return true;
    const size_t step = std::max<size_t>(length, 1);
    before = code[step - 1];
    code.remove_prefix(step);
  }
  return false;
}

// Whether a Jinja template uses a variable, be it only to ask for it.
bool uses_variable(std::string_view source, std::string_view name) {
  for (size_t at = 0; (at = source.find('{', at)) != std::string_view::npos;) {
    const char kind = at + 1 < source.size() ? source[at + 1] : '\0';
    if (kind != '{' && kind != '%' && kind != '#') {
      ++at;
      continue;
    }
    const std::string_view closing = kind == '{' ? "}}" : kind == '%' ? "%}" : "#}";
    const size_t end = std::min(source.find(closing, at + 2), source.size());
    if (kind != '#' && names_variable(source.substr(at + 2, end - at - 2), name)) return true;
    at = end;
  }
  return false;
}

ToolSyntax read_syntax(std::string_view source) {
  const auto in_source = [&](std::string_view part) { return contains(source, part); };
  const auto found = [&](std::string_view part) { return !part.empty() && in_source(part); };
  for (const SyntaxSign& sign : kSigns) {
    if (std::ranges::all_of(sign.parts, in_source) && std::ranges::none_of(sign.others, found)) {
      return sign.syntax;
    }
  }
  return ToolSyntax::kUnknown;
}

std::string_view without_trailing_space(std::string_view text) {
  const size_t last = text.find_last_not_of(" \t\r\n");
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

}  // namespace

const ToolMarkers& tool_markers(ToolSyntax syntax) {
  return kMarkers[static_cast<size_t>(syntax)];
}

ChatFormat read_chat_format(std::string_view chat_template) {
  ChatFormat format;
  format.takes_tools = uses_variable(chat_template, "tools");
  if (format.takes_tools) format.tools = read_syntax(chat_template);
  format.thinks = contains(chat_template, kThinkClose);
  return format;
}

Status check_takes_tools(const ChatFormat& format) {
  if (format.takes_tools) return {};
  return Error{
      "tools: this model's chat template has no place for them; leave them out, or choose a model "
      "that was trained to call functions"};
}

ThinkingStart thinking_start(const ChatFormat& format, std::string_view rendered_prompt) {
  if (!format.thinks) return ThinkingStart::kNone;
  const std::string_view prompt = without_trailing_space(rendered_prompt);
  if (prompt.ends_with(kThinkOpen)) return ThinkingStart::kOpen;
  return prompt.ends_with(kThinkClose) ? ThinkingStart::kNone : ThinkingStart::kMaybe;
}

std::vector<int32_t> special_marker_ids(const ChatFormat& format, const Vocabulary& vocabulary) {
  const ToolMarkers& markers = tool_markers(format.tools);
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (!vocabulary.is_special(id)) continue;
    const std::string_view text = vocabulary.token_bytes(id);
    const bool thinking = format.thinks && (text == kThinkOpen || text == kThinkClose);
    if (thinking || (!text.empty() && (text == markers.open || text == markers.close))) {
      ids.push_back(id);
    }
  }
  return ids;
}

}  // namespace forerun
