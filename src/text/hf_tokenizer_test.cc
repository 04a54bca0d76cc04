#include "text/hf_tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"

namespace forerun {
namespace {

using Ids = std::vector<int32_t>;

// "a", "<s>", "b", "<s>" (special), "</s>" (special), "<end>" (special)
Vocabulary vocabulary() {
  Vocabulary made;
  made.offsets = {0};
  for (const char* text : {"a", "<s>", "b", "<s>", "</s>", "<end>"}) {
    made.bytes += text;
    made.offsets.push_back(made.bytes.size());
  }
  made.special = {0, 0, 0, 1, 1, 1};
  return made;
}

struct Files {
  const char* config = "{}";
  const char* generation_config = "{}";
  const char* tokenizer_config = "{}";
  const char* special_tokens_map = "{}";
};

Result<SpecialTokens> read(const Files& files) {
  HfConfigs configs;
  configs.config = *parse_json(files.config);
  configs.generation_config = *parse_json(files.generation_config);
  configs.tokenizer_config = *parse_json(files.tokenizer_config);
  configs.special_tokens_map = *parse_json(files.special_tokens_map);
  configs.chat_template = "{{ x }}";
  return read_special_tokens(configs, vocabulary());
}

std::string error_of(const Files& files) {
  const Result<SpecialTokens> special = read(files);
  return special.ok() ? "no error" : special.error().message;
}

TEST(HfTokenizer, TakesTokensByTheirTexts) {
  const Result<SpecialTokens> special =
      read({.config = R"({"bos_token_id":0,"eos_token_id":[5]})",
            .tokenizer_config = R"({"bos_token":"<s>","eos_token":{"content":"</s>"}})",
            .special_tokens_map = R"({"bos_token":"<end>"})"});
  ASSERT_TRUE(special.ok()) << special.error().message;
  EXPECT_EQ(special->bos_id, 3) << "the special one of two that are spelled alike";
  EXPECT_EQ(special->eos_id, 4);
  EXPECT_EQ(special->end_ids, (Ids{5, 4}));
  EXPECT_EQ(special->chat_template, "{{ x }}");
}

TEST(HfTokenizer, TheSpecialTokensMapStandsInForTheConfig) {
  const Result<SpecialTokens> special =
      read({.tokenizer_config = R"({"bos_token":null,"model_max_length":8192})",
            .special_tokens_map = R"({"bos_token":"<s>","eos_token":"b"})"});
  ASSERT_TRUE(special.ok()) << special.error().message;
  EXPECT_EQ(special->bos_id, 3);
  EXPECT_EQ(special->eos_id, 2);
  EXPECT_EQ(special->end_ids, (Ids{2}));
}

TEST(HfTokenizer, AModelMayHaveNoBos) {
  const Result<SpecialTokens> special =
      read({.config = R"({"bos_token_id":3,"eos_token_id":4})",
            .tokenizer_config = R"({"bos_token":null,"eos_token":"<end>"})"});
  ASSERT_TRUE(special.ok()) << special.error().message;
  EXPECT_EQ(special->bos_id, kNoToken) << "what the model's config names is not the tokenizer's";
  EXPECT_EQ(special->eos_id, 5);
  EXPECT_EQ(special->end_ids, (Ids{4, 5}));
}

TEST(HfTokenizer, IdsOfTheModelServeWhereNothingElseIsThere) {
  const Result<SpecialTokens> special =
      read({.config = R"({"bos_token_id":3,"eos_token_id":[4,5]})"});
  ASSERT_TRUE(special.ok()) << special.error().message;
  EXPECT_EQ(special->bos_id, 3);
  EXPECT_EQ(special->eos_id, 4);
  EXPECT_EQ(special->end_ids, (Ids{4, 5, 4}));
  const Result<SpecialTokens> nothing = read({});
  ASSERT_TRUE(nothing.ok()) << nothing.error().message;
  EXPECT_EQ(nothing->bos_id, kNoToken);
  EXPECT_EQ(nothing->eos_id, kNoToken);
  EXPECT_EQ(nothing->end_ids, Ids{});
}

TEST(HfTokenizer, GenerationConfigNamesTheEnds) {
  const Result<SpecialTokens> special = read({.config = R"({"eos_token_id":0})",
                                              .generation_config = R"({"eos_token_id":[4,5]})",
                                              .tokenizer_config = R"({"eos_token":"</s>"})"});
  ASSERT_TRUE(special.ok()) << special.error().message;
  EXPECT_EQ(special->end_ids, (Ids{4, 5, 4}));
}

TEST(HfTokenizer, NamesTheFileAndTheKey) {
  EXPECT_EQ(error_of({.tokenizer_config = R"({"bos_token":7})"}),
            "tokenizer_config.json: 'bos_token' is neither a text nor an object with a 'content'");
  EXPECT_EQ(error_of({.special_tokens_map = R"({"eos_token":{"content":[]}})"}),
            "special_tokens_map.json: 'eos_token' is neither a text nor an object with a "
            "'content'");
  EXPECT_EQ(error_of({.tokenizer_config = R"({"eos_token":"<\u001b>"})"}),
            "tokenizer_config.json: 'eos_token' is '<\\x1b>', which tokenizer.json does not have");
  EXPECT_EQ(error_of({.config = R"({"bos_token_id":"x"})"}),
            "config.json: 'bos_token_id' is not a token id: a whole number is expected");
  EXPECT_EQ(error_of({.config = R"({"bos_token_id":-1})"}),
            "config.json: 'bos_token_id' is -1, outside the vocabulary of 6 tokens");
  EXPECT_EQ(error_of({.config = R"({"eos_token_id":6})"}),
            "config.json: 'eos_token_id' is 6, outside the vocabulary of 6 tokens");
  EXPECT_EQ(error_of({.generation_config = R"({"eos_token_id":[4,1.5]})"}),
            "generation_config.json: 'eos_token_id' is not a token id: a whole number is expected");
  EXPECT_EQ(error_of({.generation_config = R"({"eos_token_id":[18446744073709551615]})"}),
            "generation_config.json: 'eos_token_id' is 18446744073709551615, outside the "
            "vocabulary of 6 tokens");
  std::string many = R"({"eos_token_id":[0)";
  for (int i = 0; i < 1024; ++i) many += ",0";
  many += "]}";
  EXPECT_EQ(error_of({.config = many.c_str()}),
            "config.json: 'eos_token_id' lists 1025 tokens; the limit is 1024");
}

class HfTokenizerDirectory : public testing::Test {
 protected:
  HfTokenizerDirectory() {
    folder_.write("model.safetensors", SafetensorsWriter().encode());
    std::filesystem::copy_file(
        std::string(FORERUN_SOURCE_DIR) + "/tests/fuzz/seeds/tokenizer/byte_level_bpe.json",
        folder_.file("tokenizer.json"));
  }

  Result<Tokenizer> open() const {
    const Result<HfDirectory> directory = HfDirectory::open(folder_.path());
    CHECK(directory.ok(), directory.error().message);
    return read_hf_tokenizer(*directory);
  }

  TemporaryFolder folder_;
};

TEST_F(HfTokenizerDirectory, IsReadWhole) {
  folder_.write("tokenizer_config.json", R"({"eos_token":"<|end|>","add_bos_token":true})");
  folder_.write("chat_template.jinja", "{{ messages }}");
  const Result<Tokenizer> tokenizer = open();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->eos_text(), "<|end|>");
  EXPECT_TRUE(tokenizer->is_end(8));
  EXPECT_FALSE(tokenizer->is_end(7));
  EXPECT_EQ(tokenizer->bos_id(), kNoToken);
  EXPECT_EQ(tokenizer->chat_template(), "{{ messages }}");
  EXPECT_EQ(*tokenizer->encode("hello", /*add_special=*/true, /*parse_special=*/true),
            (Ids{8, 7, 3}))
      << "the file's own post-processor goes around a text";
}

TEST_F(HfTokenizerDirectory, SaysWhichFileIsWrong) {
  folder_.write("tokenizer_config.json", R"({"eos_token":"<|stop|>"})");
  EXPECT_EQ(open().error().message,
            folder_.file("tokenizer_config.json") +
                ": 'eos_token' is '<|stop|>', which tokenizer.json does not have");
  folder_.write("tokenizer.json", "{");
  EXPECT_TRUE(open().error().message.starts_with(folder_.file("tokenizer.json") + ": "))
      << open().error().message;
  folder_.remove("tokenizer.json");
  EXPECT_EQ(open().error().message,
            folder_.path() +
                " has no tokenizer.json, the only kind of tokenizer file that is read; save the "
                "tokenizer again with transformers (save_pretrained writes one)");
}

}  // namespace
}  // namespace forerun
