#include "text/detokenizer.h"

#include <gtest/gtest.h>

#include <random>

#include "text/text_fixture.h"
#include "text/utf8.h"

namespace forerun {
namespace {

Vocabulary vocabulary_of(const TokenizerSpec& spec) {
  const Result<Tokenizer> tokenizer = Tokenizer::create(spec);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  return tokenizer->vocabulary();
}

std::vector<std::string> streamed(const Vocabulary& vocabulary, const std::vector<int32_t>& ids,
                                  DecodeOptions options = {}) {
  Detokenizer detokenizer(vocabulary, options);
  std::vector<std::string> parts;
  for (const int32_t id : ids) parts.emplace_back(detokenizer.push(id));
  parts.emplace_back(detokenizer.finish());
  return parts;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += part;
  return text;
}

TEST(Detokenizer, HoldsACharacterUntilItIsWhole) {
  const Vocabulary vocabulary = vocabulary_of(byte_level_fixture());
  const auto parts = streamed(vocabulary, {'a', 0xF0, 0x9F, 0xA4, 0x96, 0xE2, 0x82, 'b', 0xE2});
  const std::vector<std::string> expected = {"a", "", "",        "", "🤖",
                                             "",  "", "\uFFFDb", "", "\uFFFD"};
  EXPECT_EQ(parts, expected);
}

TEST(Detokenizer, StripsTheLeadingSpaceOfATextOnce) {
  const Vocabulary vocabulary = vocabulary_of(sentence_piece_fixture());
  const int32_t hello = 269;
  ASSERT_EQ(vocabulary.token_bytes(hello), " hello");
  EXPECT_EQ(joined(streamed(vocabulary, {1, hello, hello})), "hello hello");
  EXPECT_EQ(joined(streamed(vocabulary, {hello}, {.at_text_start = false})), " hello");
  EXPECT_EQ(joined(streamed(vocabulary, {1, hello}, {.skip_special = false})), "<s> hello");
  EXPECT_EQ(joined(streamed(vocabulary, {3 + ' ', 3 + 0xC3, 3 + 0xA9})), "é");
}

TEST(Detokenizer, CanBeginAgainAfterTheEnd) {
  const Vocabulary vocabulary = vocabulary_of(sentence_piece_fixture());
  Detokenizer detokenizer(vocabulary);
  EXPECT_EQ(detokenizer.push(269), "hello");
  detokenizer.push(3 + 0xC3);
  EXPECT_EQ(detokenizer.held(), "\xC3");
  EXPECT_EQ(detokenizer.finish(), "\uFFFD");
  EXPECT_EQ(detokenizer.push(269), "hello");
}

// Half the ids are bytes above 0x7F, so that characters are made, cut and broken often.
int32_t random_id(std::mt19937& random, int32_t vocab_size, int32_t first_byte) {
  if (random() % 2 == 0) return first_byte + 0x80 + static_cast<int32_t>(random() % 0x80);
  return static_cast<int32_t>(random() % (vocab_size + 4)) - 2;
}

TEST(Detokenizer, EqualsWholeTextDecodingOnAnyIds) {
  std::mt19937 random(1);
  for (const auto& [spec, first_byte] :
       {std::pair{byte_level_fixture(), 0}, std::pair{sentence_piece_fixture(), 3}}) {
    const Vocabulary vocabulary = vocabulary_of(spec);
    for (int round = 0; round < 4000; ++round) {
      std::vector<int32_t> ids(random() % 24);
      for (int32_t& id : ids) id = random_id(random, vocabulary.size(), first_byte);
      const DecodeOptions options = {.skip_special = random() % 2 == 0,
                                     .at_text_start = random() % 2 == 0};
      const auto parts = streamed(vocabulary, ids, options);
      ASSERT_EQ(joined(parts), decode(vocabulary, ids, options));
      for (const std::string& part : parts) {
        std::string revalidated;
        append_valid_utf8(part, revalidated);
        ASSERT_EQ(revalidated, part) << "half a character was put out";
      }
    }
  }
}

}  // namespace
}  // namespace forerun
