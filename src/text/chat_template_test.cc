#include "text/chat_template.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

constexpr std::string_view kTurns =
    "{% for m in messages %}<{{ m.role }}>{{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}";

OrderedJson messages() {
  return OrderedJson::parse(R"([{"role": "user", "content": "Hi <b> 'é'"}])");
}

std::string rendered(std::string_view chat_template, const ChatOptions& options = {}) {
  const Result<std::string> text = render_chat(chat_template, messages(), options);
  return text.ok() ? *text : "error: " + text.error().message;
}

void expect_error(std::string_view chat_template, std::string_view part) {
  const std::string text = rendered(chat_template);
  EXPECT_TRUE(text.starts_with("error: ") && text.find(part) != std::string::npos) << text;
}

TEST(RenderChat, WritesTurnsAndTheOpeningOfTheAnswer) {
  EXPECT_EQ(rendered(kTurns, {.eos_text = "</s>"}), "<user>Hi <b> 'é'</s><assistant>");
  EXPECT_EQ(rendered(kTurns, {.add_generation_prompt = false}), "<user>Hi <b> 'é'");
}

TEST(RenderChat, PrintsToolsInTheOrderTheyWereWritten) {
  ChatOptions options;
  options.tools = OrderedJson::parse(R"([{"type": "function", "name": "f", "a": null}])");
  EXPECT_EQ(rendered("{{ tools[0] | tojson }}", options),
            R"({"type": "function", "name": "f", "a": null})");
  EXPECT_EQ(rendered("{{ tools is none }}"), "True");
}

TEST(RenderChat, TakesVariablesButNotInPlaceOfTheMessages) {
  ChatOptions options;
  options.variables = {{"enable_thinking", false}, {"messages", "mine"}};
  EXPECT_EQ(rendered("{{ enable_thinking }}{{ messages|length }}", options), "False1");
}

TEST(RenderChat, RefusesWrongTypes) {
  EXPECT_FALSE(render_chat(kTurns, "text", {}).ok());
  EXPECT_FALSE(render_chat(kTurns, messages(), {.tools = "text"}).ok());
  EXPECT_FALSE(render_chat(kTurns, messages(), {.variables = "text"}).ok());
}

TEST(RenderChat, SurvivesTextThatIsNotUtf8) {
  OrderedJson broken = messages();
  broken[0]["content"] = "a\xff";
  const Result<std::string> text = render_chat("{{ messages[0].content }}", broken, {});
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, "a\uFFFD");
  EXPECT_FALSE(render_chat("\xff", messages(), {}).ok());
}

TEST(RenderChat, TellsWhatTheTemplateSays) {
  expect_error("{{ raise_exception('roles must alternate') }}", "roles must alternate");
  expect_error("{% if %}", "line 1");
  expect_error("{{ messages.a.b }}", "undefined");
}

TEST(RenderChat, NamesTheLimitThatWasReached) {
  std::string loops;
  for (int i = 0; i < 6; ++i) loops += "{% for x in range(9999) %}";
  for (int i = 0; i < 6; ++i) loops += "{% endfor %}";
  expect_error(loops, "limit of 1000000 instructions");
  expect_error("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
               "deeper than the limit of 100");
  expect_error("{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "limit of 4194304 bytes");
  expect_error(std::string(300'000, 'x'), "limit is 262144");
  std::string doubling = "{% set x = 'xxxxxxxx' %}";
  for (int i = 0; i < 50; ++i) doubling += "{% set x = x ~ x %}";
  expect_error(doubling, "more memory than the limit");
}

TEST(RenderChat, HasNoWayToTheHost) {
  expect_error("{% include '/etc/hostname' %}", "fails");
  expect_error("{{ ''.__class__.__mro__[1].__subclasses__() }}", "fails");
  expect_error("{{ messages.__init__.__globals__ }}", "fails");
  expect_error("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "fails");
}

}  // namespace
}  // namespace forerun
