#include "online/target_files.h"

#include <filesystem>
#include <vector>

#include "base/hex.h"
#include "base/json.h"
#include "formats/dequantize.h"
#include "formats/safetensors_writer.h"
#include "formats/small_json_file.h"
#include "formats/whole_file.h"
#include "models/decoder.h"
#include "tensor/float16.h"

namespace forerun {
namespace {

constexpr uint64_t kMostJsonBytes = 1 << 16;
// Of heads: they see a window of positions, whatever the target was stretched to.
constexpr double kHeadTheta = 10000.0;

Json describe(const Model& target) {
  const ModelDescriptor& model = target.descriptor();
  return {{"name", model.name},
          {"fingerprint", hex(target.weights().fingerprint)},
          {"vocab_size", model.vocab_size},
          {"d_model", model.d_model},
          {"num_layers", model.num_layers},
          {"state_layers", tap_layers(model.num_layers)},
          {"num_heads", model.num_heads},
          {"num_kv_heads", model.num_kv_heads},
          {"head_dim", model.head_dim},
          {"d_ff", model.d_ff},
          {"rms_norm_eps", model.rms_epsilon},
          {"rope_theta", kHeadTheta},
          {"context_length", model.context_length}};
}

void add_matrix(SafetensorsWriter& writer, const char* name, const TensorView& stored) {
  const int64_t rows = stored.shape[0];
  const int64_t columns = stored.shape[1];
  const int64_t stored_row = row_bytes(stored.dtype, columns);
  std::vector<float> values(static_cast<size_t>(columns));
  std::vector<uint16_t> rounded(static_cast<size_t>(rows * columns));
  auto out = rounded.begin();
  for (int64_t row = 0; row < rows; ++row) {
    dequantize_row(stored.dtype, stored.data + row * stored_row, columns, values.data());
    for (const float value : values) *out++ = f32_to_bf16(value);
  }
  writer.add_tensor(
      name, DType::kBF16, {rows, columns},
      {reinterpret_cast<const uint8_t*>(rounded.data()), rounded.size() * sizeof(uint16_t)});
}

std::string path_of(const std::string& folder) {
  return folder + "/target.json";
}

}  // namespace

Status check_target(const std::string& folder, const Model& target) {
  const std::string path = path_of(folder);
  if (!std::filesystem::exists(path)) {
    return Error{folder + " holds no traces: there is no " + path};
  }
  const Result<Json> there = read_json_object(path, kMostJsonBytes);
  if (!there.ok()) return there.error();
  const auto fingerprint = there->find("fingerprint");
  if (fingerprint != there->end() && *fingerprint == hex(target.weights().fingerprint)) return {};
  return Error{path + " is of another model's weights: a folder is of one model"};
}

Status write_target(const std::string& folder, const Model& target) {
  const std::string path = path_of(folder);
  if (std::filesystem::exists(path)) return check_target(folder, target);
  const TensorView* output = target.stored_output();
  if (output == nullptr) return Error{target.files().tensors().path() + " has no output matrix"};
  SafetensorsWriter writer;
  add_matrix(writer, "embed_tokens.weight", target.weights().embedding);
  if (!target.descriptor().tied_output) add_matrix(writer, "output.weight", *output);
  writer.add_f32_tensor("norm.weight", {target.descriptor().d_model}, target.weights().output_norm);
  if (Status status = writer.write(folder + "/target.safetensors"); !status.ok()) return status;
  // Last: a folder with this file has the other one, too.
  Result<WholeFile> file = WholeFile::create(path);
  if (!file.ok()) return file.error();
  const std::string text = describe(target).dump(1) + "\n";
  file->write({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  return file->finish();
}

}  // namespace forerun
