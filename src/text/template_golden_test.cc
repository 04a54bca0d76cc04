// Chat templates against Jinja itself: tests/golden/templates.json holds what it makes of each
// (tests/golden/make_template_golden.py).
#include <gtest/gtest.h>

#include <fstream>

#include "text/chat_template.h"

namespace forerun {
namespace {

// Text, or nothing where the template is an error.
std::optional<std::string> rendered(const std::string& chat_template,
                                    const OrderedJson& variables) {
  ChatOptions options;
  options.variables = variables;
  options.tools = variables["tools"];
  options.add_generation_prompt = variables["add_generation_prompt"].get<bool>();
  options.bos_text = variables["bos_token"].get<std::string>();
  options.eos_text = variables["eos_token"].get<std::string>();
  const Result<std::string> text = render_chat(chat_template, variables["messages"], options);
  return text.ok() ? std::optional(*text) : std::nullopt;
}

TEST(TemplateGolden, RendersAsJinjaDoes) {
  std::ifstream file(std::string(FORERUN_SOURCE_DIR) + "/tests/golden/templates.json");
  const OrderedJson golden = OrderedJson::parse(file);
  ASSERT_GT(golden["cases"].size(), 250u);
  for (const OrderedJson& golden_case : golden["cases"]) {
    const auto chat_template = golden_case["template"].get<std::string>();
    const OrderedJson& text = golden_case["text"];
    const auto expected = text.is_null() ? std::nullopt : std::optional(text.get<std::string>());
    EXPECT_EQ(rendered(chat_template, golden["variables"]), expected) << chat_template;
  }
}

}  // namespace
}  // namespace forerun
