// A model's text as an assistant's message, in each form of calls: however it is cut the message is
// the same, and a template that says it may be anything is read too.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "text/chat_format.h"
#include "text/message_parser.h"

namespace {

using forerun::AssistantMessage;
using forerun::MessageParser;
using forerun::MessageParserOptions;

AssistantMessage parse(const MessageParserOptions& options, std::string_view text,
                       size_t piece_bytes) {
  MessageParser parser(options);
  AssistantMessage message;
  const auto add = [&](const std::vector<forerun::MessageDelta>& deltas) {
    for (const forerun::MessageDelta& delta : deltas) message.add(delta);
  };
  for (; !text.empty(); text.remove_prefix(std::min(piece_bytes, text.size()))) {
    add(parser.push(text.substr(0, piece_bytes)));
  }
  add(parser.finish());
  return message;
}

bool same(const AssistantMessage& left, const AssistantMessage& right) {
  return left.reasoning == right.reasoning && left.content == right.content &&
         std::ranges::equal(left.calls, right.calls, [](const auto& a, const auto& b) {
           return a.name == b.name && a.arguments == b.arguments;
         });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  MessageParserOptions options;
  options.format = {
      .takes_tools = true, .tools = static_cast<forerun::ToolSyntax>(data[0] % 4), .thinks = true};
  options.thinking = static_cast<forerun::ThinkingStart>(data[0] / 4 % 3);
  options.tools = true;
  options.tool_names = {"f"};
  options.parallel_calls = data[0] / 16 % 2 == 0;
  options.random = [] { return uint64_t{0}; };
  const AssistantMessage whole = parse(options, text, text.size() + 1);
  if (!same(whole, parse(options, text, 1 + data[1] % 8))) std::abort();
  if (whole.reasoning.size() + whole.content.size() > text.size()) std::abort();
  (void)forerun::read_chat_format(text);
  return 0;
}
