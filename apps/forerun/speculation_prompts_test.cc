#include "speculation_prompts.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

TEST(SpeculationPrompts, ReadsTheKeysOfThePromptSets) {
  const auto prompts = parse_speculation_prompts(
      R"({"turns": ["first", "second"]}
{"question": "why?", "response": ["because", "so"]}

{"text": "write", "code": "x"}
{"prompt": "edit", "prediction": "old"})");
  ASSERT_TRUE(prompts.ok());
  ASSERT_EQ(prompts->size(), 4u);
  EXPECT_EQ((*prompts)[0].question, "first");
  EXPECT_EQ((*prompts)[1].answers, (std::vector<std::string>{"because", "so"}));
  EXPECT_EQ((*prompts)[2].question, "write");
  EXPECT_EQ((*prompts)[3].prediction, "old");
}

TEST(SpeculationPrompts, NamesTheLineThatIsWrong) {
  for (const char* wrong : {"{", "[]", "{}", R"({"prompt": 5})", R"({"turns": []})"}) {
    const auto prompts = parse_speculation_prompts(std::string("{\"prompt\": \"a\"}\n") + wrong);
    ASSERT_FALSE(prompts.ok()) << wrong;
    EXPECT_EQ(prompts.error().message,
              "line 2 is no JSON object with a prompt, question, text or turns");
  }
  EXPECT_EQ(parse_speculation_prompts("\n\n").error().message, "there are no prompts");
}

}  // namespace
}  // namespace forerun
