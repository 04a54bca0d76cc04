#include "models/sentence_encoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <new>

#include "base/check.h"
#include "models/tiny_model.h"

namespace {
std::atomic<long> num_allocations{0};
}  // namespace

// Every allocation of C++ in this program. Inlined, they would look to the compiler like pairs that
// do not match.
[[gnu::noinline]] void* operator new(size_t size) {
  num_allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}

namespace forerun {
namespace {

using Ids = std::vector<int32_t>;
using Kind = SentencePooling::Kind;

const Json& golden() {
  static const Json kGolden = [] {
    Result<Json> json =
        read_json_file(std::string(FORERUN_SOURCE_DIR) + "/tests/golden/tiny_bert.json");
    CHECK(json.ok(), json.error().message);
    return std::move(*json);
  }();
  return kGolden;
}

// The tiny BERT of tests/golden/make_tiny_bert.py.
class TinyBert final : public TensorSource {
 public:
  explicit TinyBert(const std::string& prefix = "") {
    constexpr int64_t kWidth = 64;
    add(prefix + "embeddings.word_embeddings.weight", {96, kWidth});
    add(prefix + "embeddings.position_embeddings.weight", {64, kWidth});
    add(prefix + "embeddings.token_type_embeddings.weight", {2, kWidth});
    norm(prefix + "embeddings.");
    for (int i = 0; i < 3; ++i) {
      const std::string layer = prefix + "encoder.layer." + std::to_string(i) + ".";
      for (const char* part : {"query", "key", "value"}) {
        linear(layer + "attention.self." + part, kWidth, kWidth);
      }
      linear(layer + "attention.output.dense", kWidth, kWidth);
      norm(layer + "attention.output.");
      linear(layer + "intermediate.dense", 2 * kWidth, kWidth);
      linear(layer + "output.dense", kWidth, 2 * kWidth);
      norm(layer + "output.");
    }
  }

  const std::string& path() const override { return path_; }
  const TensorView* find_tensor(std::string_view name) const override {
    const auto found = tensors_.find(std::string(name));
    return found == tensors_.end() ? nullptr : &found->second.view;
  }
  std::string_view type_name(std::string_view) const override { return "F32"; }
  void remove(const std::string& name) { tensors_.erase(name); }

 private:
  struct Tensor {
    std::vector<float> values;
    TensorView view;
  };

  void linear(const std::string& name, int64_t rows, int64_t columns) {
    add(name + ".weight", {rows, columns});
    add(name + ".bias", {rows});
  }
  void norm(const std::string& prefix) {
    add(prefix + "LayerNorm.weight", {64});
    add(prefix + "LayerNorm.bias", {64});
  }
  void add(const std::string& name, const std::vector<int64_t>& shape) {
    Tensor& tensor = tensors_[name];
    tensor.view = {DType::kF32, shape, nullptr};
    const std::string bare = name.starts_with("bert.") ? name.substr(5) : name;
    for (int64_t i = 0; i < tensor.view.num_elements(); ++i) {
      // Small biases, unlike those of the tiny decoders.
      const float w = tiny_weight(bare, i) * (name.ends_with(".bias") ? 0.1f : 1.0f);
      const bool is_norm = name.ends_with("LayerNorm.weight");
      const bool is_embedding = name.ends_with("word_embeddings.weight");
      tensor.values.push_back(is_norm ? 1.0f + w : (is_embedding ? 8.0f : 4.0f) * w);
    }
    tensor.view.data = reinterpret_cast<const uint8_t*>(tensor.values.data());
  }

  std::string path_ = "tiny-bert";
  std::map<std::string, Tensor> tensors_;
};

class SentenceEncoderTest : public testing::TestWithParam<Isa> {
 protected:
  std::unique_ptr<SentenceEncoder> encoder(const SentencePooling& pooling) {
    return encoder(pooling, team_);
  }
  static std::unique_ptr<SentenceEncoder> encoder(const SentencePooling& pooling, Team& team) {
    auto made = SentenceEncoder::load(std::make_shared<TinyBert>(), golden()["config"], pooling,
                                      team, kernel_table(GetParam()));
    CHECK(made.ok(), made.error().message);
    return std::move(*made);
  }

  Team team_{2};
};

std::vector<float> encode(SentenceEncoder& encoder, const std::vector<Ids>& texts) {
  const std::vector<std::span<const int32_t>> spans(texts.begin(), texts.end());
  std::vector<float> out(texts.size() * encoder.dimension());
  const Status status = encoder.encode(spans, out);
  CHECK(status.ok(), status.error().message);
  return out;
}

std::vector<Ids> golden_texts() {
  std::vector<Ids> texts;
  for (const Json& golden_case : golden()["cases"]) texts.push_back(golden_case["ids"]);
  return texts;
}

TEST_P(SentenceEncoderTest, EqualsTransformers) {
  for (const auto& [kind, key] : {std::pair{Kind::kMean, "mean"}, {Kind::kFirstToken, "first"}}) {
    const auto encoder =
        this->encoder({.kind = kind, .normalize = kind == Kind::kMean, .max_tokens = 0});
    const std::vector<float> out = encode(*encoder, golden_texts());
    for (size_t t = 0; t < golden()["cases"].size(); ++t) {
      const auto expected = golden()["cases"][t][key].get<std::vector<float>>();
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(out[t * expected.size() + i], expected[i], 2e-5) << key << " of text " << t;
      }
    }
  }
}

TEST_P(SentenceEncoderTest, AVectorDoesNotDependOnItsCompany) {
  const SentencePooling pooling = {.kind = Kind::kMean, .normalize = true, .max_tokens = 0};
  const auto encoder = this->encoder(pooling);
  std::vector<Ids> texts;
  for (int t = 0; t < 20; ++t) {
    Ids ids;
    for (int i = 0; i < 1 + t * 29 % 61; ++i) ids.push_back((t * 13 + i * i * 5) % 96);
    texts.push_back(ids);
  }
  const std::vector<float> together = encode(*encoder, texts);
  Team large(3);
  Team alone(1);
  for (Team* team : {&alone, &large}) {
    const auto other = SentenceEncoderTest::encoder(pooling, *team);
    EXPECT_EQ(encode(*other, texts), together);
  }
  for (size_t t = 0; t < texts.size(); ++t) {
    const std::vector<float> single = encode(*encoder, {texts[t]});
    EXPECT_TRUE(std::equal(single.begin(), single.end(), together.begin() + t * 64)) << t;
  }
  std::vector<Ids> reversed(texts.rbegin(), texts.rend());
  const std::vector<float> backwards = encode(*encoder, reversed);
  for (size_t t = 0; t < texts.size(); ++t) {
    EXPECT_TRUE(std::equal(together.begin() + t * 64, together.begin() + (t + 1) * 64,
                           backwards.end() - (t + 1) * 64));
  }
}

TEST_P(SentenceEncoderTest, CutsALongTextBeforeItsLastToken) {
  const auto encoder = this->encoder({.kind = Kind::kMean, .normalize = false, .max_tokens = 4});
  EXPECT_EQ(encoder->max_tokens(), 4);
  EXPECT_EQ(encode(*encoder, {{1, 2, 3, 4, 5, 6}}), encode(*encoder, {{1, 2, 3, 6}}));
}

TEST_P(SentenceEncoderTest, RefusesEmptyTextsAndUnknownIds) {
  const auto encoder = this->encoder({});
  std::vector<float> out(2 * encoder->dimension());
  const Ids good = {1};
  const auto error = [&](const Ids& bad) {
    const std::vector<std::span<const int32_t>> texts = {good, bad};
    const Status status = encoder->encode(texts, out);
    return status.ok() ? "no error" : status.error().message;
  };
  EXPECT_EQ(error({}), "text 1 has no tokens");
  EXPECT_EQ(error({5, 96}), "text 1 holds the token id 96; the model knows 0 to 95");
  EXPECT_EQ(error({-1}), "text 1 holds the token id -1; the model knows 0 to 95");
}

TEST_P(SentenceEncoderTest, AllocatesNothingPerCall) {
  const auto encoder = this->encoder({.kind = Kind::kMean, .normalize = true, .max_tokens = 0});
  const std::vector<Ids> texts = golden_texts();
  const std::vector<std::span<const int32_t>> spans(texts.begin(), texts.end());
  std::vector<float> out(texts.size() * encoder->dimension());
  const long before = num_allocations;
  EXPECT_TRUE(encoder->encode(spans, out).ok());
  EXPECT_EQ(num_allocations - before, 0);
  EXPECT_GT(before, 0);
}

INSTANTIATE_TEST_SUITE_P(Isas, SentenceEncoderTest, testing::ValuesIn(available_isas()),
                         [](const auto& isa) { return std::string(isa_name(isa.param)); });

std::string load_error(const Json& config,
                       std::shared_ptr<TinyBert> weights = std::make_shared<TinyBert>()) {
  Team team(1);
  const auto made =
      SentenceEncoder::load(std::move(weights), config, {}, team, kernel_table(Isa::kGeneric));
  return made.ok() ? "no error" : made.error().message;
}

TEST(SentenceEncoderLoad, NamesWhatIsWrong) {
  const auto changed = [](const char* key, const Json& value) {
    Json config = golden()["config"];
    config[key] = value;
    return load_error(config);
  };
  EXPECT_EQ(load_error(golden()["config"]), "no error");
  EXPECT_EQ(load_error(golden()["config"], std::make_shared<TinyBert>("bert.")), "no error");
  EXPECT_NE(load_error(Json::array()).find("no object"), std::string::npos);
  EXPECT_NE(changed("model_type", "llama").find("model_type is 'llama'"), std::string::npos);
  EXPECT_NE(changed("hidden_act", "relu").find("hidden_act is 'relu'"), std::string::npos);
  EXPECT_NE(changed("hidden_size", "big").find("hidden_size is no whole"), std::string::npos);
  EXPECT_NE(changed("hidden_size", 1LL << 40).find("hidden_size is 109"), std::string::npos);
  EXPECT_NE(changed("num_attention_heads", 3).find("no multiple of 16"), std::string::npos);
  EXPECT_NE(changed("layer_norm_eps", -1).find("layer_norm_eps is not"), std::string::npos);
  EXPECT_NE(changed("num_hidden_layers", 4).find("encoder.layer.3.attention.self.query.weight"),
            std::string::npos);
  EXPECT_NE(changed("vocab_size", 97).find("needs [97, 64]"), std::string::npos);
  const auto incomplete = std::make_shared<TinyBert>();
  incomplete->remove("encoder.layer.1.output.dense.bias");
  EXPECT_NE(load_error(golden()["config"], incomplete).find("layer.1.output.dense.bias"),
            std::string::npos);
}

class PoolingFiles : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_ + "/1_Pooling"); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name) << text;
  }
  Result<SentencePooling> read() const { return SentencePooling::read(folder_); }

  std::string folder_ = testing::TempDir() + "forerun_pooling";
};

TEST_F(PoolingFiles, AreReadAsSentenceTransformersWritesThem) {
  Result<SentencePooling> pooling = read();
  ASSERT_TRUE(pooling.ok()) << pooling.error().message;
  EXPECT_EQ(pooling->kind, Kind::kMean);
  EXPECT_FALSE(pooling->normalize);
  EXPECT_EQ(pooling->max_tokens, 0);

  write("modules.json", R"([{"type": "sentence_transformers.models.Transformer", "path": ""},
      {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
      {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}])");
  write("1_Pooling/config.json", R"({"pooling_mode_cls_token": true})");
  write("sentence_bert_config.json", R"({"max_seq_length": 256})");
  pooling = read();
  ASSERT_TRUE(pooling.ok()) << pooling.error().message;
  EXPECT_EQ(pooling->kind, Kind::kFirstToken);
  EXPECT_TRUE(pooling->normalize);
  EXPECT_EQ(pooling->max_tokens, 256);
}

TEST_F(PoolingFiles, NameWhatIsNotBuilt) {
  write("1_Pooling/config.json", R"({"pooling_mode_max_tokens": true})");
  EXPECT_NE(read().error().message.find("1_Pooling/config.json: neither"), std::string::npos);
  write("1_Pooling/config.json", R"({"pooling_mode_mean_tokens": true})");
  EXPECT_TRUE(read().ok());
  write("modules.json", R"([{"type": "sentence_transformers.models.Dense"}])");
  EXPECT_NE(read().error().message.find("models.Dense"), std::string::npos);
  write("modules.json", R"([{"type": "x.Pooling", "path": "../secret"}])");
  EXPECT_NE(read().error().message.find("leads out"), std::string::npos);
  write("modules.json", "[]");
  write("sentence_bert_config.json", R"({"max_seq_length": -1})");
  EXPECT_NE(read().error().message.find("max_seq_length is -1"), std::string::npos);
}

}  // namespace
}  // namespace forerun
