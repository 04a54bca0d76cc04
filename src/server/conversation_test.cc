#include "server/conversation.h"

#include <gtest/gtest.h>

#include <vector>

namespace forerun {
namespace {

OrderedJson parsed(const char* text) {
  return OrderedJson::parse(text);
}

TEST(Conversation, IsTheSameForAllItsTurns) {
  const uint64_t first =
      conversation_of_messages(parsed(R"([{"role": "system", "content": "Be kind."},
                                                    {"role": "user", "content": "Hello"}])"));
  const uint64_t second =
      conversation_of_messages(parsed(R"([{"role": "system", "content": "Be kind."},
                                                     {"role": "user", "content": "Hello"},
                                                     {"role": "assistant", "content": "Hi"},
                                                     {"role": "user", "content": "Again"}])"));
  const uint64_t other =
      conversation_of_messages(parsed(R"([{"role": "system", "content": "Be kind."},
                                                    {"role": "user", "content": "Hello!"}])"));
  EXPECT_EQ(first, second);
  EXPECT_NE(first, other);
  // From one run to the next, too: what is held out of training stays so.
  EXPECT_EQ(first, conversation_of_messages(parsed(R"([{"role": "system", "content": "Be kind."},
                                              {"role": "user", "content": "Hello"}])")));
}

TEST(Conversation, TakesWhateverMessagesHold) {
  EXPECT_NE(conversation_of_messages(parsed(R"([3, null, {"role": 7}])")), 0u);
  EXPECT_NE(conversation_of_messages(parsed("[]")), 0u);
}

TEST(Conversation, OfAPromptIsItsBeginning) {
  std::vector<int32_t> prompt(300, 5);
  const uint64_t whole = conversation_of_prompt(prompt);
  prompt[299] = 6;
  EXPECT_EQ(conversation_of_prompt(prompt), whole);
  prompt[255] = 6;
  EXPECT_NE(conversation_of_prompt(prompt), whole);
}

}  // namespace
}  // namespace forerun
