// SmolLM2's own file against llama.cpp: tests/golden/smollm2_tokens.json holds what llama-tokenize
// makes of each text (tests/golden/make_tokenizer_golden.py).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/json.h"
#include "text/chat_template.h"
#include "text/detokenizer.h"
#include "text/gguf_tokenizer.h"

namespace forerun {
namespace {

std::string model_path() {
  const char* home = std::getenv("FORERUN_HOME");
  const char* user = std::getenv("HOME");
  const std::string root = home ? home : std::string(user ? user : "") + "/.cache/forerun";
  return root + "/models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf";
}

bool in_ci() {
  const char* ci = std::getenv("CI");
  return ci != nullptr && std::string_view(ci) == "true";
}

class SmolLm2 : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!std::filesystem::exists(model_path())) return;
    const Result<Gguf> gguf = Gguf::open(model_path());
    CHECK(gguf.ok(), gguf.error().message);
    const Result<TokenizerSpec> spec = tokenizer_spec(*gguf);
    CHECK(spec.ok(), spec.error().message);
    Result<Tokenizer> tokenizer = Tokenizer::create(*spec);
    CHECK(tokenizer.ok(), tokenizer.error().message);
    tokenizer_ = std::make_unique<Tokenizer>(std::move(*tokenizer));
  }
  static void TearDownTestSuite() { tokenizer_.reset(); }

  void SetUp() override {
    if (tokenizer_ != nullptr) return;
    ASSERT_FALSE(in_ci()) << model_path() << " is missing; make test fetches it";
    GTEST_SKIP() << model_path() << " is missing; make test fetches it";
  }

  static inline std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(SmolLm2, EncodesAsLlamaCpp) {
  const Result<Json> golden =
      read_json_file(std::string(FORERUN_SOURCE_DIR) + "/tests/golden/smollm2_tokens.json");
  ASSERT_TRUE(golden.ok()) << golden.error().message;
  ASSERT_GT((*golden)["cases"].size(), 50u);
  for (const Json& golden_case : (*golden)["cases"]) {
    const auto text = golden_case["text"].get<std::string>();
    const auto ids = tokenizer_->encode(text, /*add_special=*/true, /*parse_special=*/true);
    ASSERT_TRUE(ids.ok()) << ids.error().message;
    EXPECT_EQ(*ids, golden_case["ids"].get<std::vector<int32_t>>()) << Json(text).dump();
    if (golden_case.contains("ids_special_as_text")) {
      const auto as_text = tokenizer_->encode(text, /*add_special=*/true, /*parse_special=*/false);
      ASSERT_TRUE(as_text.ok()) << as_text.error().message;
      EXPECT_EQ(*as_text, golden_case["ids_special_as_text"].get<std::vector<int32_t>>());
    }
    const DecodeOptions keep_special = {.skip_special = false};
    const std::string whole = tokenizer_->decode(*ids, keep_special);
    EXPECT_EQ(whole == text, golden_case["round_trips"].get<bool>()) << Json(text).dump();
    Detokenizer detokenizer(tokenizer_->vocabulary(), keep_special);
    std::string streamed;
    for (const int32_t id : *ids) streamed += detokenizer.push(id);
    streamed += detokenizer.finish();
    EXPECT_EQ(streamed, whole);
  }
}

TEST_F(SmolLm2, RendersItsTemplate) {
  const OrderedJson messages = OrderedJson::parse(R"([{"role": "user", "content": "Hi"}])");
  const Result<std::string> prompt =
      render_chat(tokenizer_->chat_template(), messages, ChatOptions{});
  ASSERT_TRUE(prompt.ok()) << prompt.error().message;
  EXPECT_EQ(*prompt,
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
            "Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  const auto ids = tokenizer_->encode(*prompt, /*add_special=*/false, /*parse_special=*/true);
  ASSERT_TRUE(ids.ok());
  EXPECT_EQ(ids->front(), tokenizer_->bos_id());
  EXPECT_TRUE(tokenizer_->is_end(2));
  EXPECT_TRUE(tokenizer_->is_end(0));
  EXPECT_FALSE(tokenizer_->is_end(1));
}

}  // namespace
}  // namespace forerun
