#include "text/tool_grammar.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

using Mode = ToolChoice::Mode;

constexpr char kSpaces[] =
    R"("x-guidance":{"whitespace_flexible":false,"item_separator":", ","key_separator":": "})";

OrderedJson tools() {
  return OrderedJson::parse(R"([
    {"type": "function", "function": {"name": "f", "parameters":
      {"type": "object", "properties": {"b": {"$ref": "#/$defs/B"}}, "$defs": {"B": {}}}}},
    {"type": "function", "function": {"name": "g\"", "strict": true}}])");
}

ToolGrammarOptions options_of(ToolSyntax syntax, Mode mode) {
  ToolGrammarOptions options;
  options.format = {.takes_tools = true, .tools = syntax};
  options.choice.mode = mode;
  return options;
}

std::string grammar(const ToolGrammarOptions& options) {
  const auto text = tool_grammar(tools(), options);
  if (!text.ok()) return "error: " + text.error().message;
  return *text ? **text : "none";
}

// The rules of both functions; the parameters are the whole schema, so that "#/…" still points to
// what it did.
std::string functions(const std::string& field) {
  return R"(function0: "{\"name\": \"f\", \")" + field + R"(\": " arguments0 "}")" + "\n" +
         R"(arguments0: %json {"type":"object","properties":{"b":{"$ref":"#/$defs/B"}},)" +
         R"("$defs":{"B":{}},)" + kSpaces + "}\n" + R"(function1: "{\"name\": \"g\\\"\", \")" +
         field + R"(\": " arguments1 "}")" + "\n" +
         R"(arguments1: %json {"properties":{},"additionalProperties":false,"type":"object",)" +
         kSpaces + "}\n" + "function: function0 | function1\n";
}

TEST(ToolGrammar, ForcesCallsInTheModelsForm) {
  EXPECT_EQ(grammar(options_of(ToolSyntax::kHermes, Mode::kRequired)),
            "call: \"<tool_call>\" \"\\n\" function \"\\n\" \"</tool_call>\"\n"
            "start: call (\"\\n\" call)*\n" +
                functions("arguments"));
  EXPECT_EQ(grammar(options_of(ToolSyntax::kLlama3, Mode::kRequired)),
            "start: function (\"; \" function)*\n" + functions("parameters"));
  EXPECT_EQ(
      grammar(options_of(ToolSyntax::kMistral, Mode::kRequired)),
      "start: \"[TOOL_CALLS]\" \"[\" function (\", \" function)* \"]\"\n" + functions("arguments"));
}

TEST(ToolGrammar, ForcesTheNamedFunctionOnce) {
  ToolGrammarOptions options = options_of(ToolSyntax::kLlama3, Mode::kFunction);
  options.parallel_calls = false;
  options.choice.function = "g\"";
  EXPECT_EQ(grammar(options),
            "start: function\n"
            R"(function0: "{\"name\": \"g\\\"\", \"parameters\": " arguments0 "}")"
            "\n"
            R"(arguments0: %json {"properties":{},"additionalProperties":false,"type":"object",)" +
                std::string(kSpaces) + "}\nfunction: function0\n");
  options.choice.function = "h";
  EXPECT_EQ(grammar(options), "error: tool_choice: 'h' is none of the tools");
}

TEST(ToolGrammar, LetsTheModelThinkFirst) {
  ToolGrammarOptions options = options_of(ToolSyntax::kHermes, Mode::kRequired);
  options.thinking = ThinkingStart::kOpen;
  std::string text = grammar(options);
  EXPECT_NE(text.find("reasoning[suffix=\"</think>\"]: TEXT\n"), std::string::npos) << text;
  EXPECT_NE(text.find("start: reasoning /\\n{0,2}/ call"), std::string::npos) << text;
  EXPECT_NE(text.find("TEXT: /(?s:.*)/\n"), std::string::npos) << text;
  options.thinking = ThinkingStart::kMaybe;
  text = grammar(options);
  EXPECT_NE(text.find("start: (\"<think>\" reasoning /\\n{0,2}/ )? call"), std::string::npos)
      << text;
}

TEST(ToolGrammar, NamesControlTokensByTheirIds) {
  Vocabulary vocabulary;
  for (const std::string_view token : {"x", "</think>", "[TOOL_CALLS]"}) {
    vocabulary.offsets.push_back(vocabulary.bytes.size());
    vocabulary.bytes += token;
    vocabulary.special.push_back(token == "x" ? 0 : 1);
  }
  vocabulary.offsets.push_back(vocabulary.bytes.size());
  ToolGrammarOptions options = options_of(ToolSyntax::kMistral, Mode::kRequired);
  options.vocabulary = &vocabulary;
  options.thinking = ThinkingStart::kOpen;
  const std::string text = grammar(options);
  EXPECT_TRUE(text.starts_with("start: TEXT <[1]> /\\n{0,2}/ <[2]> \"[\" function")) << text;
}

TEST(ToolGrammar, HoldsOnlyStrictFunctionsWhereTheModelChooses) {
  const std::string any = std::string("arguments0: %json {\"type\":\"object\",") + kSpaces + "}\n";
  std::string text = grammar(options_of(ToolSyntax::kHermes, Mode::kAuto));
  EXPECT_TRUE(
      text.starts_with("begin[suffix=\"<tool_call>\"]: TEXT\n"
                       "start: (begin \"\\n\" function \"\\n\" \"</tool_call>\")* TEXT\n"))
      << text;
  EXPECT_NE(text.find(any), std::string::npos) << text;
  EXPECT_NE(text.find("arguments1: %json {\"properties\":{},"), std::string::npos) << text;
  text = grammar(options_of(ToolSyntax::kLlama3, Mode::kAuto));
  EXPECT_NE(text.find("start: (OTHER | function (\"; \" function)*)\n"), std::string::npos) << text;
  text = grammar(options_of(ToolSyntax::kMistral, Mode::kAuto));
  EXPECT_NE(text.find("start: (TEXT | begin \"[\" function"), std::string::npos) << text;

  OrderedJson loose = tools();
  loose[1]["function"].erase("strict");
  const auto none = tool_grammar(loose, options_of(ToolSyntax::kHermes, Mode::kAuto));
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->has_value());
}

TEST(ToolGrammar, SaysWhatCannotBeHeldTo) {
  EXPECT_EQ(grammar(options_of(ToolSyntax::kUnknown, Mode::kNone)), "none");
  EXPECT_TRUE(grammar(options_of(ToolSyntax::kUnknown, Mode::kRequired))
                  .starts_with("error: tool_choice: this model writes its calls"));
  EXPECT_TRUE(grammar(options_of(ToolSyntax::kUnknown, Mode::kAuto))
                  .starts_with("error: tools: strict: this model"));
  EXPECT_FALSE(
      tool_grammar(OrderedJson::array(), options_of(ToolSyntax::kHermes, Mode::kRequired)).ok());
}

}  // namespace
}  // namespace forerun
