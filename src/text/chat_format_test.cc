#include "text/chat_format.h"

#include <gtest/gtest.h>

#include <string>

namespace forerun {
namespace {

constexpr char kQwen3[] =
    "{%- if tools %}{{- '# Tools\\n<tools>' }}{%- for tool in tools %}{{ tool | tojson }}"
    "{%- endfor %}{{- '<tool_call>\\n{\"name\": <function-name>, \"arguments\": <args>}\\n"
    "</tool_call>' }}{%- endif %}{% set content = content.split('</think>')[-1] %}";
constexpr char kLlama31[] =
    "{%- if not tools is defined %}{%- set tools = none %}{%- endif %}<|start_header_id|>"
    "{{- 'Respond in the format {\"name\": function name, \"parameters\": dictionary}.' }}"
    "{{- \"<|python_tag|>\" + tool_call.name }}";
constexpr char kMistral[] =
    "{%- if tools is not none %}{{ '[AVAILABLE_TOOLS]' }}{% endif %}{{ '[TOOL_CALLS] [' }}";

TEST(ChatFormat, KnowsHowCallsAreWritten) {
  EXPECT_EQ(read_chat_format(kQwen3).tools, ToolSyntax::kHermes);
  EXPECT_EQ(read_chat_format(kLlama31).tools, ToolSyntax::kLlama3);
  EXPECT_EQ(read_chat_format(kMistral).tools, ToolSyntax::kMistral);
  const std::string xml = std::string(kQwen3) + "{{ '<function=' + name }}";
  EXPECT_EQ(read_chat_format(xml).tools, ToolSyntax::kUnknown) << "arguments are not JSON there";
  EXPECT_TRUE(read_chat_format(xml).takes_tools);
}

TEST(ChatFormat, KnowsWhetherThereIsAPlaceForTools) {
  for (const char* with : {kQwen3, kLlama31, kMistral, "{{ tools }}", "{%if x and tools%}"}) {
    EXPECT_TRUE(check_takes_tools(read_chat_format(with)).ok()) << with;
  }
  for (const char* without :
       {"", "tools", "{# tools #}{{ messages }}", "{{ 'use \\' tools' }}", "{{ message.tools }}",
        "{{ builtin_tools }}", "{ tools }", "{{ \"tools\" ~ toolset }}", "{{ '", "{{", "{"}) {
    const ChatFormat format = read_chat_format(without);
    EXPECT_FALSE(format.takes_tools) << without;
    EXPECT_EQ(format.tools, ToolSyntax::kUnknown);
  }
  EXPECT_EQ(check_takes_tools({}).error().message.substr(0, 6), "tools:");
}

TEST(ChatFormat, ReadsFromThePromptWhetherItThinks) {
  const ChatFormat qwen = read_chat_format(kQwen3);
  EXPECT_TRUE(qwen.thinks);
  EXPECT_EQ(thinking_start(qwen, "<|im_start|>assistant\n"), ThinkingStart::kMaybe);
  EXPECT_EQ(thinking_start(qwen, "assistant\n<think>\n"), ThinkingStart::kOpen);
  EXPECT_EQ(thinking_start(qwen, "assistant\n<think>\n\n</think>\n\n"), ThinkingStart::kNone);
  EXPECT_EQ(thinking_start(qwen, ""), ThinkingStart::kMaybe);
  EXPECT_EQ(thinking_start(read_chat_format(kLlama31), "<think>"), ThinkingStart::kNone);
}

TEST(ChatFormat, FindsMarksThatAreControlTokens) {
  Vocabulary vocabulary;
  const auto add = [&](std::string_view text, bool special) {
    vocabulary.offsets.push_back(vocabulary.bytes.size());
    vocabulary.bytes += text;
    vocabulary.special.push_back(special ? 1 : 0);
  };
  add("<|python_tag|>", true);
  add("<think>", true);
  add("</think>", false);
  add("", true);
  add("</s>", true);
  vocabulary.offsets.push_back(vocabulary.bytes.size());
  EXPECT_EQ(special_marker_ids(read_chat_format(kLlama31), vocabulary), std::vector<int32_t>{0});
  EXPECT_EQ(special_marker_ids(read_chat_format(kQwen3), vocabulary), std::vector<int32_t>{1});
}

}  // namespace
}  // namespace forerun
