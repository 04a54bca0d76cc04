#include <gtest/gtest.h>

#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace forerun {
namespace {

TEST(NoTextEdge, SaysThatItIsNotThere) {
  const Result<Tokenizer> tokenizer = Tokenizer::create({});
  ASSERT_FALSE(tokenizer.ok());
  EXPECT_NE(tokenizer.error().message.find("FORERUN_TEXT"), std::string::npos);
  EXPECT_FALSE(Tokenizer::from_file("x").ok());
  EXPECT_FALSE(Tokenizer::from_json("{}").ok());
  EXPECT_FALSE(render_chat("", OrderedJson::array(), {}).ok());
}

}  // namespace
}  // namespace forerun
