#include "text/message_parser.h"

#include <gtest/gtest.h>

#include <random>

namespace forerun {
namespace {

constexpr ChatFormat kHermes = {.takes_tools = true, .tools = ToolSyntax::kHermes, .thinks = true};
constexpr ChatFormat kLlama = {.takes_tools = true, .tools = ToolSyntax::kLlama3};
constexpr ChatFormat kMistral = {.takes_tools = true, .tools = ToolSyntax::kMistral};

MessageParserOptions options_of(const ChatFormat& format,
                                ThinkingStart thinking = ThinkingStart::kNone) {
  MessageParserOptions options;
  options.format = format;
  options.thinking = thinking;
  options.tools = format.takes_tools;
  options.tool_names = {"f", "g"};
  options.random = [state = uint64_t{0}]() mutable { return state++; };
  return options;
}

// "reasoning|content|name(arguments)name(arguments)"; ids are checked apart.
std::string written(const AssistantMessage& message) {
  std::string text = message.reasoning + "|" + message.content + "|";
  for (const auto& call : message.calls) text += call.name + "(" + call.arguments + ")";
  return text;
}

template <typename Cut>
std::string parsed(const MessageParserOptions& options, std::string_view text, Cut next_piece) {
  MessageParser parser(options);
  AssistantMessage message;
  const auto add = [&](const std::vector<MessageDelta>& deltas) {
    for (const MessageDelta& delta : deltas) message.add(delta);
  };
  while (!text.empty()) {
    const size_t size = std::min<size_t>(next_piece(), text.size());
    add(parser.push(text.substr(0, size)));
    text.remove_prefix(size);
  }
  add(parser.finish());
  EXPECT_EQ(parser.num_calls(), static_cast<int>(message.calls.size()));
  return written(message);
}

// Of the text as a whole, after checking that every cut in two and many in more give the same.
std::string parsed(const MessageParserOptions& options, std::string_view text) {
  const std::string whole = parsed(options, text, [&] { return text.size(); });
  for (size_t cut = 1; cut < text.size(); ++cut) {
    bool first = true;
    EXPECT_EQ(
        parsed(options, text, [&] { return std::exchange(first, false) ? cut : text.size(); }),
        whole)
        << "cut at " << cut;
  }
  EXPECT_EQ(parsed(options, text, [] { return 1; }), whole) << "byte by byte";
  std::mt19937 random(1);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(parsed(options, text, [&] { return 1 + random() % 7; }), whole);
  }
  return whole;
}

std::string hermes(std::string_view text, ThinkingStart thinking = ThinkingStart::kNone) {
  return parsed(options_of(kHermes, thinking), text);
}
std::string llama(std::string_view text) {
  return parsed(options_of(kLlama), text);
}
std::string mistral(std::string_view text) {
  return parsed(options_of(kMistral), text);
}

TEST(MessageParser, LeavesPlainTextAlone) {
  EXPECT_EQ(parsed({}, " a <think> <tool_call>{\"name\"\n"), "| a <think> <tool_call>{\"name\"\n|");
  EXPECT_EQ(hermes(" Hello,\n <world>. \n"), "| Hello,\n <world>. \n|");
  EXPECT_EQ(hermes(""), "||");
}

TEST(MessageParser, SplitsReasoningFromTheAnswer) {
  constexpr auto kMaybe = ThinkingStart::kMaybe;
  constexpr auto kOpen = ThinkingStart::kOpen;
  EXPECT_EQ(hermes("<think>\nHm, 1 < 2.\n</think>\n\nYes.", kMaybe), "Hm, 1 < 2.|Yes.|");
  EXPECT_EQ(hermes("\n<think>\n\n</think>\n\nYes.", kMaybe), "|Yes.|");
  EXPECT_EQ(hermes(" Yes <think>", kMaybe), "| Yes <think>|") << "it does not think at all";
  EXPECT_EQ(hermes("<thin ice>", kMaybe), "|<thin ice>|");
  EXPECT_EQ(hermes("\nHm.\n</think>\n\nYes.", kOpen), "Hm.|Yes.|");
  EXPECT_EQ(hermes("<think>\nHm.</think>Yes.", kOpen), "Hm.|Yes.|") << "opened twice";
  EXPECT_EQ(hermes("Hm, <b> </thi", kOpen), "Hm, <b> </thi||") << "cut off";
  EXPECT_EQ(hermes("<think>", kMaybe), "||");
  EXPECT_EQ(hermes("<thi", kMaybe), "|<thi|");
  EXPECT_EQ(hermes("<thi", kOpen), "<thi||");
}

TEST(MessageParser, ReasoningHoldsNoCalls) {
  EXPECT_EQ(
      hermes("<tool_call></think><tool_call>{\"name\":\"f\"}</tool_call>", ThinkingStart::kOpen),
      "<tool_call>||f({})");
}

TEST(MessageParser, ReadsCallsAsHermesAndQwenWriteThem) {
  const std::string call =
      "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, {\"b\": \"}</tool_call>\"}]}}\n"
      "</tool_call>";
  const std::string told = "f({\"a\": [1, {\"b\": \"}</tool_call>\"}]})";
  EXPECT_EQ(hermes(call), "||" + told);
  EXPECT_EQ(hermes("I look.\n" + call + "\n" + call + "\n"), "|I look.|" + told + told);
  EXPECT_EQ(hermes(call + "Done. \n"), "|Done. \n|" + told);
  EXPECT_EQ(hermes("<think>\nx\n</think>\n\n" + call, ThinkingStart::kMaybe), "x||" + told);
}

TEST(MessageParser, TakesWhatModelsGetAlmostRight) {
  EXPECT_EQ(hermes("<tool_call>{\"name\":\"f\",\"parameters\":{}}</tool_call>"), "||f({})");
  EXPECT_EQ(hermes("<tool_call>{\"arguments\":{\"a\":1},\"name\":\"f\"}</tool_call>"),
            "||f({\"a\":1})");
  EXPECT_EQ(hermes("<tool_call>{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1}\"}</tool_call>"),
            "||f({\"a\": 1})");
  EXPECT_EQ(hermes("<tool_call>{\"id\":3 ,\"name\":\"f\",\"arguments\":null}</tool_call>"),
            "||f({})");
  EXPECT_EQ(
      hermes("<tool_call>{\"name\":\"f\",\"arguments\":{},\"x\":{\"arguments\":2}}</tool_call>"),
      "||f({})");
  EXPECT_EQ(hermes("<tool_call>{\"name\":\"\\u0066\\\"\",\"arguments\":{}}"), "||f\"({})");
  EXPECT_EQ(hermes("<tool_call>{\"name\":\"f\",\"arguments\":{}}}\n</tool_call>!"), "|}!|f({})")
      << "one brace too many";
  EXPECT_EQ(hermes("<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}</tool_call>!"),
            "|!|f({\"a\":1})")
      << "one brace missing";
  EXPECT_EQ(hermes("<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1} oops</tool_call>!"),
            "|oops!|f({\"a\":1})");
  EXPECT_EQ(hermes("<tool_call>{\"name\":\"f\"}\n "), "||f({})") << "no end at all";
  EXPECT_EQ(hermes("<tool_call>{\"name\":\"f\"}\n<tool_call>{\"name\":\"g\"}</tool_call>"),
            "||f({})g({})")
      << "no end of the first";
}

TEST(MessageParser, GivesBackWhatIsNoCall) {
  for (const std::string text :
       {"<tool_call>", "<tool_call>\n{\"name\": \"f", "<tool_call> f(1) </tool_call> and more",
        "<tool_call>{\"name\": 1}</tool_call>", "<tool_call>{\"name\": \"f\", \"arguments\": [1]}",
        "<tool_call>{\"arguments\": {}}", "<tool_call>{'name': 'f'}</tool_call>",
        "<tool_call>{\"name\":\"f\",\"name\":\"g\"}", "<tool_call>{\"name\":\"\"}",
        "<tool_call>{\"name\":\"f\",\"arguments\":\"[1]\"}", "<tool_ca", "a\n\n<tool_call>\n\n",
        "<tool_call>{\"arguments\":{\"a\":1}"}) {
    EXPECT_EQ(hermes(text), "|" + text + "|");
  }
  EXPECT_EQ(hermes("<tool_call><tool_call>{\"name\":\"f\"}</tool_call>"), "|<tool_call>|f({})");
}

TEST(MessageParser, LosesNoArgumentsThatBreakOff) {
  EXPECT_EQ(hermes("<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":"), "||f({\"a\":)");
  EXPECT_EQ(hermes("<tool_call>{\"name\":\"f\",\"arguments\":{a:1}} </t</tool_call>x"),
            "|x|f({a:1}} </t)");
  EXPECT_EQ(hermes("<tool_call>{\"name\":\"f\",\"arguments\":{a</tool"), "||f({a</tool)");
  EXPECT_EQ(llama("{\"name\":\"f\",\"parameters\":{a:1}}; {"), "||f({a:1}}; {)");
}

TEST(MessageParser, ReadsCallsAsLlamaWritesThem) {
  const std::string f = "{\"name\": \"f\", \"parameters\": {\"a\": \"; {\"}}";
  const std::string g = "{\"type\": \"function\", \"name\": \"g\", \"parameters\": {}}";
  EXPECT_EQ(llama(f), "||f({\"a\": \"; {\"})");
  EXPECT_EQ(llama("\n<|python_tag|>" + f + " ; " + g + "\n"), "||f({\"a\": \"; {\"})g({})");
  EXPECT_EQ(llama(f + "\n" + g), "|\n" + g + "|f({\"a\": \"; {\"})") << "only ';' separates";
  EXPECT_EQ(llama("So: " + f), "|So: " + f + "|") << "a call begins the answer";
}

TEST(MessageParser, LeavesOtherJsonToTheAnswer) {
  for (const std::string text :
       {"{\"name\": \"Bob\", \"parameters\": {}}", "{\"a\": 1}", "  {", "{}",
        "<|python_tag|>search.call(query=\"x\")", " \n", "<|python", "{\"name\": \"f\"; x"}) {
    EXPECT_EQ(llama(text), "|" + text + "|");
  }
  EXPECT_EQ(llama("{\"name\": \"f\"}; {\"name\": \"Bob\"}."), "|; {\"name\": \"Bob\"}.|f({})");
}

TEST(MessageParser, ReadsCallsAsMistralWritesThem) {
  EXPECT_EQ(
      mistral("[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": []}}, {\"name\": \"g\"}]"),
      "||f({\"a\": []})g({})");
  EXPECT_EQ(mistral("See: [TOOL_CALLS][{\"name\":\"f\"}] ok"), "|See:ok|f({})");
}

TEST(MessageParser, CountsOneCallWhereNoMoreAreWanted) {
  MessageParserOptions options = options_of(kHermes);
  options.parallel_calls = false;
  const std::string f = "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}}</tool_call>";
  const std::string g = "<tool_call>{\"name\":\"g\",\"arguments\":{\"b\":2}}</tool_call>";
  EXPECT_EQ(parsed(options, f + "\n" + g + "x"), "|x|f({\"a\":1})");
  MessageParser parser(options);
  parser.push(f.substr(0, f.size() - 14));
  EXPECT_FALSE(parser.complete());
  parser.push("}}");
  EXPECT_TRUE(parser.complete());
}

TEST(MessageParser, LeavesCallsInTheTextWithoutTools) {
  MessageParserOptions options = options_of(kHermes);
  options.tools = false;
  const std::string call = "<tool_call>{\"name\":\"f\"}</tool_call>";
  EXPECT_EQ(parsed(options, call), "|" + call + "|");
}

TEST(MessageParser, TellsArgumentsAsTheyCome) {
  MessageParser parser(options_of(kHermes));
  EXPECT_TRUE(parser.push("<tool_call>\n{\"name\": \"f\", \"arguments\": ").empty());
  const auto begin = parser.push("{\"a\"");
  ASSERT_EQ(begin.size(), 2u);
  EXPECT_EQ(begin[0], (MessageDelta{MessageDelta::Kind::kToolCall, "", 0,
                                    "call_0123456789ABCDEFGHIJKLMN", "f"}));
  EXPECT_EQ(begin[1], (MessageDelta{.kind = MessageDelta::Kind::kArguments, .text = "{\"a\""}));
  const auto rest = parser.push(": 1}}\n</tool_call>\n<tool_call>{\"name\":\"g\",\"arguments\":{");
  ASSERT_EQ(rest.size(), 3u);
  EXPECT_EQ(rest[0].text, ": 1}");
  EXPECT_EQ(rest[1].id, "call_OPQRSTUVWXYZabcdefghijkl");
  EXPECT_EQ(rest[2].call, 1);
}

TEST(MessageParser, HoldsBackOnlyWhatMayBeginAMarker) {
  MessageParser parser(options_of(kHermes));
  const auto text = [&](std::string_view piece) {
    const auto deltas = parser.push(piece);
    return deltas.empty() ? "" : deltas[0].text;
  };
  EXPECT_EQ(text("a <"), "a");
  EXPECT_EQ(text("b"), " <b");
  EXPECT_EQ(text("<tool"), "");
  EXPECT_EQ(text("<tool_"), "<tool");
  EXPECT_EQ(text("x"), "<tool_x");
}

// A name that never ends is text, long before it fills the memory; so is white space.
TEST(MessageParser, HoldsBackALimitedAmount) {
  for (const std::string begin : {"<tool_call>{\"name\":\"f\",\"x\":\"", "<tool_call>", "a"}) {
    MessageParser parser(options_of(kHermes));
    size_t told = 0;
    const std::string blanks(1000, ' ');
    parser.push(begin);
    for (int i = 0; i < 1000; ++i) {
      for (const MessageDelta& delta : parser.push(blanks)) told += delta.text.size();
    }
    EXPECT_GT(told, 900'000u) << begin;
  }
  EXPECT_EQ(hermes("a" + std::string(70, '\n') + "<tool_call>{\"name\":\"f\"}"),
            "|a" + std::string(65, '\n') + "|f({})");
}

// Texts of marks and pieces of calls in any order.
TEST(MessageParser, GivesTheSameHoweverATextIsCut) {
  const std::vector<std::string> parts = {"<tool_call>",
                                          "</tool_call>",
                                          "<think>",
                                          "</think>",
                                          "<|python_tag|>",
                                          "[TOOL_CALLS]",
                                          "[",
                                          "]",
                                          "{\"name\":\"f\",",
                                          "\"arguments\":",
                                          "{\"a\":1}",
                                          "}",
                                          ";",
                                          ",",
                                          "\n",
                                          "x",
                                          "<",
                                          "é"};
  std::mt19937 random(7);
  for (int i = 0; i < 1500; ++i) {
    std::string text;
    for (size_t count = random() % 14; count > 0; --count) text += parts[random() % parts.size()];
    const ChatFormat format = std::array{kHermes, kLlama, kMistral}[i % 3];
    const auto options = options_of(format, static_cast<ThinkingStart>(i / 3 % 3));
    const std::string whole = parsed(options, text, [&] { return text.size(); });
    EXPECT_EQ(parsed(options, text, [] { return 1; }), whole) << text;
    EXPECT_EQ(parsed(options, text, [&] { return 1 + random() % 5; }), whole) << text;
  }
}

}  // namespace
}  // namespace forerun
