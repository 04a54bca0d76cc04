// Writes the seeds that are no text: write_seeds FOLDER

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "formats/gguf_writer.h"
#include "formats/safetensors_writer.h"
#include "text/text_fixture.h"

namespace forerun {
namespace {

using Bytes = std::vector<uint8_t>;

// One value of every kind and one tensor of every supported type.
GgufWriter full_file(uint32_t version) {
  GgufWriter writer(version);
  writer.add_string("general.architecture", "llama");
  writer.set_alignment(64);
  writer.add_bool("flag", true);
  writer.add_i32("negative", -3);
  writer.add_u64("wide", uint64_t{1} << 40);
  writer.add_f32("epsilon", 1e-5f);
  writer.add_strings("tokenizer.ggml.tokens", std::vector<std::string>{"<s>", "", "té"});
  writer.add_i32s("tokenizer.ggml.token_type", std::vector<int32_t>{3, 1, 6});
  writer.add_f32s("tokenizer.ggml.scores", std::vector<float>{0, -1, -2});
  for (const DType dtype : kEveryDType) {
    const int64_t columns = traits(dtype).block_elements;
    writer.add_tensor("blk.0." + std::string(traits(dtype).name), dtype, {2, columns},
                      Bytes(2 * traits(dtype).block_bytes, 0x35));
  }
  return writer;
}

// A list of choices, for gguf_fuzz `num_tensors` tensors and `num_entries` entries of mixed kinds.
Bytes choices(uint8_t first, uint8_t num_tensors, uint8_t num_entries) {
  Bytes bytes = {first, 1, 0, num_tensors, num_entries, 0, 0};
  for (int i = 0; i < 160; ++i) bytes.push_back(static_cast<uint8_t>((i * 37 + first * 11) % 240));
  return bytes;
}

Bytes gguf_of(const TokenizerSpec& spec) {
  GgufWriter writer;
  writer.add_string("tokenizer.ggml.model", spec.model);
  writer.add_string("tokenizer.ggml.pre", spec.pre);
  writer.add_strings("tokenizer.ggml.tokens", spec.tokens);
  writer.add_i32s("tokenizer.ggml.token_type", spec.token_types);
  if (!spec.merges.empty()) writer.add_strings("tokenizer.ggml.merges", spec.merges);
  if (!spec.scores.empty()) writer.add_f32s("tokenizer.ggml.scores", spec.scores);
  writer.add_u32("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(spec.bos_id));
  writer.add_u32("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(spec.eos_id));
  return writer.encode();
}

void write(const std::filesystem::path& path, const Bytes& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

void write_gguf_seeds(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  write(folder / "full_v2", full_file(2).encode());
  write(folder / "full_v3", full_file(3).encode());
  write(folder / "empty", GgufWriter().encode());
  for (uint8_t first = 0; first < 16; ++first) {
    write(folder / ("choices_" + std::to_string(first)),
          choices(first, first % 6, static_cast<uint8_t>(first % 8)));
  }
}

void write_safetensors_seeds(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  SafetensorsWriter writer;
  writer.add_f32_tensor("f", {2}, std::vector<float>{1, 2});
  writer.add_tensor("h", DType::kBF16, {1, 3}, Bytes(6, 0x35));
  Bytes whole = {'R'};
  const Bytes file = writer.encode();
  whole.insert(whole.end(), file.begin(), file.end());
  write(folder / "whole", whole);
  for (uint8_t first = 0; first < 16; ++first) {
    Bytes bytes = {first};
    for (int i = 0; i < 80; ++i) bytes.push_back(static_cast<uint8_t>((i * 37 + first * 11) % 240));
    write(folder / ("choices_" + std::to_string(first)), bytes);
  }
}

void write_eagle3_seeds(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const std::string common = R"("hidden_size":2,"vocab_size":9,"num_hidden_layers":1)";
  const std::vector<std::string> configs = {
      "{" + common + R"(,"draft_vocab_size":3,"norm_before_residual":false})",
      "{" + common +
          R"(,"draft_vocab_size":3,"eagle_config":)"
          R"({"eagle_aux_hidden_state_layer_ids":[1,4,8]},"target_hidden_size":4})",
      R"({"speculators_model_type":"eagle3","transformer_layer_config":{)" + common +
          R"(},"draft_vocab_size":3,"norm_output":false})"};
  for (size_t i = 0; i < configs.size(); ++i) {
    SafetensorsWriter writer;
    const std::string layer = i == 0 ? "midlayer." : "layers.0.";
    writer.add_f32_tensor("fc.weight", {2}, std::vector<float>{1, 2});
    writer.add_f32_tensor(layer + "self_attn.q_proj.weight", {1, 2}, std::vector<float>{1, 2});
    writer.add_int64_tensor("d2t", std::vector<int64_t>{0, 2, 6});
    Bytes bytes(configs[i].begin(), configs[i].end());
    bytes.push_back(0);
    const Bytes file = writer.encode();
    bytes.insert(bytes.end(), file.begin(), file.end());
    write(folder / ("head_" + std::to_string(i)), bytes);
  }
}

void write_tokenizer_seeds(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  write(folder / "byte_level.gguf", gguf_of(byte_level_fixture()));
  write(folder / "sentence_piece.gguf", gguf_of(sentence_piece_fixture()));
  for (uint8_t first = 0; first < 16; ++first) {
    write(folder / ("choices_" + std::to_string(first)), choices(first, first % 8, 23));
  }
}

}  // namespace
}  // namespace forerun

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_seeds FOLDER\n");
    return 2;
  }
  forerun::write_gguf_seeds(std::filesystem::path(argv[1]) / "gguf");
  forerun::write_safetensors_seeds(std::filesystem::path(argv[1]) / "safetensors");
  forerun::write_eagle3_seeds(std::filesystem::path(argv[1]) / "eagle3");
  forerun::write_tokenizer_seeds(std::filesystem::path(argv[1]) / "tokenizer");
  return 0;
}
