#include "text/gguf_tokenizer.h"

#include <gtest/gtest.h>

#include "formats/gguf_writer.h"
#include "text/text_fixture.h"

namespace forerun {
namespace {

GgufWriter writer_of(const TokenizerSpec& spec) {
  GgufWriter writer;
  writer.add_string("tokenizer.ggml.model", spec.model);
  if (!spec.pre.empty()) writer.add_string("tokenizer.ggml.pre", spec.pre);
  writer.add_strings("tokenizer.ggml.tokens", spec.tokens);
  writer.add_i32s("tokenizer.ggml.token_type", spec.token_types);
  if (!spec.merges.empty()) writer.add_strings("tokenizer.ggml.merges", spec.merges);
  if (!spec.scores.empty()) writer.add_f32s("tokenizer.ggml.scores", spec.scores);
  writer.add_u32("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(spec.bos_id));
  writer.add_u32("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(spec.eos_id));
  writer.add_u32("tokenizer.ggml.unknown_token_id", static_cast<uint32_t>(spec.unknown_id));
  return writer;
}

Result<TokenizerSpec> read(const GgufWriter& writer) {
  const std::vector<uint8_t> bytes = writer.encode();
  const Result<Gguf> gguf = Gguf::parse(bytes, "made.gguf");
  if (!gguf.ok()) return gguf.error();
  return tokenizer_spec(*gguf);
}

TEST(TokenizerSpec, ReadsAByteLevelTokenizer) {
  const TokenizerSpec expected = byte_level_fixture();
  GgufWriter writer = writer_of(expected);
  writer.add_string("tokenizer.chat_template", "{{ messages }}");
  const Result<TokenizerSpec> spec = read(writer);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->tokens, expected.tokens);
  EXPECT_EQ(spec->merges, expected.merges);
  EXPECT_EQ(spec->token_types, expected.token_types);
  EXPECT_EQ(spec->pre, "smollm");
  EXPECT_EQ(spec->bos_id, kFixtureStart);
  EXPECT_EQ(spec->end_ids, std::vector<int32_t>{kFixtureEnd});
  EXPECT_EQ(spec->unknown_id, kNoToken);
  EXPECT_EQ(spec->chat_template, "{{ messages }}");
  EXPECT_FALSE(spec->add_bos);
  EXPECT_FALSE(spec->add_space_prefix);
  EXPECT_TRUE(Tokenizer::create(*spec).ok());
}

TEST(TokenizerSpec, TakesTheDefaultsOfItsKind) {
  const Result<TokenizerSpec> pieces = read(writer_of(sentence_piece_fixture()));
  ASSERT_TRUE(pieces.ok()) << pieces.error().message;
  EXPECT_TRUE(pieces->add_bos);
  EXPECT_TRUE(pieces->add_space_prefix);
  EXPECT_EQ(pieces->scores, sentence_piece_fixture().scores);

  TokenizerSpec llama3 = byte_level_fixture();
  llama3.pre = "llama-bpe";
  EXPECT_TRUE(read(writer_of(llama3))->add_bos);
  GgufWriter told = writer_of(llama3);
  told.add_bool("tokenizer.ggml.add_bos_token", false);
  EXPECT_FALSE(read(told)->add_bos);
}

TEST(TokenizerSpec, CollectsEveryEndToken) {
  TokenizerSpec fixture = byte_level_fixture();
  fixture.tokens[kFixtureStart] = "<|im_end|>";
  GgufWriter writer = writer_of(fixture);
  writer.add_u32("tokenizer.ggml.eot_token_id", kFixtureNewlines);
  EXPECT_EQ(read(writer)->end_ids,
            (std::vector<int32_t>{kFixtureStart, kFixtureEnd, kFixtureNewlines}));
}

TEST(TokenizerSpec, TakesMarkupForNoEndToken) {
  TokenizerSpec fixture = sentence_piece_fixture();
  fixture.eos_id = 1;
  EXPECT_EQ(read(writer_of(fixture))->end_ids, (std::vector<int32_t>{1, 2}));
  ASSERT_EQ(fixture.tokens[2], "</s>");
  fixture.token_types[2] = 4;
  EXPECT_EQ(read(writer_of(fixture))->end_ids, std::vector<int32_t>{1});
}

TEST(TokenizerSpec, NamesTheKeyThatIsWrong) {
  const Result<TokenizerSpec> none = read(GgufWriter());
  ASSERT_FALSE(none.ok());
  EXPECT_NE(none.error().message.find("tokenizer.ggml.model"), std::string::npos);

  GgufWriter wrong = writer_of(byte_level_fixture());
  wrong.add_string("tokenizer.ggml.add_bos_token", "yes");
  ASSERT_FALSE(read(wrong).ok());
  EXPECT_NE(read(wrong).error().message.find("add_bos_token"), std::string::npos);
}

}  // namespace
}  // namespace forerun
