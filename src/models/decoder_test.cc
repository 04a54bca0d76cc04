#include "models/decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <numeric>
#include <optional>
#include <tuple>

#include "base/json.h"
#include "base/philox.h"
#include "cache/kv_cache.h"
#include "models/model.h"
#include "models/tiny_model.h"

namespace forerun {
namespace {

Json read_golden(const std::string& name) {
  Result<Json> json =
      read_json_file(std::string(FORERUN_SOURCE_DIR) + "/tests/golden/" + name + ".json");
  CHECK(json.ok(), json.error().message);
  return *json;
}

const Json& tiny_golden() {
  static const Json golden = read_golden("tiny_llama");
  return golden;
}
const Json& family_golden() {
  static const Json golden = read_golden("tiny_families");
  return golden;
}

// What divides each frequency, as GGUF's rope_freqs.weight holds it.
std::vector<float> llama3_divisors(const Json& scaling, float theta, int64_t head_dim) {
  RotaryParameters parameters;
  parameters.theta = theta;
  parameters.rotated = head_dim;
  const RotaryEmbedding plain = *make_rotary(parameters);
  parameters.scaling = RotaryScaling::kLlama3;
  parameters.factor = scaling["factor"];
  parameters.low_frequency_factor = scaling["low_freq_factor"];
  parameters.high_frequency_factor = scaling["high_freq_factor"];
  parameters.original_context = scaling["original_context"];
  std::vector<float> divisors = plain.inverse_frequencies;
  const RotaryEmbedding scaled = *make_rotary(parameters);
  for (size_t i = 0; i < divisors.size(); ++i) divisors[i] /= scaled.inverse_frequencies[i];
  return divisors;
}

TinyModelConfig golden_config(const std::string& name) {
  const Json& golden = tiny_golden()["configs"][name];
  TinyModelConfig config = tiny_config(golden);
  const Json& scaling = golden["config"]["rope_scaling"];
  if (!scaling.is_null()) {
    config.tensors["rope_freqs.weight"] =
        llama3_divisors(scaling, config.rope_theta, config.head_dim);
  }
  return config;
}

// The families' models, with another type of matrix.
std::vector<std::pair<std::string, TinyModelConfig>> families(DType matrix_type) {
  std::vector<std::pair<std::string, TinyModelConfig>> all;
  for (const auto& [name, golden] : family_golden()["models"].items()) {
    all.emplace_back(name, tiny_config(golden));
    all.back().second.matrix_type = matrix_type;
  }
  return all;
}

// A decoder over a tiny model, with a pool and a page list that is not in order.
class Harness {
 public:
  Harness(const TinyModelConfig& config, Isa isa, int num_threads = 2,
          std::optional<KvType> type = std::nullopt)
      : team_(num_threads), bytes_(make_tiny_model(config)) {
    constexpr int kNumPages = 64;
    Result<Gguf> file = Gguf::parse(bytes_, "tiny");
    CHECK(file.ok(), file.error().message);
    Result<std::unique_ptr<Model>> model = Model::load(std::move(*file), team_);
    CHECK(model.ok(), model.error().message);
    model_ = std::move(*model);
    const ModelDescriptor& d = model_->descriptor();
    decoder_ = std::make_unique<Decoder>(d, model_->weights(), kernel_table(isa), team_,
                                         Decoder::Limits{.max_rows = 512, .max_logit_rows = 512});
    const KvShape shape = kv_shape(d, type.value_or(kernel_table(isa).kv_type));
    pool_ = std::make_unique<KvPool>(shape, kNumPages);
    for (int i = 0; i < kNumPages; ++i) pages_.push_back((i * 7 + 3) % kNumPages);
  }

  const ModelDescriptor& descriptor() const { return model_->descriptor(); }

  // Logits of every row.
  std::vector<std::vector<float>> run(const std::vector<int32_t>& tokens,
                                      const std::vector<RowGroup>& groups,
                                      const StateTap* tap = nullptr) {
    return run_in(*pool_, tokens, groups, tap);
  }
  std::vector<std::vector<float>> run_in(KvPool& pool, const std::vector<int32_t>& tokens,
                                         const std::vector<RowGroup>& groups,
                                         const StateTap* tap = nullptr) {
    std::vector<int32_t> rows(tokens.size());
    std::iota(rows.begin(), rows.end(), 0);
    decoder_->step({tokens, groups, rows, tap}, pool);
    std::vector<std::vector<float>> logits;
    for (size_t i = 0; i < rows.size(); ++i) {
      const float* row = decoder_->logits(static_cast<int64_t>(i));
      logits.emplace_back(row, row + descriptor().vocab_size);
    }
    return logits;
  }

  // Logits of every row of a chain, fed in chunks, from slot 0.
  std::vector<std::vector<float>> run_chain(const std::vector<int32_t>& tokens, size_t chunk) {
    std::vector<std::vector<float>> logits;
    for (size_t i = 0; i < tokens.size(); i += chunk) {
      const size_t count = std::min(chunk, tokens.size() - i);
      const auto part = run({tokens.begin() + i, tokens.begin() + i + count},
                            {{static_cast<int>(count), static_cast<int64_t>(i), pages_, nullptr}});
      logits.insert(logits.end(), part.begin(), part.end());
    }
    return logits;
  }

  const std::vector<int32_t>& pages() const { return pages_; }
  KvPool& pool() { return *pool_; }

 private:
  Team team_;
  std::vector<uint8_t> bytes_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<KvPool> pool_;
  std::vector<int32_t> pages_;
};

std::vector<int32_t> random_tokens(int count, int64_t vocab_size, uint32_t seed) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < count; ++i) {
    tokens.push_back(static_cast<int32_t>(
        philox({static_cast<uint32_t>(i), 0, 0, 0}, {seed, 1})[0] % vocab_size));
  }
  return tokens;
}

class OnEveryIsa : public testing::TestWithParam<Isa> {};
INSTANTIATE_TEST_SUITE_P(Isa, OnEveryIsa, testing::ValuesIn(available_isas()),
                         [](const auto& info) { return std::string(isa_name(info.param)); });

// An instruction set with one type of keys and values.
class OnEveryKvType : public testing::TestWithParam<std::tuple<Isa, KvType>> {
 protected:
  Isa isa() const { return std::get<0>(GetParam()); }
  KvType type() const { return std::get<1>(GetParam()); }
  Harness harness(const TinyModelConfig& config, int num_threads = 2) const {
    return {config, isa(), num_threads, type()};
  }
  // The families whose bits are compared: all of them with the type that is the instruction set's
  // own; with another, and by plain loops, which are slow, one with windows and soft-caps.
  std::vector<std::pair<std::string, TinyModelConfig>> families_to_compare() const {
    auto all = families(DType::kQ8_0);
    if (isa() != Isa::kGeneric && type() == kernel_table(isa()).kv_type) return all;
    std::erase_if(all, [](const auto& family) { return family.first != "tiny_gemma2"; });
    CHECK(all.size() == 1, "the golden models have tiny_gemma2");
    return all;
  }
  // Every fourth for plain loops.
  std::vector<int> as_many_as_are_quick(const std::vector<int>& all) const {
    std::vector<int> some;
    for (size_t i = 0; i < all.size(); i += isa() == Isa::kGeneric ? 4 : 1) some.push_back(all[i]);
    return some;
  }
};
INSTANTIATE_TEST_SUITE_P(IsaAndType, OnEveryKvType,
                         testing::Combine(testing::ValuesIn(available_isas()),
                                          testing::ValuesIn(kKvTypes)),
                         [](const auto& info) {
                           return std::string(isa_name(std::get<0>(info.param))) + "_" +
                                  std::string(kv_type_name(std::get<1>(info.param)));
                         });

// f32 weights: what is left is how keys and values are stored and, with bf16 dot products, theirs.
float tolerance(KvType type) {
  return type == KvType::kF16 ? 0.02f : 0.15f;
}
float tolerance(Isa isa) {
  return tolerance(kernel_table(isa).kv_type);
}

// The largest difference to the logits of some positions.
float largest_difference(const std::vector<std::vector<float>>& logits, const Json& golden) {
  float largest = 0.0f;
  for (const auto& [position, values] : golden.items()) {
    const std::vector<float> expected = values;
    const auto& actual = logits[std::stoul(position)];
    for (size_t i = 0; i < expected.size(); ++i) {
      largest = std::max(largest, std::fabs(actual[i] - expected[i]));
    }
  }
  return largest;
}

// With f16 narrow enough that a feature left out shows (the least of them by 0.03); the other types
// round that much themselves.
float family_tolerance(KvType type) {
  return type == KvType::kF16 ? 0.004f : 0.06f;
}

TEST_P(OnEveryKvType, TinyModelsGiveTheLogitsOfTransformers) {
  const std::vector<int32_t> tokens = tiny_golden()["token_ids"];
  for (const auto& [name, golden] : tiny_golden()["configs"].items()) {
    const auto logits = harness(golden_config(name)).run_chain(tokens, tokens.size());
    const float largest = largest_difference(logits, golden["logits"]);
    RecordProperty("max_difference_" + name, std::to_string(largest));
    EXPECT_LT(largest, tolerance(type())) << name;
  }
}

TEST_P(OnEveryKvType, TinyFamiliesGiveTheLogitsOfTransformers) {
  const std::vector<int32_t> tokens = family_golden()["token_ids"];
  for (const auto& [name, config] : families(DType::kF32)) {
    const auto logits = harness(config).run_chain(tokens, tokens.size());
    const float largest = largest_difference(logits, family_golden()["models"][name]["logits"]);
    RecordProperty("max_difference_" + name, std::to_string(largest));
    EXPECT_LT(largest, family_tolerance(type())) << name;
  }
}

// A tensor of a golden model as Hugging Face stores it, from GGUF's.
std::vector<float> hugging_face_values(const std::string& gguf_name, const std::string& how,
                                       const std::vector<int64_t>& shape) {
  const int64_t rows = shape[0];
  const int64_t columns = shape.size() > 1 ? shape[1] : 1;
  std::vector<float> values(rows * columns);
  const bool permuted = how.starts_with("rows of ");
  const int64_t head_dim = permuted ? rows / std::stoi(how.substr(8)) : rows;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t i = row % head_dim;
    const int64_t adjacent = i < head_dim / 2 ? 2 * i : 2 * (i - head_dim / 2) + 1;
    const int64_t source = permuted ? row - i + adjacent : row;
    for (int64_t column = 0; column < columns; ++column) {
      const float value = tiny_weight(gguf_name, source * columns + column);
      values[row * columns + column] = how == "less one" ? value - 1.0f : value;
    }
  }
  return values;
}

// A golden model's tensors as Hugging Face names and stores them; `gguf` has the shapes.
class HuggingFaceTensors final : public TensorSource {
 public:
  HuggingFaceTensors(const Json& sources, const Gguf& gguf, const std::string& prefix) {
    for (const auto& [name, source] : sources.items()) {
      const std::string gguf_name = source[0];
      const std::vector<int64_t>& shape = gguf.find_tensor(gguf_name)->shape;
      std::vector<float>& values = values_[prefix + name];
      values = hugging_face_values(gguf_name, source[1], shape);
      views_[prefix + name] = {DType::kF32, shape, reinterpret_cast<const uint8_t*>(values.data())};
    }
  }

  const std::string& path() const override { return path_; }
  const TensorView* find_tensor(std::string_view name) const override {
    const auto found = views_.find(std::string(name));
    return found == views_.end() ? nullptr : &found->second;
  }
  std::string_view type_name(std::string_view) const override { return "F32"; }

 private:
  std::string path_ = "tiny";
  std::map<std::string, std::vector<float>> values_;
  std::map<std::string, TensorView> views_;
};

std::vector<float> last_logits(const TensorSource& tensors, const ModelDescriptor& model,
                               const std::vector<int32_t>& tokens) {
  Team team(2);
  const Result<ModelWeights> weights = load_weights(tensors, model, team);
  CHECK(weights.ok(), weights.error().message);
  const KernelTable& kernels = kernel_table(available_isas().back());
  Decoder decoder(model, *weights, kernels, team, {});
  KvPool pool(kv_shape(model, kernels.kv_type), 4);
  const std::vector<int32_t> pages = {0, 1, 2, 3};
  const std::vector<RowGroup> groups = {{static_cast<int>(tokens.size()), 0, pages, nullptr}};
  const auto last = static_cast<int32_t>(tokens.size() - 1);
  decoder.step({tokens, groups, {&last, 1}, nullptr}, pool);
  return {decoder.logits(0), decoder.logits(0) + model.vocab_size};
}

// The same model under Hugging Face's names, alone or as a part of one of text and images.
TEST(HuggingFaceModels, GiveTheLogitsOfTheGguf) {
  const std::vector<int32_t> tokens = family_golden()["token_ids"];
  for (const auto& [name, golden] : family_golden()["models"].items()) {
    SCOPED_TRACE(name);
    const std::vector<uint8_t> bytes = make_tiny_model(tiny_config(golden));
    const Result<Gguf> gguf = Gguf::parse(bytes, "tiny");
    const std::vector<float> expected = last_logits(*gguf, *read_descriptor(*gguf), tokens);
    const ModelDescriptor model = *read_descriptor(golden["config_json"], "config.json");
    for (const char* prefix : {"", "language_model."}) {
      const HuggingFaceTensors tensors(golden["hugging_face"], *gguf, prefix);
      EXPECT_EQ(last_logits(tensors, model, tokens), expected) << prefix;
    }
  }
}

TEST_P(OnEveryIsa, TapGivesTheStatesOfTransformers) {
  const std::vector<int32_t> tokens = tiny_golden()["token_ids"];
  for (const auto& [name, golden] : tiny_golden()["configs"].items()) {
    Harness harness(golden_config(name), GetParam());
    const int64_t d = harness.descriptor().d_model;
    const auto layers = tap_layers(harness.descriptor().num_layers);
    EXPECT_EQ((std::vector<int>(layers.begin(), layers.end())),
              golden["tap_layers"].get<std::vector<int>>());
    std::vector<std::vector<float>> states(4, std::vector<float>(tokens.size() * d));
    const StateTap tap = {.layers = layers,
                          .entering = {states[0].data(), states[1].data(), states[2].data()},
                          .leaving = nullptr,
                          .final_normed = states[3].data()};
    harness.run(tokens, {{static_cast<int>(tokens.size()), 0, harness.pages(), nullptr}}, &tap);
    for (int i = 0; i < 4; ++i) {
      const std::vector<float> expected =
          i < 3 ? golden["taps_at_last_position"][std::to_string(layers[i])]
                : golden["final_normed_at_last_position"];
      for (int64_t j = 0; j < d; ++j) {
        EXPECT_NEAR(states[i][(tokens.size() - 1) * d + j], expected[j], tolerance(GetParam()))
            << name << " tap " << i << " element " << j;
      }
    }
  }
}

TEST_P(OnEveryIsa, ChunkingChangesNoBit) {
  std::vector<DType> dtypes = {DType::kBF16, DType::kQ4_K};
  if (GetParam() != Isa::kGeneric) {
    dtypes.insert(dtypes.end(), {DType::kF32, DType::kF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1,
                                 DType::kIQ4_NL, DType::kQ2_K, DType::kQ6_K});
  }
  for (const DType dtype : dtypes) {
    TinyModelConfig config;
    config.head_dim = 32;
    config.matrix_type = dtype;
    if (traits(dtype).block_elements == 256) {
      config.d_model = config.d_ff = 256;
      config.num_heads = 8;
      config.num_layers = 2;
    }
    Harness harness(config, GetParam());
    const auto tokens = random_tokens(300, config.vocab_size, 7);
    const auto whole = harness.run_chain(tokens, 300);
    for (const size_t chunk : {1u, 17u, 129u}) {
      EXPECT_EQ(harness.run_chain(tokens, chunk), whole)
          << traits(dtype).name << " in chunks of " << chunk;
    }
  }
}

TEST_P(OnEveryKvType, ChunkingChangesNoBit) {
  TinyModelConfig config;
  config.head_dim = 32;
  config.matrix_type = DType::kQ4_0;
  Harness chunked = harness(config);
  const auto tokens = random_tokens(300, config.vocab_size, 7);
  const auto whole = chunked.run_chain(tokens, 300);
  for (const size_t chunk : {1u, 17u, 129u}) {
    EXPECT_EQ(chunked.run_chain(tokens, chunk), whole) << "in chunks of " << chunk;
  }
}

// Windows shorter than the sequence, biases, norms and caps: however a step is cut and dealt.
TEST_P(OnEveryKvType, FamiliesChangeNoBitInChunksTeamsAndBatches) {
  for (const auto& [name, config] : families_to_compare()) {
    const auto tokens = random_tokens(300, config.vocab_size, 7);
    Harness family = harness(config);
    const auto whole = family.run_chain(tokens, 300);
    for (const size_t chunk : {1u, 129u}) {
      ASSERT_EQ(family.run_chain(tokens, chunk), whole) << name << " in chunks of " << chunk;
    }
    ASSERT_EQ(harness(config, /*num_threads=*/3).run_chain(tokens, 300), whole) << name;

    const auto other = random_tokens(40, config.vocab_size, 2);
    const auto expected_other = family.run_chain(other, 40);
    std::vector<int32_t> together(tokens);
    together.insert(together.end(), other.begin(), other.end());
    const std::span<const int32_t> pages = family.pages();
    const auto logits = family.run(
        together, {{300, 0, pages.first(10), nullptr}, {40, 0, pages.subspan(10, 4), nullptr}});
    ASSERT_TRUE(std::equal(whole.begin(), whole.end(), logits.begin())) << name;
    ASSERT_TRUE(std::equal(expected_other.begin(), expected_other.end(), logits.begin() + 300))
        << name;
  }
}

TinyModelConfig windowed_config(int num_layers, int64_t window) {
  TinyModelConfig config = tiny_config(family_golden()["models"]["tiny_mistral"]);
  config.num_layers = num_layers;
  config.context_length = 2048;
  config.keys["attention.sliding_window"] = window;
  return config;
}

// Longer than a run of partitions, so that a window begins in the middle of one.
TEST_P(OnEveryIsa, ChunkingChangesNoBitOfAWindowOverManyPartitions) {
  for (const auto& [window, chunk] : {std::pair(200, 97), {600, 1}}) {
    Harness harness(windowed_config(/*num_layers=*/2, window), GetParam());
    const auto tokens = random_tokens(1200, 320, 9);
    ASSERT_EQ(harness.run_chain(tokens, chunk), harness.run_chain(tokens, 400))
        << window << " in chunks of " << chunk;
  }
}

// One layer that sees 24 positions says the same of them wherever they stand: rotations tell
// distances only.
TEST_P(OnEveryKvType, AWindowHidesWhatIsBeforeIt) {
  Harness windowed = harness(windowed_config(/*num_layers=*/1, 24));
  const auto tokens = random_tokens(600, 320, 10);
  const auto logits = windowed.run_chain(tokens, 512);
  for (const int64_t position : {23, 24, 255, 256, 270, 279, 280, 530, 599}) {
    const std::vector<int32_t> seen(tokens.begin() + position - 23, tokens.begin() + position + 1);
    const auto expected = windowed.run_chain(seen, 24).back();
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(logits[position][i], expected[i], tolerance(type())) << position;
    }
  }
}

// Nothing of a page that lies before the window is read.
TEST_P(OnEveryKvType, PagesBeforeTheWindowMayHoldAnything) {
  Harness windowed = harness(windowed_config(/*num_layers=*/2, 24));
  const ModelDescriptor& d = windowed.descriptor();
  const auto tokens = random_tokens(301, 320, 11);
  const auto expected = windowed.run_chain(tokens, 301).back();
  const auto& pages = windowed.pages();
  KvPool& pool = windowed.pool();
  for (int64_t page = 0; page < (300 - 23) / kPageTokens; ++page) {
    for (int layer = 0; layer < d.num_layers; ++layer) {
      const int64_t bytes = 2 * d.num_kv_heads * page_head_bytes(type(), d.head_dim);
      // NaN, of elements or of scales
      std::fill_n(pool.keys(static_cast<int>(pages[page]), layer, 0), bytes, uint8_t{0xff});
    }
  }
  EXPECT_EQ(windowed.run({tokens.back()}, {{1, 300, pages, nullptr}})[0], expected);
}

TEST_P(OnEveryKvType, TeamSizeChangesNoBit) {
  TinyModelConfig config;
  config.head_dim = 32;
  config.matrix_type = DType::kQ4_1;
  const auto tokens = random_tokens(290, config.vocab_size, 8);
  const auto expected = harness(config, /*num_threads=*/1).run_chain(tokens, 290);
  for (const int threads : {2, 3, 5}) {
    Harness shared = harness(config, threads);
    EXPECT_EQ(shared.run_chain(tokens, 290), expected) << threads << " threads, one step";
    EXPECT_EQ(shared.run_chain(tokens, 1), expected) << threads << " threads, token by token";
  }
}

TEST_P(OnEveryKvType, NeighboursInABatchChangeNoBit) {
  TinyModelConfig config;
  config.head_dim = 32;
  config.matrix_type = DType::kQ4_0;
  const auto first = random_tokens(270, config.vocab_size, 1);
  const auto second = random_tokens(40, config.vocab_size, 2);
  Harness batch = harness(config);
  const auto expected_first = batch.run_chain(first, 270);
  const auto expected_second = batch.run_chain(second, 40);

  const std::span<const int32_t> pages = batch.pages();
  std::vector<int32_t> tokens(first);
  tokens.insert(tokens.end(), second.begin(), second.end());
  const auto together = batch.run(
      tokens, {{270, 0, pages.first(10), nullptr}, {40, 0, pages.subspan(10, 4), nullptr}});
  EXPECT_TRUE(std::equal(expected_first.begin(), expected_first.end(), together.begin()));
  EXPECT_TRUE(std::equal(expected_second.begin(), expected_second.end(), together.begin() + 270));
}

// A tree of drafted tokens: parents, and the rows of each path from a root to a leaf.
struct Tree {
  std::vector<int32_t> parents;
  std::vector<std::vector<int>> paths;
};

// A chain of `depth` rows with, at every `every`-th row, a sibling and a child of that.
Tree branching_tree(int depth, int every) {
  Tree tree;
  std::vector<int> trunk;
  for (int i = 0; i < depth; ++i) {
    const int parent = trunk.empty() ? -1 : trunk.back();
    const auto row = static_cast<int>(tree.parents.size());
    tree.parents.push_back(parent);
    if (i % every == 0) {
      tree.parents.insert(tree.parents.end(), {parent, row + 1});
      std::vector<int> branch(trunk);
      branch.insert(branch.end(), {row + 1, row + 2});
      tree.paths.push_back(branch);
    }
    trunk.push_back(row);
  }
  tree.paths.push_back(trunk);
  return tree;
}

TinyModelConfig tree_config() {
  TinyModelConfig config;
  config.num_layers = 2;
  config.head_dim = 32;
  config.tied_output = false;
  config.matrix_type = DType::kQ8_0;
  return config;
}

// Each path gives the bits of the plain run, a chain beside the tree as well.
void expect_tree_is_plain(Harness& harness, const Tree& tree, int committed) {
  const int64_t vocab_size = harness.descriptor().vocab_size;
  const auto prompt = random_tokens(committed, vocab_size, 3);
  const auto draft = random_tokens(static_cast<int>(tree.parents.size()), vocab_size, 5);
  const auto neighbour = random_tokens(3, vocab_size, 6);
  const auto expected_neighbour = harness.run_chain(neighbour, 3);
  const std::span<const int32_t> pages = harness.pages();
  harness.run_chain(prompt, 512);
  std::vector<std::vector<std::vector<float>>> expected;
  for (const auto& path : tree.paths) {
    std::vector<int32_t> tokens;
    for (const int row : path) tokens.push_back(draft[row]);
    expected.push_back(
        harness.run(tokens, {{static_cast<int>(tokens.size()), committed, pages, nullptr}}));
  }

  std::vector<int32_t> tokens(draft);
  tokens.insert(tokens.end(), neighbour.begin(), neighbour.end());
  const auto together =
      harness.run(tokens, {{static_cast<int>(draft.size()), committed, pages, tree.parents.data()},
                           {3, 0, pages.last(1), nullptr}});
  for (size_t p = 0; p < tree.paths.size(); ++p) {
    for (size_t i = 0; i < tree.paths[p].size(); ++i) {
      ASSERT_EQ(together[tree.paths[p][i]], expected[p][i])
          << committed << " committed, path " << p << ", depth " << i;
    }
  }
  EXPECT_TRUE(std::equal(expected_neighbour.begin(), expected_neighbour.end(), together.end() - 3));
}

// Every place the tree's first row can have in a page, and around the edge of a partition.
TEST_P(OnEveryKvType, TreeRowsGiveTheBitsOfThePlainRun) {
  Harness plain = harness(tree_config());
  //      0          a root chain 0-1-2, a sibling branch 3-4 under 0, a second root 5-6-7
  const Tree tree = {{-1, 0, 1, 0, 3, -1, 5, 6}, {{0, 1, 2}, {0, 3, 4}, {5, 6, 7}}};
  std::vector<int> places;
  for (int i = 0; i <= 34; ++i) places.push_back(i);
  for (int i = 246; i <= 258; ++i) places.push_back(i);
  for (const int committed : as_many_as_are_quick(places)) {
    expect_tree_is_plain(plain, tree, committed);
  }
}

TEST_P(OnEveryKvType, TreeRowsOfFamiliesGiveTheBitsOfThePlainRun) {
  const Tree tree = branching_tree(/*depth=*/5, /*every=*/3);
  for (const auto& [name, config] : families_to_compare()) {
    if (config.keys.value("attention.sliding_window", 0) == 0) continue;
    SCOPED_TRACE(name);
    Harness family = harness(config);
    for (const int committed : {20, 253, 279}) expect_tree_is_plain(family, tree, committed);
  }
}

TEST_P(OnEveryIsa, TreeRowsOfAWindowOverManyPartitionsGiveTheBitsOfThePlainRun) {
  Harness harness(windowed_config(/*num_layers=*/1, 700), GetParam());
  expect_tree_is_plain(harness, branching_tree(/*depth=*/5, /*every=*/3), /*committed=*/1022);
}

// Deeper than a page, so that a path's own positions cross a page's edge, and a partition's.
TEST_P(OnEveryKvType, DeepTreesGiveTheBitsOfThePlainRun) {
  Harness plain = harness(tree_config());
  const Tree tree = branching_tree(/*depth=*/36, /*every=*/7);
  for (const int committed : as_many_as_are_quick({0, 1, 28, 31, 32, 33, 215, 225, 255, 256})) {
    expect_tree_is_plain(plain, tree, committed);
  }
}

// After a path is accepted and its keys and values are moved to their places, the sequence goes on
// as one that was never drafted.
TEST_P(OnEveryKvType, AnAcceptedPathGoesOnAsThePlainRun) {
  Harness plain = harness(tree_config());
  const ModelDescriptor& d = plain.descriptor();
  const Tree tree = branching_tree(/*depth=*/5, /*every=*/2);
  const auto draft = random_tokens(static_cast<int>(tree.parents.size()), d.vocab_size, 5);
  const int32_t next = 17;
  std::vector<int> offsets;
  for (int i = 1; i <= 33; ++i) offsets.push_back(i);
  for (int i = 248; i <= 257; ++i) offsets.push_back(i);
  for (const int committed : as_many_as_are_quick(offsets)) {
    const std::vector<int>& path = tree.paths[committed % tree.paths.size()];
    std::vector<int32_t> tokens = random_tokens(committed, d.vocab_size, 3);
    KvCache cache(kv_shape(d, type()), /*num_pages=*/16);
    KvSequence sequence;
    ASSERT_TRUE(cache.reserve(sequence, committed + static_cast<int64_t>(draft.size())));
    plain.run_in(cache.pool(), tokens, {{committed, 0, sequence.pages, nullptr}});
    cache.commit(sequence, tokens);
    plain.run_in(
        cache.pool(), draft,
        {{static_cast<int>(draft.size()), committed, sequence.pages, tree.parents.data()}});
    std::vector<int64_t> slots;
    for (const int row : path) {
      slots.push_back(committed + row);
      tokens.push_back(draft[row]);
    }
    cache.compact(sequence, committed, slots);
    cache.commit(sequence, tokens);
    const auto position = static_cast<int64_t>(tokens.size());
    ASSERT_TRUE(cache.reserve(sequence, position + 1));
    const auto logits =
        plain.run_in(cache.pool(), {next}, {{1, position, sequence.pages, nullptr}});
    tokens.push_back(next);
    ASSERT_EQ(logits[0], plain.run_chain(tokens, 512).back()) << committed << " committed";
  }
}

TEST_P(OnEveryIsa, SmolLm2GivesTheLogitsOfTransformers) {
  const char* home = std::getenv("FORERUN_HOME");
  const std::string cache = home != nullptr && *home != '\0'
                                ? std::string(home)
                                : std::string(std::getenv("HOME")) + "/.cache/forerun";
  const std::string path = cache + "/models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf";
  Team team(2);
  Result<std::unique_ptr<Model>> model = Model::load(path, team);
  if (!model.ok()) {
    if (std::getenv("CI") != nullptr) FAIL() << model.error().message;
    GTEST_SKIP() << model.error().message << " (forerun pull smollm2-135m)";
  }
  const Result<Json> golden =
      read_json_file(std::string(FORERUN_SOURCE_DIR) + "/tests/golden/smollm2_logits.json");
  ASSERT_TRUE(golden.ok());
  const Json& prompt = (*golden)["prompt"];
  std::vector<int32_t> tokens = prompt["token_ids"];
  if (GetParam() == Isa::kGeneric) tokens.resize(16);  // plain loops take 0.1 s a token
  const ModelDescriptor& d = (*model)->descriptor();
  Decoder decoder(d, (*model)->weights(), kernel_table(GetParam()), team,
                  {.max_rows = 128, .max_logit_rows = 128});
  KvPool pool(kv_shape(d, kernel_table(GetParam()).kv_type), 4);
  const std::vector<int32_t> pages = {0, 1, 2, 3};
  std::vector<int32_t> rows(tokens.size());
  std::iota(rows.begin(), rows.end(), 0);
  const std::vector<RowGroup> groups = {{static_cast<int>(tokens.size()), 0, pages, nullptr}};
  decoder.step({tokens, groups, rows, nullptr}, pool);
  double total = 0.0;
  int count = 0;
  float largest = 0.0f;
  for (const auto& [position, values] : prompt["positions"].items()) {
    if (std::stoul(position) >= tokens.size()) continue;
    const float* logits = decoder.logits(std::stol(position));
    for (const Json& pair : values["largest"]) {
      const float difference = std::fabs(logits[pair[0].get<int>()] - pair[1].get<float>());
      largest = std::max(largest, difference);
      total += difference;
      ++count;
    }
    // The best token is theirs, or one they hold as good within the rounding.
    const auto best = std::max_element(logits, logits + d.vocab_size) - logits;
    const auto is_best = [&](const Json& pair) { return pair[0] == best; };
    const Json& theirs = values["largest"];
    const auto found = std::find_if(theirs.begin(), theirs.end(), is_best);
    ASSERT_NE(found, theirs.end()) << "position " << position;
    EXPECT_GT((*found)[1].get<float>(), theirs[0][1].get<float>() - 0.5f)
        << "position " << position;
  }
  RecordProperty("max_difference", std::to_string(largest));
  // Activations are quantised to 8 bits here and not there.
  EXPECT_LT(largest, 1.5f);
  EXPECT_LT(total / count, 0.3);
  RecordProperty("mean_difference", std::to_string(total / count));
}

}  // namespace
}  // namespace forerun
