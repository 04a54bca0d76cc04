#include "engine/choice_text.h"

#include <gtest/gtest.h>

#include <vector>

#include "text/byte_tokenizer.h"

namespace forerun {
namespace {

// Ids 0 … 255 are the bytes; 256 ends an answer, 257 is a control token, and a text's first space
// is not shown.
constexpr int32_t kEnd = 256;
constexpr int32_t kCall = 257;

const Tokenizer& bytes_tokenizer() {
  static const Tokenizer tokenizer = [] {
    TokenizerSpec spec = byte_tokens();
    for (const char* token : {"</s>", "[CALL]", "<unk>"}) {
      add_token(spec, token, TokenKind::kControl);
    }
    spec.eos_id = kEnd;
    spec.unknown_id = kEnd + 2;
    spec.end_ids = {kEnd};
    spec.add_space_prefix = true;
    return make_tokenizer(spec);
  }();
  return tokenizer;
}

using Ids = std::vector<int32_t>;
using Pieces = std::vector<std::string>;

Ids ids_of(std::string_view bytes) {
  Ids ids;
  for (const char byte : bytes) ids.push_back(static_cast<uint8_t>(byte));
  return ids;
}

Ids join(std::initializer_list<Ids> parts) {
  Ids joined;
  for (const Ids& part : parts) joined.insert(joined.end(), part.begin(), part.end());
  return joined;
}

// What is shown after each token, and at the end.
Pieces shown(const Ids& ids, const Request& request, const ChoiceTextOptions& options = {}) {
  ChoiceText text(bytes_tokenizer(), request, options);
  Pieces pieces;
  for (const int32_t id : ids) pieces.emplace_back(text.push(id));
  pieces.emplace_back(text.finish());
  std::string joined;
  for (const std::string& piece : pieces) joined += piece;
  EXPECT_EQ(text.shown(), joined);
  return pieces;
}

Request stops_at(std::vector<std::string> stops) {
  Request request;
  request.stop_strings = std::move(stops);
  return request;
}

// The end token comes after the bytes.
Pieces shown(std::string_view bytes, std::vector<std::string> stops) {
  return shown(join({ids_of(bytes), {kEnd}}), stops_at(std::move(stops)));
}

std::string whole(const Ids& ids, const Request& request, const ChoiceTextOptions& options = {}) {
  std::string text;
  for (const std::string& piece : shown(ids, request, options)) text += piece;
  return text;
}

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

// The engine sees the space, so a stop string may begin with it.
TEST(ChoiceText, FindsAStopStringThatBeginsWithTheFirstSpace) {
  EXPECT_EQ(shown(" STOP", {" STOP"}), (Pieces{"", "", "", "", "", "", ""}));
  EXPECT_EQ(shown(" SO", {" STOP"}), (Pieces{"", "", "SO", "", ""}));
  EXPECT_EQ(shown(" STOP", {"STOP"}), (Pieces{"", "", "", "", "", "", ""}));
}

TEST(ChoiceText, KeepsTheFirstSpaceOfWhatContinuesThePrompt) {
  EXPECT_EQ(whole(ids_of(" a b"), {}), "a b");
  EXPECT_EQ(whole(ids_of(" a b"), {}, {.continues = true}), " a b");
}

// The engine looks at control tokens' bytes too: "ab" is not in "a[CALL]b".
TEST(ChoiceText, StopsWhereTheEngineDoesAroundHiddenTokens) {
  const Ids ids = join({ids_of("a"), {kCall}, ids_of("b")});
  EXPECT_EQ(whole(ids, stops_at({"ab"})), "ab");
  EXPECT_EQ(whole(ids, stops_at({"CALL"})), "a");
  EXPECT_EQ(whole(ids, {}), "ab");
  EXPECT_EQ(whole(ids, {}, {.shown_special_ids = {kCall}}), "a[CALL]b");
}

TEST(ChoiceText, TakesNoPartOfAStopStringFromTheTokenThatEnds) {
  const Ids ids = join({ids_of("x"), {kEnd}});
  EXPECT_EQ(whole(ids, stops_at({"x</s>"})), "x");
  Request padded = stops_at({"x</s>"});
  padded.ignore_eos = true;
  EXPECT_EQ(whole(ids, padded), "");
  Request by_id = stops_at({"ab"});
  by_id.stop_ids = {'b'};
  EXPECT_EQ(whole(ids_of("ab"), by_id), "ab");
}

}  // namespace
}  // namespace forerun
