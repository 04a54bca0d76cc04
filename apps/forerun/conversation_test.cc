#include "conversation.h"

#include <gtest/gtest.h>

#include "text/byte_tokenizer.h"

namespace forerun {
namespace {

// A token a byte; a message is put as [role:content], with ! for a template that refuses.
const Tokenizer& tokenizer() {
  static const Tokenizer tokenizer = [] {
    TokenizerSpec spec = byte_tokens();
    add_token(spec, "<unk>", TokenKind::kUnknown);
    spec.unknown_id = 256;
    spec.chat_template =
        "{% for m in messages %}{% if m.content == '!' %}{{ raise_exception('no') }}{% endif %}"
        "[{{ m.role }}:{{ m.content }}]{% endfor %}{% if add_generation_prompt %}[{% endif %}";
    return make_tokenizer(spec);
  }();
  return tokenizer;
}

constexpr int64_t kPlenty = 1 << 20;

std::string prompt_text(Conversation& conversation, int64_t wished = kPlenty,
                        int64_t most = kPlenty) {
  const auto prompt = conversation.prompt(wished, most);
  return prompt.ok() ? tokenizer().decode(prompt->tokens) : "error: " + prompt.error().message;
}

TEST(Conversation, GrowsByWhatIsSaid) {
  Conversation conversation(tokenizer());
  EXPECT_TRUE(conversation.empty());
  conversation.ask("1");
  EXPECT_EQ(prompt_text(conversation), "[user:1][");
  conversation.answer("a");
  conversation.ask("2");
  EXPECT_EQ(prompt_text(conversation), "[user:1][assistant:a][user:2][");
  conversation.set_system("s");
  EXPECT_EQ(prompt_text(conversation), "[system:s][user:1][assistant:a][user:2][");
  conversation.take_back_question();
  conversation.take_back_answer();
  EXPECT_EQ(prompt_text(conversation), "[system:s][user:1][");
  conversation.clear();
  EXPECT_TRUE(conversation.empty());
  conversation.ask("3");
  EXPECT_EQ(prompt_text(conversation), "[system:s][user:3][");
}

TEST(Conversation, ForgetsTheOlderHalfWhereItDoesNotFit) {
  Conversation conversation(tokenizer(), "s");
  for (const char* turn : {"1", "2", "3", "4", "5"}) {
    conversation.ask(turn);
    conversation.answer(turn);
  }
  conversation.ask("6");
  const std::string whole = prompt_text(conversation);
  const auto size = static_cast<int64_t>(whole.size());
  EXPECT_EQ(conversation.prompt(size, kPlenty)->forgotten_turns, 0);
  const auto shorter = conversation.prompt(size - 1, kPlenty);
  EXPECT_EQ(shorter->forgotten_turns, 3);
  EXPECT_EQ(tokenizer().decode(shorter->tokens),
            "[system:s][user:4][assistant:4][user:5][assistant:5][user:6][");
  // What is forgotten stays so, and is kept for the record.
  EXPECT_EQ(conversation.prompt(size, kPlenty)->forgotten_turns, 0);
  EXPECT_EQ(conversation.json()["messages"].size(), 12u);
  EXPECT_EQ(prompt_text(conversation, 1), "[system:s][user:6][");
}

TEST(Conversation, OneQuestionMayBeTooLong) {
  Conversation conversation(tokenizer());
  conversation.ask("1");
  conversation.answer("a");
  conversation.ask("23");
  EXPECT_EQ(prompt_text(conversation, 1, 9),
            "error: the message takes 10 tokens with what goes before it; there is room for 9: "
            "shorten it");
  EXPECT_EQ(prompt_text(conversation, 1, 10), "[user:23][");
}

TEST(Conversation, TellsWhatTheTemplateRefuses) {
  Conversation conversation(tokenizer());
  conversation.ask("!");
  EXPECT_NE(prompt_text(conversation).find("no"), std::string::npos);
  EXPECT_TRUE(prompt_text(conversation).starts_with("error"));
}

TEST(Conversation, IsSavedAsMessages) {
  Conversation conversation(tokenizer(), "s");
  conversation.ask("1");
  conversation.answer("a");
  EXPECT_EQ(conversation.json(), Json::parse(R"({"messages": [
      {"role": "system", "content": "s"}, {"role": "user", "content": "1"},
      {"role": "assistant", "content": "a"}]})"));
}

}  // namespace
}  // namespace forerun
