#include "text/template_messages.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

std::string changed(std::string_view messages, ToolSyntax syntax = ToolSyntax::kHermes) {
  const auto result = messages_for_template(OrderedJson::parse(messages), syntax);
  return result.ok() ? result->dump() : "error: " + result.error().message;
}

TEST(TemplateMessages, LeavesWhatTemplatesKnow) {
  const std::string messages =
      R"([{"role":"user","content":"Hi","name":"Ann"},{"role":"assistant","content":null}])";
  EXPECT_EQ(changed(messages), messages);
  EXPECT_EQ(changed("[]"), "[]");
}

TEST(TemplateMessages, JoinsPartsOfText) {
  EXPECT_EQ(changed(R"([{"role":"developer","content":[{"type":"text","text":"a "},
                        {"type":"text","text":"b"}]}])"),
            R"([{"role":"system","content":"a b"}])");
  EXPECT_EQ(changed(R"([{"role":"user","content":[]}])"), R"([{"role":"user","content":""}])");
}

TEST(TemplateMessages, RefusesWhatIsNoText) {
  EXPECT_EQ(changed(R"([{"role":"system","content":"a"},{"role":"user","content":
                        [{"type":"text","text":"b"},{"type":"image_url","image_url":{}}]}])"),
            "error: messages[1].content[1] is of type 'image_url'; this model reads text only");
  EXPECT_EQ(changed(R"([{"role":"user","content":["a"]}])"),
            "error: messages[0].content[0] is of type ''; this model reads text only");
}

TEST(TemplateMessages, MakesObjectsOfArguments) {
  EXPECT_EQ(changed(R"([{"role":"assistant","tool_calls":[{"id":"call_1","type":"function",
                        "function":{"name":"f","arguments":"{\"b\": 1, \"a\": [2]}"}}]}])"),
            R"([{"role":"assistant","tool_calls":[{"id":"call_1","type":"function",)"
            R"("function":{"name":"f","arguments":{"b":1,"a":[2]}}}]}])")
      << "in the order they were written";
  EXPECT_EQ(changed(R"([{"tool_calls":[{"function":{"arguments":" "}}]}])"),
            R"([{"tool_calls":[{"function":{"arguments":{}}}]}])");
  EXPECT_EQ(changed(R"([{"role":"assistant","content":"x","tool_calls":[]}])"),
            R"([{"role":"assistant","content":"x"}])");
}

TEST(TemplateMessages, SaysWhichArgumentsAreNone) {
  const auto with = [](const std::string& arguments) {
    OrderedJson messages = OrderedJson::parse(R"([{"tool_calls":[{"function":{}}]}])");
    messages[0]["tool_calls"][0]["function"]["arguments"] = arguments;
    return changed(messages.dump());
  };
  const std::string begin =
      "error: messages[0].tool_calls[0].function.arguments must be the text of a JSON object: ";
  EXPECT_EQ(with("[1]"), begin + "it is not an object");
  EXPECT_TRUE(with("{\"a\":").starts_with(begin + "invalid JSON at byte"));
  EXPECT_TRUE(with(std::string(1000, '[')).starts_with(begin + "JSON is nested deeper"));
}

TEST(TemplateMessages, KeepsReasoningUnderTheNameTemplatesUse) {
  EXPECT_EQ(changed(R"([{"reasoning":"r"}])"), R"([{"reasoning":"r","reasoning_content":"r"}])");
  EXPECT_EQ(changed(R"([{"reasoning":"r","reasoning_content":"s"}])"),
            R"([{"reasoning":"r","reasoning_content":"s"}])");
}

TEST(TemplateMessages, CutsIdsForMistral) {
  const std::string messages = R"([{"tool_calls":[{"id":"call_0123456789","function":{}}]},)"
                               R"({"role":"tool","tool_call_id":"call_0123456789"}])";
  EXPECT_EQ(changed(messages), messages);
  EXPECT_EQ(changed(messages, ToolSyntax::kMistral),
            R"([{"tool_calls":[{"id":"123456789","function":{}}]},)"
            R"({"role":"tool","tool_call_id":"123456789"}])");
}

}  // namespace
}  // namespace forerun
