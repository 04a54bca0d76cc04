#include "models/weights.h"

#include <gtest/gtest.h>

#include <string>

#include "base/parallel.h"
#include "formats/dequantize.h"
#include "formats/gguf_writer.h"
#include "models/model.h"
#include "models/tiny_model.h"
#include "tensor/quant_block.h"

namespace forerun {
namespace {

TinyModelConfig two_layers(DType matrix_type = DType::kF32) {
  TinyModelConfig config;
  config.num_layers = 2;
  config.matrix_type = matrix_type;
  return config;
}

// The tiny model's file with one tensor left out, or written otherwise.
class ChangedFile {
 public:
  explicit ChangedFile(std::string tensor) : tensor_(std::move(tensor)) {}

  std::vector<uint8_t> without() const {
    return copy([](GgufWriter&, const GgufTensor&) {});
  }

  std::vector<uint8_t> with(DType dtype, std::vector<int64_t> shape) const {
    return copy([&](GgufWriter& writer, const GgufTensor& tensor) {
      const int64_t elements = TensorView{dtype, shape, nullptr}.num_elements();
      writer.add_tensor(tensor.name, dtype, shape,
                        std::vector<uint8_t>(row_bytes(dtype, elements)));
    });
  }

 private:
  template <typename Write>
  std::vector<uint8_t> copy(Write write) const {
    const std::vector<uint8_t> bytes = make_tiny_model(two_layers());
    const Result<Gguf> file = Gguf::parse(bytes, "tiny");
    CHECK(file.ok(), file.error().message);
    GgufWriter writer;
    for (const GgufEntry& entry : file->entries()) writer.add_value(entry.key, entry.value);
    for (const GgufTensor& tensor : file->tensors()) {
      const TensorView& view = tensor.view;
      if (tensor.name == tensor_) {
        write(writer, tensor);
      } else {
        writer.add_tensor(tensor.name, view.dtype, view.shape,
                          {view.data, view.data + view.num_bytes()});
      }
    }
    return writer.encode();
  }

  std::string tensor_;
};

std::string error_of(const std::vector<uint8_t>& bytes) {
  Team team(1);
  Result<Gguf> file = Gguf::parse(bytes, "tiny.gguf");
  if (!file.ok()) return file.error().message;
  const Result<std::unique_ptr<Model>> model = Model::load(std::move(*file), team);
  return model.ok() ? "" : model.error().message;
}

TEST(LoadWeights, PacksAllMatricesIntoOnePieceOfMemoryInTheOrderTheyAreRead) {
  Team team(2);
  const std::vector<uint8_t> bytes = make_tiny_model(two_layers(DType::kQ4_0));
  Result<Gguf> file = Gguf::parse(bytes, "tiny.gguf");
  ASSERT_TRUE(file.ok()) << file.error().message;
  const Result<std::unique_ptr<Model>> model = Model::load(std::move(*file), team);
  ASSERT_TRUE(model.ok()) << model.error().message;
  const ModelWeights& weights = (*model)->weights();
  std::vector<const PackedMatrix*> matrices;
  for (const LayerWeights& w : weights.layers) {
    for (const auto* m : {&w.q, &w.k, &w.v, &w.attention_output, &w.gate, &w.up, &w.down}) {
      matrices.push_back(m);
    }
  }
  matrices.push_back(&weights.output);
  const uint8_t* end = weights.matrix_memory.data();
  for (const PackedMatrix* matrix : matrices) {
    EXPECT_GE(matrix->panel(0), end);
    EXPECT_LT(matrix->panel(0), end + 64);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(matrix->panel(0)) % 64, 0u);
    end = matrix->panel(matrix->panels());
  }
  EXPECT_LE(end, weights.matrix_memory.data() + weights.matrix_memory.size_bytes());
  EXPECT_EQ(weights.packed_bytes, static_cast<int64_t>(weights.matrix_memory.size_bytes()));
}

// The same weights under other numbers answer otherwise: "same tokens" is promised per fingerprint.
TEST(LoadWeights, FingerprintTellsDescriptorsApart) {
  const std::vector<uint8_t> bytes = make_tiny_model(two_layers());
  const Result<Gguf> file = Gguf::parse(bytes, "tiny");
  ASSERT_TRUE(file.ok());
  const ModelDescriptor plain = *read_descriptor(*file);
  Team team(1);
  const uint64_t expected = load_weights(*file, plain, team)->fingerprint;
  EXPECT_EQ(load_weights(*file, plain, team)->fingerprint, expected);
  const auto changed = [&](auto change) {
    ModelDescriptor model = plain;
    change(model);
    return load_weights(*file, model, team)->fingerprint;
  };
  EXPECT_NE(changed([](ModelDescriptor& model) { model.rms_epsilon *= 2.0f; }), expected);
  EXPECT_NE(changed([](ModelDescriptor& model) { model.windows.assign(2, 8); }), expected);
  EXPECT_NE(changed([](ModelDescriptor& model) { model.rotary.inverse_frequencies[1] *= 0.5f; }),
            expected);
}

TEST(LoadWeights, NamesAMissingTensor) {
  EXPECT_EQ(error_of(make_tiny_model(two_layers())), "");
  for (const char* name : {"token_embd.weight", "blk.1.ffn_up.weight", "blk.0.attn_norm.weight",
                           "output_norm.weight"}) {
    EXPECT_EQ(error_of(ChangedFile(name).without()),
              std::string("tiny.gguf: tensor '") + name +
                  "' is missing; fetch or convert the file again");
  }
}

TEST(LoadWeights, NamesAWrongShape) {
  EXPECT_EQ(error_of(ChangedFile("blk.1.ffn_up.weight").with(DType::kF32, {96, 64})),
            "tiny.gguf: blk.1.ffn_up.weight has shape [96, 64]; llama needs [160, 64]");
  EXPECT_EQ(error_of(ChangedFile("output_norm.weight").with(DType::kF32, {32})),
            "tiny.gguf: output_norm.weight has shape [32]; llama needs [64]");
}

TEST(TinyModel, RoundsItsWeightsToEveryQuantisedType) {
  for (const QuantTraits& type : kQuantTraits) {
    TinyModelConfig config = two_layers(type.dtype);
    config.d_model = config.d_ff = 256;
    config.num_heads = 16;
    const std::vector<uint8_t> bytes = make_tiny_model(config);
    const Result<Gguf> file = Gguf::parse(bytes, "tiny.gguf");
    ASSERT_TRUE(file.ok()) << file.error().message;
    const TensorView view = *file->get_tensor("token_embd.weight");
    std::vector<float> row(config.d_model);
    dequantize_row(view.dtype, view.data, config.d_model, row.data());
    // Weights lie in −1 … 1. A step is 2 over the number of levels; the codebook's widest is
    // larger, and sub-scales round as well.
    const float step = type.has_codebook ? 0.2f : 2.2f / static_cast<float>(type.largest_number());
    for (int64_t i = 0; i < config.d_model; ++i) {
      ASSERT_NEAR(row[i], tiny_weight("token_embd.weight", i), step * 0.9f)
          << traits(type.dtype).name << " element " << i;
    }
  }
}

}  // namespace
}  // namespace forerun
