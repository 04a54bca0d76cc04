#include "choice_text.h"

#include <gtest/gtest.h>

#include <vector>

#include "byte_tokenizer.h"

namespace forerun {
namespace {

// Ids 0 … 255 are the bytes; 256 ends an answer.
constexpr int32_t kEnd = 256;

const Tokenizer& bytes_tokenizer() {
  static const Tokenizer tokenizer = [] {
    TokenizerSpec spec = byte_tokens();
    for (const char* token : {"</s>", "<unk>"}) {
      add_token(spec, token, TokenKind::kControl);
    }
    spec.eos_id = kEnd;
    spec.unknown_id = kEnd + 1;
    spec.end_ids = {kEnd};
    return make_tokenizer(spec);
  }();
  return tokenizer;
}

// What is shown after each byte, and at the end.
std::vector<std::string> shown(std::string_view bytes, const std::vector<std::string>& stops) {
  ChoiceText text(bytes_tokenizer(), stops);
  std::vector<std::string> pieces;
  for (const char byte : bytes) pieces.emplace_back(text.push(static_cast<uint8_t>(byte)));
  pieces.emplace_back(text.push(kEnd));
  pieces.emplace_back(text.finish());
  return pieces;
}

using Pieces = std::vector<std::string>;

TEST(ChoiceText, ShowsWholeCharactersAndNoEndToken) {
  EXPECT_EQ(shown("ab", {}), (Pieces{"a", "b", "", ""}));
  EXPECT_EQ(shown("\xC3\xA9!", {}), (Pieces{"", "é", "!", "", ""}));
  EXPECT_EQ(shown("a\xC3", {}), (Pieces{"a", "", "", "\xEF\xBF\xBD"}));
}

TEST(ChoiceText, HoldsBackWhatMayBecomeAStopString) {
  EXPECT_EQ(shown("xSTy", {"STOP"}), (Pieces{"x", "", "", "STy", "", ""}));
  EXPECT_EQ(shown("xST", {"STOP"}), (Pieces{"x", "", "", "", "ST"}));
  EXPECT_EQ(shown("xSTOP", {"STOP"}), (Pieces{"x", "", "", "", "", "", ""}));
}

TEST(ChoiceText, RemembersAllThatWasShown) {
  ChoiceText text(bytes_tokenizer(), {});
  for (const char byte : std::string("caf\xC3\xA9")) text.push(static_cast<uint8_t>(byte));
  text.finish();
  EXPECT_EQ(text.shown(), "café");
}

}  // namespace
}  // namespace forerun
