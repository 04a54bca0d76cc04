#include "models/eagle3_head.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "base/check.h"
#include "base/pacer.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"
#include "models/decoder.h"
#include "models/tiny_head.h"
#include "models/tiny_model.h"

namespace forerun {
namespace {

const Json& golden() {
  static const Json document = *read_json_file(FORERUN_SOURCE_DIR "/tests/golden/tiny_eagle3.json");
  return document;
}

// A target of the golden file's vocabulary.
class Target {
 public:
  explicit Target(int64_t d_model = 64) : team(2) {
    TinyModelConfig config;
    config.d_model = d_model;
    bytes = make_tiny_model(config);
    model = std::move(*Model::load(std::move(*Gguf::parse(bytes, "tiny")), team));
  }
  Team team;
  std::vector<uint8_t> bytes;
  std::unique_ptr<Model> model;
};

std::vector<float> weights_of(const std::string& name, int64_t count) {
  std::vector<float> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = tiny_head_weight(name, i);
  return values;
}

// The golden file's head as a checkpoint's folder.
class HeadFolder {
 public:
  explicit HeadFolder(const Json& changes = Json::object()) : config(tiny_head_config()) {
    config.update(golden()["config"]);
    config.update(changes);
    tensors = make_tiny_head(config);
  }

  void add_embedding() {
    const auto d = config["hidden_size"].get<int64_t>();
    tensors.add_f32_tensor("embed_tokens.weight", {320, d},
                           weights_of("embed_tokens.weight", 320 * d));
  }
  Result<Eagle3Checkpoint> open() {
    CHECK(tensors.write(folder.file("model.safetensors")).ok(), "a folder of the test's own");
    folder.write("config.json", config.dump());
    return Eagle3Checkpoint::open(folder.path());
  }
  std::string fault(const Target& target) {
    Team team(1);
    const auto head = Eagle3Head::load(*open(), *target.model, team);
    return head.ok() ? "" : head.error().message.substr(folder.path().size());
  }

  TemporaryFolder folder;
  Json config;
  SafetensorsWriter tensors;
};

// Runs a head over the golden file's rows.
class HeadRun {
 public:
  HeadRun(const Eagle3Head& head, Isa isa, Team& team)
      : head_(head),
        decoder_(head.descriptor(), head.weights(), kernel_table(isa), team,
                 {.max_rows = 64, .max_logit_rows = 64}),
        pool_(kv_shape(head.descriptor(), KvType::kF16), /*num_pages=*/4) {}

  // Logits of the last of `count` rows from `slot` on, whose states come or are projected.
  std::vector<float> run(int64_t slot, int64_t count, const float* inputs, const float* states) {
    const auto all = golden()["token_ids"].get<std::vector<int32_t>>();
    const std::vector<int32_t> tokens(all.begin() + slot, all.begin() + slot + count);
    const RowGroup group{static_cast<int>(count), slot, pages_, nullptr};
    const std::vector<int32_t> logit_rows = {static_cast<int32_t>(count - 1)};
    std::vector<float> leaving(count * head_.descriptor().d_model);
    StateTap tap;
    tap.leaving = leaving.data();
    StepInput input{tokens, {&group, 1}, logit_rows, &tap};
    input.state_inputs = inputs;
    input.states = states;
    decoder_.step(input, pool_);
    output.assign(leaving.end() - head_.descriptor().d_model, leaving.end());
    return {decoder_.logits(0), decoder_.logits(0) + head_.descriptor().vocab_size};
  }

  std::vector<float> output;

 private:
  const Eagle3Head& head_;
  Decoder decoder_;
  KvPool pool_;
  std::vector<int32_t> pages_ = {2, 0, 3, 1};
};

void expect_near(const std::vector<float>& found, const Json& expected, double tolerance,
                 const std::string& what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  double largest = 0.0;
  for (size_t i = 0; i < found.size(); ++i) {
    largest = std::max(largest, std::abs(found[i] - expected[i].get<double>()));
  }
  EXPECT_LT(largest, tolerance) << what;
}

class Golden : public testing::TestWithParam<Isa> {
 protected:
  void check(const std::string& name, Eagle3Head::Precision precision, double tolerance) {
    const Json& variant = golden()["variants"][name];
    const int64_t target_size = variant["config"].value("target_hidden_size", 64);
    Target target(target_size);
    HeadFolder folder(variant["config"]);
    folder.add_embedding();
    const auto head = Eagle3Head::load(*folder.open(), *target.model, target.team, precision);
    ASSERT_TRUE(head.ok()) << head.error().message;
    HeadRun run(**head, GetParam(), target.team);
    const auto known = golden()["known"].get<int64_t>();
    const std::vector<float> states = weights_of("states", known * 3 * target_size);
    std::vector<float> logits = run.run(0, known, states.data(), nullptr);
    const auto rows = golden()["token_ids"].size();
    for (size_t row = known - 1;; ++row) {
      expect_near(logits, variant["logits"][std::to_string(row)], tolerance,
                  name + ", row " + std::to_string(row));
      if (row + 1 == rows) break;
      const std::vector<float> state = run.output;
      logits = run.run(static_cast<int64_t>(row) + 1, 1, nullptr, state.data());
    }
    expect_near(run.output, variant["last_output"], tolerance, name + ", output");
  }
};
INSTANTIATE_TEST_SUITE_P(Isa, Golden, testing::ValuesIn(available_isas()),
                         [](const auto& info) { return std::string(isa_name(info.param)); });

TEST_P(Golden, ComputesWhatPyTorchDoes) {
  for (const char* name : {"plain", "normed_residual", "wider_target"}) {
    check(name, Eagle3Head::Precision::kStored, 2e-3);
    check(name, Eagle3Head::Precision::kInt8, 4e-2);
  }
}

TEST(Eagle3Head, TakesWhatItLacksFromItsTarget) {
  Target target;
  HeadFolder folder;
  const auto head = Eagle3Head::load(*folder.open(), *target.model, target.team);
  ASSERT_TRUE(head.ok()) << head.error().message;
  EXPECT_EQ((*head)->weights().embedding.data, target.model->weights().embedding.data);
  EXPECT_EQ((*head)->state_layers(), tap_layers(5));
  EXPECT_EQ((*head)->token_of().size(), 96u);
  EXPECT_EQ((*head)->weights().output.dtype(), DType::kQ8_0);
}

TEST(Eagle3Head, SaysWhatDoesNotFitTheTarget) {
  const Target target;
  const auto fault = [&](const Json& changes) { return HeadFolder(changes).fault(target); };
  EXPECT_EQ(fault({{"vocab_size", 1000}}), "/config.json: vocab_size is 1000; the target's is 320");
  EXPECT_EQ(fault({{"target_hidden_size", 96}}),
            "/config.json: the hidden size of the target is 96; the target's is 64");
  EXPECT_EQ(fault({{"eagle_config", {{"eagle_aux_hidden_state_layer_ids", {1, 2, 4}}}}}),
            "/config.json: eagle_aux_hidden_state_layer_ids name the input of layer 5; the target "
            "has layers 0 to 4");
  EXPECT_EQ(HeadFolder(Json({{"target_hidden_size", 96}})).fault(Target(96)),
            "/config.json: hidden_size is 64, not the target's, and the head has no embedding of "
            "its own");
  HeadFolder narrower;
  narrower.config["intermediate_size"] = 128;
  EXPECT_EQ(narrower.fault(target),
            ": model.layers.0.mlp.gate_proj.weight has shape [160, 64]; llama needs [128, 64]");
}

TEST(Eagle3Head, RefusesWhatIsNotFinite) {
  Target target;
  HeadFolder folder;
  ASSERT_TRUE(folder.open().ok());
  const std::string path = folder.folder.file("model.safetensors");
  const auto place = Safetensors::open(path)->find("fc.weight")->offset_bytes + 33 * sizeof(float);
  for (const uint32_t bits : {0x7FC00000u, 0xFF800000u}) {  // not a number, minus infinity
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(place));
    file.write(reinterpret_cast<const char*>(&bits), sizeof(bits));
    file.close();
    const auto head = Eagle3Head::load(folder.folder.path(), *target.model, target.team);
    ASSERT_FALSE(head.ok());
    EXPECT_NE(head.error().message.find("'fc.weight' holds a value that is not finite"),
              std::string::npos)
        << head.error().message;
  }
}

// Every byte that a step reads.
void expect_same_weights(const ModelWeights& found, const ModelWeights& expected) {
  const auto bytes = [](const ModelWeights& weights) {
    return std::vector<uint8_t>(weights.matrix_memory.data(),
                                weights.matrix_memory.data() + weights.packed_bytes);
  };
  EXPECT_EQ(bytes(found), bytes(expected));
  EXPECT_EQ(found.output_norm, expected.output_norm);
  EXPECT_EQ(found.layers[0].attention_norm, expected.layers[0].attention_norm);
  EXPECT_EQ(found.layers[0].token_norm, expected.layers[0].token_norm);
  EXPECT_EQ(found.layers[0].ffn_norm, expected.layers[0].ffn_norm);
  EXPECT_EQ(found.fingerprint, expected.fingerprint);
}

// A pause wherever there may be one: at least at every row that is made int8 and packed.
TEST(Eagle3Head, LoadedInPiecesItIsTheSame) {
  Target target;
  HeadFolder folder;
  Team team(1);
  const auto at_once = Eagle3Head::load(*folder.open(), *target.model, team);
  ASSERT_TRUE(at_once.ok()) << at_once.error().message;
  int pauses = 0;
  double now = 0.0;
  const Pacer pacer([] { return true; }, {.now = [&] { return now += 1.0; },
                                          .used = [&] { return now; },
                                          .sleep = [&](double) { ++pauses; }});
  const auto paced = Eagle3Head::load(*folder.open(), *target.model, team);
  ASSERT_TRUE(paced.ok()) << paced.error().message;
  expect_same_weights((*paced)->weights(), (*at_once)->weights());
  int64_t rows = (*paced)->weights().state_projection.rows() + (*paced)->weights().output.rows();
  for (const PackedMatrix* matrix :
       {&(*paced)->weights().layers[0].q, &(*paced)->weights().layers[0].k,
        &(*paced)->weights().layers[0].v, &(*paced)->weights().layers[0].attention_output,
        &(*paced)->weights().layers[0].gate, &(*paced)->weights().layers[0].up,
        &(*paced)->weights().layers[0].down}) {
    rows += matrix->rows();
  }
  EXPECT_GE(pauses, 2 * rows);
}

}  // namespace
}  // namespace forerun
