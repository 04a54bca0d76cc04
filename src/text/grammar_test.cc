#include "text/grammar.h"

#include <gtest/gtest.h>

#include <optional>

#include "text/text_fixture.h"

namespace forerun {
namespace {

const Tokenizer& tokenizer() {
  static const Result<Tokenizer> made = Tokenizer::create(byte_level_fixture());
  return *made;
}

Result<std::shared_ptr<const Grammar>> compile(GrammarKind kind, const std::string& text) {
  static const Result<GrammarEnvironment> environment = GrammarEnvironment::create(tokenizer());
  return environment->compile({kind, text});
}

GrammarMatcher matcher(GrammarKind kind, const std::string& text) {
  return std::move(*(*compile(kind, text))->matcher());
}

std::vector<int32_t> ids(const std::string& text) {
  return *tokenizer().encode(text, /*add_special=*/false, /*parse_special=*/true);
}

bool allowed(std::span<const uint32_t> mask, int32_t id) {
  return (mask[id / 32] >> (id % 32) & 1) != 0;
}

// The ids allowed in a vocabulary of `vocab_size`.
std::vector<int32_t> allowed_ids(GrammarMatcher& matcher, int32_t vocab_size = 265) {
  std::vector<uint32_t> mask(mask_words(vocab_size), ~0u);
  EXPECT_TRUE(matcher.mask(mask).ok());
  std::vector<int32_t> found;
  for (int32_t id = 0; id < static_cast<int32_t>(mask.size() * 32); ++id) {
    if (allowed(mask, id)) found.push_back(id);
  }
  return found;
}

constexpr char kPoint[] = R"({"type": "object", "properties": {"x": {"type": "integer"},
  "word": {"enum": ["hello", "é"]}}, "required": ["x", "word"], "additionalProperties": false})";

TEST(Grammar, HoldsTokensToASchema) {
  GrammarMatcher point = matcher(GrammarKind::kJsonSchema, kPoint);
  for (const int32_t id : ids("{\"x\": -12, \"word\": \"hello\"}")) {
    std::vector<uint32_t> mask(mask_words(265));
    ASSERT_TRUE(point.mask(mask).ok());
    EXPECT_TRUE(allowed(mask, id)) << id;
    EXPECT_FALSE(allowed(mask, kFixtureEnd));
    EXPECT_FALSE(allowed(mask, kFixtureStart));
    ASSERT_TRUE(point.accept(id).ok());
  }
  EXPECT_TRUE(point.next().only_end);
  EXPECT_EQ(allowed_ids(point), std::vector<int32_t>{kFixtureEnd});
}

TEST(Grammar, RefusesATokenAndStaysWhereItIs) {
  GrammarMatcher digits = matcher(GrammarKind::kRegex, "[0-9]+");
  const Status refused = digits.accept('x');
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "the regular expression does not allow token 120 here");
  EXPECT_FALSE(digits.accept(-1).ok());
  EXPECT_FALSE(digits.accept(1 << 30).ok());
  EXPECT_FALSE(digits.accept(kFixtureEnd).ok());
  EXPECT_TRUE(digits.accept('7').ok());
  EXPECT_TRUE(digits.next().end);
  EXPECT_TRUE(digits.accept(kFixtureEnd).ok());
}

// A model's matrix may have more rows than its tokenizer has tokens, or fewer.
TEST(Grammar, AllowsNoIdThatTheTokenizerHasNot) {
  GrammarMatcher any = matcher(GrammarKind::kRegex, "(?s:.*)");
  const std::vector<int32_t> own = allowed_ids(any);
  EXPECT_EQ(own.back(), kFixtureNewlines);
  EXPECT_EQ(allowed_ids(any, 1000), own);
  EXPECT_EQ(allowed_ids(any, 32).size(), 32u);
  EXPECT_TRUE(allowed_ids(any, 0).empty());
}

TEST(Grammar, ChecksDraftsAndTakesThemBack) {
  GrammarMatcher word = matcher(GrammarKind::kRegex, "hello w(orld)?");
  const std::vector<int32_t> draft = {'h', 'e', 'l', 'l', 'o', ' ', 'w', kFixtureEnd, 'x'};
  const std::vector<int32_t> first = allowed_ids(word);
  EXPECT_EQ(*word.count_valid(draft), 8u);
  EXPECT_EQ(*word.count_valid(ids("hello x")), 2u) << "hello, the space, not x";
  EXPECT_EQ(allowed_ids(word), first);
  for (size_t i = 0; i < 8; ++i) ASSERT_TRUE(word.accept(draft[i]).ok());
  GrammarMatcher copy = std::move(*word.clone());
  ASSERT_TRUE(copy.rollback(8).ok());
  EXPECT_EQ(allowed_ids(copy), first);
  EXPECT_TRUE(word.next().only_end) << "a copy is a copy";
  ASSERT_TRUE(word.rollback(1).ok());
  EXPECT_EQ(allowed_ids(word), (std::vector<int32_t>{'o', kFixtureEnd}));
  EXPECT_FALSE(word.rollback(100).ok());
}

TEST(Grammar, KnowsWhatBeginsAnOutput) {
  const auto optional = *compile(GrammarKind::kRegex, "(ab)?");
  EXPECT_TRUE(allowed(optional->first_mask(), 'a'));
  EXPECT_TRUE(allowed(optional->first_mask(), kFixtureEnd));
  EXPECT_TRUE(optional->first_next().end);
  EXPECT_FALSE(optional->first_next().only_end);
  EXPECT_GT(optional->memory_bytes(), 1000u);
  EXPECT_TRUE((*compile(GrammarKind::kRegex, ""))->first_next().only_end);
}

// SentencePiece writes a space as ▁ and has tokens for single bytes beside those of letters.
TEST(Grammar, ReadsTokensAsTheirBytes) {
  const Result<Tokenizer> pieces = Tokenizer::create(sentence_piece_fixture());
  const Result<GrammarEnvironment> environment = GrammarEnvironment::create(*pieces);
  const auto grammar = *environment->compile({GrammarKind::kRegex, " hello|h.*"});
  std::vector<std::string> first;
  for (int32_t id = 0; id < pieces->vocab_size(); ++id) {
    if (allowed(grammar->first_mask(), id)) first.emplace_back(pieces->token_bytes(id));
  }
  EXPECT_EQ(first, (std::vector<std::string>{" ", "h", " ", "h", "he", "hell", "hello", " hello"}));
}

TEST(Grammar, SaysWhatIsWrong) {
  const auto error = [](GrammarKind kind, const std::string& text) {
    const Result<std::shared_ptr<const Grammar>> grammar = compile(kind, text);
    return grammar.ok() ? "" : grammar.error().message;
  };
  EXPECT_NE(error(GrammarKind::kJsonSchema, "{").find("not valid JSON"), std::string::npos);
  EXPECT_NE(error(GrammarKind::kRegex, "*").find("the regular expression"), std::string::npos);
  EXPECT_NE(error(GrammarKind::kLark, "start: x").find("the grammar"), std::string::npos);
  EXPECT_NE(error(GrammarKind::kLark, "\xff").find("not UTF-8"), std::string::npos);
  EXPECT_NE(error(GrammarKind::kRegex, std::string(20'000, 'a')).find("limit is 16384"),
            std::string::npos);
  EXPECT_NE(error(GrammarKind::kJsonSchema, R"({"$ref": "https://x.test/s"})").find("#/"),
            std::string::npos);
}

}  // namespace
}  // namespace forerun
