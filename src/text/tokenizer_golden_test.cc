// A small tokenizer of each kind against Python `tokenizers` (tests/golden/make_small_tokenizers.py
// trains them and says what the golden files hold).
#include <gtest/gtest.h>

#include "base/json.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace forerun {
namespace {

using Ids = std::vector<int32_t>;

class SmallTokenizer : public testing::TestWithParam<const char*> {
 protected:
  static std::string path(const char* ending) {
    return std::string(FORERUN_SOURCE_DIR) + "/tests/golden/tokenizers/" + GetParam() + ending;
  }

  static Tokenizer tokenizer() {
    Result<Tokenizer> tokenizer = Tokenizer::from_file(path(".json"));
    CHECK(tokenizer.ok(), tokenizer.error().message);
    return std::move(*tokenizer);
  }

  static Json golden() {
    Result<Json> cases = read_json_file(path(".tokens.json"));
    CHECK(cases.ok() && cases->size() > 100, "the golden cases are missing");
    return std::move(*cases);
  }
};

std::string streamed(const Tokenizer& tokenizer, const Ids& ids, DecodeOptions options) {
  Detokenizer detokenizer(tokenizer.vocabulary(), options);
  std::string text;
  for (const int32_t id : ids) text += detokenizer.push(id);
  return text += detokenizer.finish();
}

TEST_P(SmallTokenizer, EncodesAsTheLibrary) {
  const Tokenizer tokenizer = SmallTokenizer::tokenizer();
  for (const Json& golden_case : golden()) {
    const auto text = golden_case["text"].get<std::string>();
    const auto ids = tokenizer.encode(text, /*add_special=*/true, /*parse_special=*/true);
    const auto as_text = tokenizer.encode(text, /*add_special=*/false, /*parse_special=*/false);
    ASSERT_TRUE(ids.ok() && as_text.ok());
    const auto expected = golden_case["ids"].get<Ids>();
    EXPECT_EQ(*ids, expected) << Json(text).dump();
    EXPECT_EQ(*as_text, golden_case.value("ids_as_text", expected)) << Json(text).dump();
  }
}

TEST_P(SmallTokenizer, DecodesAsTheLibraryAtOnceAndInAStream) {
  const Tokenizer tokenizer = SmallTokenizer::tokenizer();
  for (const Json& golden_case : golden()) {
    const auto text = golden_case["text"].get<std::string>();
    const auto ids = golden_case["ids"].get<Ids>();
    const std::string decoded = golden_case.value("decoded", text);
    const std::string decoded_all = golden_case.value("decoded_all", decoded);
    for (const auto& [skip, expected] : {std::pair{true, decoded}, {false, decoded_all}}) {
      const DecodeOptions options = {.skip_special = skip};
      EXPECT_EQ(tokenizer.decode(ids, options), expected) << Json(text).dump();
      EXPECT_EQ(streamed(tokenizer, ids, options), expected) << Json(text).dump();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, SmallTokenizer,
                         testing::Values("byte_level", "gemma", "llama2", "word_piece"),
                         [](const auto& kind) { return std::string(kind.param); });

}  // namespace
}  // namespace forerun
