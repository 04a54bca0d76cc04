#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/vocabulary.h"

namespace forerun {

// How a model writes that it calls functions.
enum class ToolSyntax : uint8_t {
  kUnknown,
  kHermes,   // <tool_call>\n{"name": …, "arguments": {…}}\n</tool_call>, any number of them (Qwen)
  kLlama3,   // the whole answer is {"name": …, "parameters": {…}}, several separated by ';',
             // perhaps after <|python_tag|>
  kMistral,  // [TOOL_CALLS] [{"name": …, "arguments": {…}}, …]
};

// The same as data: open, separated objects, close.
struct ToolMarkers {
  std::string_view open;       // begins calls
  bool open_is_optional;       // an answer that is an object is a call without it
  std::string_view list_open;  // stands before the first object
  std::string_view separator;  // of objects after one `open`; empty: one object only
  std::string_view close;      // ends calls; empty: nothing does
  std::string_view arguments;  // what their field is called
};
const ToolMarkers& tool_markers(ToolSyntax syntax);

constexpr std::string_view kThinkOpen = "<think>";
constexpr std::string_view kThinkClose = "</think>";

// What an answer may contain beside text.
struct ChatFormat {
  bool takes_tools = false;  // the template puts `tools` into the prompt
  ToolSyntax tools = ToolSyntax::kUnknown;
  bool thinks = false;  // reasoning stands between <think> and </think> before the answer
};

// What a chat template's text tells of it.
ChatFormat read_chat_format(std::string_view chat_template);

// An Error, to be told to whoever sent them, where the model's template has no place for `tools`.
Status check_takes_tools(const ChatFormat& format);

// How an answer to a rendered prompt begins.
enum class ThinkingStart : uint8_t {
  kNone,   // with text: the model does not think, or the prompt ends with reasoning closed
  kMaybe,  // with <think>, if the model wants to think
  kOpen,   // with reasoning: the prompt ends with <think>
};
ThinkingStart thinking_start(const ChatFormat& format, std::string_view rendered_prompt);

// The control tokens that mark calls or reasoning: a parser needs to see their text
// (ChoiceTextOptions::shown_special_ids).
std::vector<int32_t> special_marker_ids(const ChatFormat& format, const Vocabulary& vocabulary);

}  // namespace forerun
