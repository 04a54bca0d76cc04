#include "head_files.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <memory>
#include <vector>

#include "base/json.h"
#include "formats/gguf.h"
#include "models/decoder.h"
#include "models/eagle3_head.h"
#include "models/tiny_model.h"
#include "online/target_files.h"
#include "trainer_fixture.h"
#include "unroll.h"

namespace forerun {
namespace {

// A target that the engine has loaded, and its folder of traces.
class EngineTarget {
 public:
  EngineTarget() {
    TinyModelConfig config;
    config.matrix_type = DType::kBF16;  // as its embedding is recorded
    bytes_ = make_tiny_model(config);
    model = std::move(*Model::load(std::move(*Gguf::parse(bytes_, "tiny")), team));
    CHECK(write_target(folder.path(), *model).ok(), "a folder of the test's own");
    target = *read_target(folder.path());
  }

  TemporaryFolder folder;
  Team team{1};
  std::unique_ptr<Model> model;
  LearningTarget target;

 private:
  std::vector<uint8_t> bytes_;
};

DraftVocabulary every_third(int64_t vocab_size) {
  std::vector<int32_t> tokens;
  for (int32_t token = 1; token < vocab_size; token += 3) tokens.push_back(token);
  return {std::move(tokens), vocab_size};
}

Head make_head_of(const LearningTarget& target, const DraftVocabulary& vocabulary) {
  HeadSizes sizes = target.sizes;
  sizes.draft_vocab_size = vocabulary.size();
  return make_tiny_trainer_head(sizes);
}

// What the engine computes of a head: the logits of the last of `tokens`, and its output.
class EngineRun {
 public:
  explicit EngineRun(const Eagle3Head& head, Team& team)
      : width_(head.descriptor().d_model),
        decoder_(head.descriptor(), head.weights(), kernel_table(Isa::kGeneric), team,
                 {.max_rows = 64, .max_logit_rows = 64}),
        pool_(kv_shape(head.descriptor(), KvType::kF16), /*num_pages=*/2) {}

  at::Tensor run(int64_t slot, const std::vector<int32_t>& tokens, const at::Tensor* inputs,
                 const at::Tensor* states) {
    const auto count = std::ssize(tokens);
    const RowGroup group{static_cast<int>(count), slot, pages_, nullptr};
    const std::vector<int32_t> logit_rows = {static_cast<int32_t>(count - 1)};
    at::Tensor leaving = at::empty({count, width_});
    StateTap tap;
    tap.leaving = leaving.data_ptr<float>();
    StepInput input{tokens, {&group, 1}, logit_rows, &tap};
    if (inputs != nullptr) input.state_inputs = inputs->data_ptr<float>();
    if (states != nullptr) input.states = states->data_ptr<float>();
    decoder_.step(input, pool_);
    output = leaving[-1].clone();
    const int64_t vocab_size = decoder_.model().vocab_size;
    return at::from_blob(const_cast<float*>(decoder_.logits(0)), {vocab_size}).clone();
  }

  at::Tensor output;

 private:
  int64_t width_;
  Decoder decoder_;
  KvPool pool_;
  std::vector<int32_t> pages_ = {1, 0};
};

TEST(HeadFiles, AreWhatTheEngineComputes) {
  constexpr int64_t kSlots = 20;
  constexpr int kSteps = 3;
  EngineTarget of;
  const DraftVocabulary vocabulary = every_third(of.target.vocab_size);
  const std::string folder = of.folder.file("head");
  const Status published =
      publish_head(folder, make_head_of(of.target, vocabulary), vocabulary, of.target);
  ASSERT_TRUE(published.ok()) << published.error().message;

  Result<Eagle3Checkpoint> checkpoint = Eagle3Checkpoint::open(folder);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->token_of(), vocabulary.token_of());
  EXPECT_FALSE(checkpoint->config().state_layers.has_value());
  EXPECT_EQ(checkpoint->type_name("fc.weight"), "BF16");
  const auto engine_head =
      Eagle3Head::load(*std::move(checkpoint), *of.model, of.team, Eagle3Head::Precision::kStored);
  ASSERT_TRUE(engine_head.ok()) << engine_head.error().message;
  const Result<StoredHead> stored = load_head(folder, of.target);
  ASSERT_TRUE(stored.ok()) << stored.error().message;
  EXPECT_EQ(stored->vocabulary.token_of(), vocabulary.token_of());

  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < kSlots + kSteps - 1; ++i) tokens.push_back((37 * i + 5) % 320);
  const at::Tensor states = tiny_tensor("states", {kSlots, 3 * of.target.sizes.d_model});
  const at::Tensor embeddings =
      of.target.embedding.index_select(0, at::tensor(tokens, at::kInt)).to(at::kFloat);
  const std::vector<StepOutputs> outputs =
      unroll(stored->head, embeddings.unsqueeze(0), states.unsqueeze(0), kSlots - 1, kSteps);
  EngineRun run(**engine_head, of.team);
  at::Tensor logits =
      run.run(0, {tokens.begin(), tokens.begin() + kSlots}, &states, /*states=*/nullptr);
  for (int step = 0; step < kSteps; ++step) {
    if (step > 0) {
      const at::Tensor state = run.output;
      logits = run.run(kSlots - 1 + step, {tokens[kSlots - 1 + step]}, /*inputs=*/nullptr, &state);
    }
    const at::Tensor expected = head_logits(stored->head, outputs[step].bases[0])[0];
    EXPECT_LT((logits - expected).abs().max().item<float>(), 2e-3) << "step " << step;
    EXPECT_GT(expected.abs().max().item<float>(), 0.5);
  }
}

TEST(HeadFiles, TakeThePlaceOfThoseBefore) {
  const TraceFolder traces;
  const LearningTarget target = traces.target();
  const DraftVocabulary vocabulary = every_third(target.vocab_size);
  Head head = make_head_of(target, vocabulary);
  const std::string folder = traces.file("head");
  ASSERT_TRUE(publish_head(folder, head, vocabulary, target).ok());
  // What a killed run left.
  std::filesystem::create_directories(folder + ".partial/leftover");
  head.fc = 2 * head.fc;
  ASSERT_TRUE(publish_head(folder, head, vocabulary, target).ok());
  EXPECT_TRUE(load_head(folder, target)->head.fc.equal(head.fc.to(at::kBFloat16).to(at::kFloat)));
  EXPECT_FALSE(std::filesystem::exists(folder + ".partial"));

  head.fc[1][2] = std::numeric_limits<float>::quiet_NaN();
  const Status status = publish_head(folder, head, vocabulary, target);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message, "fc.weight has values that are not finite; it is not written");
  EXPECT_TRUE(load_head(folder, target).ok());
}

TEST(HeadFiles, NameLayersThatAreNotTheUsualOnes) {
  const TraceFolder traces;
  Json description = *read_json_file(traces.file("target.json"));
  description["state_layers"] = {0, 2, 3};
  description["eos_ids"] = {2, 7};
  traces.write("target.json", description.dump());
  const LearningTarget target = traces.target();
  const DraftVocabulary vocabulary = every_third(target.vocab_size);
  const std::string folder = traces.file("head");
  ASSERT_TRUE(publish_head(folder, make_head_of(target, vocabulary), vocabulary, target).ok());
  const Result<Eagle3Checkpoint> checkpoint = Eagle3Checkpoint::open(folder);
  EXPECT_EQ(checkpoint->config().state_layers, (std::array{0, 2, 3}));
  const Json config = *read_json_file(folder + "/config.json");
  EXPECT_EQ(config["eos_token_id"], Json({2, 7}));
  EXPECT_EQ(config["max_position_embeddings"], 256);
}

TEST(HeadFiles, SayWhatDoesNotFitTheTarget) {
  const TraceFolder traces;
  const LearningTarget target = traces.target();
  const DraftVocabulary vocabulary = every_third(target.vocab_size);
  const std::string folder = traces.file("head");
  ASSERT_TRUE(publish_head(folder, make_head_of(target, vocabulary), vocabulary, target).ok());
  const Json good = *read_json_file(folder + "/config.json");
  const auto fault = [&](const Json& changes) {
    Json changed = good;
    changed.update(changes);
    traces.write("head/config.json", changed.dump());
    const Result<StoredHead> stored = load_head(folder, target);
    return stored.ok() ? "" : stored.error().message.substr(folder.size());
  };
  EXPECT_EQ(fault(Json::object()), "");
  EXPECT_EQ(fault({{"norm_before_residual", true}}),
            "/config.json: norm_before_residual is true; such heads are not trained here");
  EXPECT_EQ(fault({{"vocab_size", 49}}), "/config.json: vocab_size is 49; the target's is 48");
  EXPECT_EQ(fault({{"rope_theta", 5.0}}), "/config.json: rope_theta is not the one of target.json");
  EXPECT_EQ(fault({{"eagle_config", {{"eagle_aux_hidden_state_layer_ids", {0, 2, 3}}}}}),
            "/config.json: the head reads other layers of the target than were recorded");
  traces.write("head/model.safetensors", "no tensors");
  EXPECT_NE(fault(Json::object()), "");
}

}  // namespace
}  // namespace forerun
