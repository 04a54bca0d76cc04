// Renders chat templates that a stranger wrote: the template up to a zero byte, then messages as
// JSON (a fixed conversation when they are none). Whatever the template, the answer comes in time,
// is no longer than the limit, and is UTF-8.

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "text/chat_template.h"
#include "text/utf8.h"

namespace forerun {
namespace {

constexpr size_t kMaxOutputBytes = 4 << 20;
// The deadline, and time for the machine to be busy with something else.
constexpr std::chrono::seconds kLongest{15};
// Renders over their memory or time keep both for ever; after this many a fresh process goes on
// (scripts/fuzz starts it).
constexpr int kMaxAbandoned = 4;

constexpr std::string_view kConversation = R"([
  {"role": "system", "content": "Be brief."},
  {"role": "user", "content": "Weather in Zürich?"},
  {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function",
    "function": {"name": "weather", "arguments": {"city": "Zürich", "days": 2}}}]},
  {"role": "tool", "tool_call_id": "c1", "content": "{\"sky\": \"clear\"}"},
  {"role": "assistant", "content": "<think>\nClear.\n</think>\nClear."},
  {"role": "user", "content": [{"type": "text", "text": "And tomorrow?"}]}])";
constexpr std::string_view kTools = R"([{"type": "function", "function": {"name": "weather",
  "description": "Looks it up", "parameters": {"type": "object", "properties": {"city":
  {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}}}])";

void require(bool holds) {
  if (!holds) std::abort();
}

OrderedJson messages_of(std::string_view text) {
  OrderedJson messages = OrderedJson::parse(text, nullptr, /*allow_exceptions=*/false);
  if (messages.is_array()) return messages;
  static const OrderedJson conversation = OrderedJson::parse(kConversation);
  return conversation;
}

bool kept_its_thread(const Error& error) {
  return error.message.find("more memory than the limit") != std::string::npos ||
         error.message.find("longer than the limit of 10s") != std::string::npos;
}

void render(std::string_view chat_template, std::string_view messages) {
  static const OrderedJson tools = OrderedJson::parse(kTools);
  static int num_abandoned = 0;
  ChatOptions options;
  options.tools = tools;
  options.variables = {{"enable_thinking", true}, {"date_string", "26 Jul 2026"}};
  options.bos_text = "<s>";
  options.eos_text = "</s>";
  const auto begin = std::chrono::steady_clock::now();
  const Result<std::string> text = render_chat(chat_template, messages_of(messages), options);
  require(std::chrono::steady_clock::now() - begin < kLongest);
  if (!text.ok()) {
    require(!text.error().message.empty());
    if (kept_its_thread(text.error()) && ++num_abandoned == kMaxAbandoned) std::_Exit(0);
    return;
  }
  require(text->size() <= kMaxOutputBytes);
  std::string valid;
  append_valid_utf8(*text, valid);
  require(valid == *text);
}

}  // namespace
}  // namespace forerun

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0'), size);
  forerun::render(input.substr(0, end), input.substr(std::min(end + 1, size)));
  return 0;
}
