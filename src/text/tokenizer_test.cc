#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "text/text_fixture.h"

namespace forerun {
namespace {

using Ids = std::vector<int32_t>;

Tokenizer made(const TokenizerSpec& spec) {
  Result<Tokenizer> tokenizer = Tokenizer::create(spec);
  CHECK(tokenizer.ok(), tokenizer.error().message);
  return std::move(*tokenizer);
}

Ids encoded(const Tokenizer& tokenizer, std::string_view text, bool add_special = false,
            bool parse_special = true) {
  const Result<Ids> ids = tokenizer.encode(text, add_special, parse_special);
  CHECK(ids.ok(), ids.error().message);
  return *ids;
}

template <typename Change>
std::string error_of(TokenizerSpec spec, Change change) {
  change(spec);
  const Result<Tokenizer> tokenizer = Tokenizer::create(spec);
  return tokenizer.ok() ? "no error" : tokenizer.error().message;
}

TEST(Tokenizer, MergesBytesInOrder) {
  const Tokenizer tokenizer = made(byte_level_fixture());
  EXPECT_EQ(encoded(tokenizer, "hello world"), (Ids{259, 260, 'o', 'r', 'l', 'd'}));
  EXPECT_EQ(encoded(tokenizer, "hé"), (Ids{'h', 261}));
  EXPECT_EQ(encoded(tokenizer, ""), Ids{});
}

TEST(Tokenizer, ReadsControlTokensOnlyWhenAsked) {
  const Tokenizer tokenizer = made(byte_level_fixture());
  EXPECT_EQ(encoded(tokenizer, "<|start|>h\n\n<|end|>"),
            (Ids{kFixtureStart, 'h', kFixtureNewlines, kFixtureEnd}));
  const Ids plain = encoded(tokenizer, "<|end|>\n\n", /*add_special=*/false,
                            /*parse_special=*/false);
  EXPECT_EQ(plain, (Ids{'<', '|', 'e', 'n', 'd', '|', '>', kFixtureNewlines}));
}

TEST(Tokenizer, AddsTheFrameOfItsModel) {
  EXPECT_EQ(encoded(made(byte_level_fixture()), "h", /*add_special=*/true), (Ids{'h'}));
  TokenizerSpec spec = byte_level_fixture();
  spec.add_bos = spec.add_eos = true;
  EXPECT_EQ(encoded(made(spec), "h", /*add_special=*/true), (Ids{kFixtureStart, 'h', kFixtureEnd}));
  const Tokenizer pieces = made(sentence_piece_fixture());
  EXPECT_EQ(encoded(pieces, "hello w", /*add_special=*/true), (Ids{1, 269, 270}));
}

TEST(Tokenizer, FallsBackToBytes) {
  const Tokenizer tokenizer = made(sentence_piece_fixture());
  EXPECT_EQ(encoded(tokenizer, "é"), (Ids{259, 3 + 0xC3, 3 + 0xA9}));
  EXPECT_EQ(tokenizer.decode(encoded(tokenizer, "é ☃ hello")), "é ☃ hello");
}

TEST(Tokenizer, DecodesWhatItEncoded) {
  for (const TokenizerSpec& spec : {byte_level_fixture(), sentence_piece_fixture()}) {
    const Tokenizer tokenizer = made(spec);
    for (const std::string text :
         {"", " ", "  hello\n\n\nworld 123 ", "漢字🤖\u200d", "a\tb\r\n"}) {
      EXPECT_EQ(tokenizer.decode(encoded(tokenizer, text)), text);
    }
  }
}

TEST(Tokenizer, ReadsBytesThatAreNotUtf8AsReplacements) {
  const Tokenizer tokenizer = made(byte_level_fixture());
  EXPECT_EQ(tokenizer.decode(encoded(tokenizer, "a\xff\xc3(")), "a\uFFFD\uFFFD(");
}

TEST(Tokenizer, KnowsItsIds) {
  const Tokenizer tokenizer = made(byte_level_fixture());
  EXPECT_EQ(tokenizer.vocab_size(), 265);
  EXPECT_EQ(tokenizer.token_bytes(259), "hello");
  EXPECT_EQ(tokenizer.token_bytes(0xC3), "\xC3");
  EXPECT_EQ(tokenizer.token_bytes(-1), "");
  EXPECT_EQ(tokenizer.token_bytes(265), "");
  EXPECT_EQ(tokenizer.eos_text(), "<|end|>");
  EXPECT_TRUE(tokenizer.is_end(kFixtureEnd));
  EXPECT_FALSE(tokenizer.is_end(kFixtureStart));
  EXPECT_TRUE(tokenizer.is_special(kFixtureStart));
  EXPECT_FALSE(tokenizer.is_special(kFixtureNewlines));
  EXPECT_EQ(tokenizer.decode(Ids{-5, 'a', 1 << 30}), "a");
}

TEST(Tokenizer, NamesTheFaultOfASpec) {
  const TokenizerSpec spec = byte_level_fixture();
  const auto contains = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos ? "" : text;
  };
  using Spec = TokenizerSpec;
  EXPECT_EQ(contains(error_of(spec, [](Spec& it) { it.pre = "odd"; }), "pre is 'odd'"), "");
  EXPECT_EQ(contains(error_of(spec, [](Spec& it) { it.model = "odd"; }), "model is 'odd'"), "");
  EXPECT_EQ(contains(error_of(spec, [](Spec& it) { it.tokens.clear(); }), "empty"), "");
  EXPECT_EQ(contains(error_of(spec, [](Spec& it) { it.tokens[5] = "h"; }), "repeats"), "");
  EXPECT_EQ(contains(error_of(spec, [](Spec& it) { it.tokens[5] = "\xff"; }), "[5] is not UTF-8"),
            "");
  EXPECT_EQ(contains(error_of(spec, [](Spec& it) { it.token_types.pop_back(); }), "264"), "");
  EXPECT_EQ(contains(error_of(spec, [](Spec& it) { it.merges.push_back("h zz"); }), "'zz'"), "");
  EXPECT_EQ(contains(error_of(spec, [](Spec& it) { it.merges.push_back("h e"); }), "twice"), "");
  EXPECT_EQ(contains(error_of(spec, [](Spec& it) { it.bos_id = 9999; }), "9999"), "");
  EXPECT_EQ(contains(error_of(spec, [](Spec& it) { it.end_ids = {777}; }), "777"), "");
  const TokenizerSpec pieces = sentence_piece_fixture();
  EXPECT_EQ(contains(error_of(pieces, [](Spec& it) { it.scores.pop_back(); }), "scores"), "");
}

TEST(Tokenizer, ReadsATokenizerJson) {
  const std::string path = testing::TempDir() + "forerun_tokenizer.json";
  std::ofstream(path) << R"({"added_tokens": [{"id": 3, "content": "<s>", "single_word": false,
      "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
      "use_regex": true},
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
      "use_regex": true},
    "model": {"type": "BPE", "vocab": {"a": 0, "Ġ": 1, "Ġa": 2}, "merges": ["Ġ a"]}})";
  Result<Tokenizer> tokenizer = Tokenizer::from_file(path);
  std::remove(path.c_str());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_EQ(encoded(*tokenizer, "a a<s>"), (Ids{0, 2, 3}));
  EXPECT_EQ(tokenizer->decode(Ids{0, 2, 3}), "a a");
  EXPECT_FALSE(Tokenizer::from_file(path).ok());
}

TEST(Tokenizer, RefusesBrokenTokenizerJson) {
  const std::string path = testing::TempDir() + "forerun_broken_tokenizer.json";
  std::ofstream(path) << std::string(100'000, '[');
  const Result<Tokenizer> tokenizer = Tokenizer::from_file(path);
  std::remove(path.c_str());
  ASSERT_FALSE(tokenizer.ok());
  EXPECT_NE(tokenizer.error().message.find(path), std::string::npos);
}

// The tokenizers library panics on the first of these and asks for 4 GiB on the second.
TEST(Tokenizer, OutlivesWhatTheLibraryDoesNot) {
  const auto error_with = [](const char* charsmap) {
    const Result<Tokenizer> tokenizer = Tokenizer::from_json(
        std::string(R"({"normalizer": {"type": "Precompiled", "precompiled_charsmap": ")") +
        charsmap + R"("}, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})");
    return tokenizer.ok() ? "no error" : tokenizer.error().message;
  };
  EXPECT_NE(error_with("AAAA").find("failed on this input"), std::string::npos);
  EXPECT_NE(error_with("/////w==").find("more memory than the limit of"), std::string::npos);
}

}  // namespace
}  // namespace forerun
