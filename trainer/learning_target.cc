#include "learning_target.h"

#include <charconv>
#include <utility>

#include "formats/json_members.h"
#include "formats/small_json_file.h"
#include "models/decoder.h"
#include "online/trace_record.h"
#include "tensor_files.h"

namespace forerun {
namespace {

constexpr uint64_t kMostJsonBytes = 1 << 16;
constexpr int64_t kMostTokens = int64_t{1} << 24;
constexpr int64_t kMostHeads = 1 << 10;
constexpr int kMostLayers = 1 << 10;

Json member(const JsonMembers& members, const char* key) {
  const Json* value = members.find(key);
  return value != nullptr ? *value : Json();
}

void read_fingerprint(JsonMembers& members, LearningTarget& out) {
  const std::string digits = members.text_or("fingerprint", "");
  const char* end = digits.data() + digits.size();
  const auto [stopped, fault] = std::from_chars(digits.data(), end, out.fingerprint, 16);
  if (digits.size() != 16 || stopped != end || fault != std::errc()) {
    members.fail("fingerprint is not 16 hexadecimal digits");
  }
}

void read_layers(JsonMembers& members, LearningTarget& out) {
  const int64_t num_layers = members.count("num_layers", kMostLayers);
  size_t count = 0;
  members.list("state_layers", kEagle3States, [&](const Json& layer) {
    const bool fits = layer.is_number_integer() && layer >= 0 && layer < num_layers;
    if (!fits) return members.wrong("state_layers", layer, "numbers of layers");
    out.state_layers[count++] = layer.get<int>();
  });
  if (count != kEagle3States) members.fail("state_layers are not three");
  out.usual_layers =
      out.state_layers == tap_layers(static_cast<int>(std::max<int64_t>(num_layers, 1)));
}

void read_sizes(JsonMembers& members, HeadSizes& sizes) {
  sizes.d_model = members.count("d_model", kMostTraceWidth);
  sizes.num_heads = members.count("num_heads", kMostHeads);
  sizes.num_kv_heads = members.count("num_kv_heads", kMostHeads);
  sizes.head_dim = members.count("head_dim", kMostTraceWidth);
  sizes.d_ff = members.count("d_ff", 8 * kMostTraceWidth);
  sizes.rms_epsilon = members.real("rms_norm_eps");
  sizes.rope_theta = members.real("rope_theta");
  if (sizes.num_kv_heads > 0 && sizes.num_heads % sizes.num_kv_heads != 0) {
    members.fail("num_heads is not a multiple of num_kv_heads");
  }
  if (sizes.head_dim % 2 != 0) members.fail("head_dim is odd; rotations turn pairs");
  if (sizes.rms_epsilon <= 0.0) members.fail("rms_norm_eps is not above 0");
  if (sizes.rope_theta <= 0.0) members.fail("rope_theta is not above 0");
}

Status read_description(const std::string& path, LearningTarget& out) {
  const Result<Json> json = read_json_object(path, kMostJsonBytes);
  if (!json.ok()) return json.error();
  Status status;
  JsonMembers members(*json, path, status);
  out.name = members.text_or("name", "");
  read_fingerprint(members, out);
  out.vocab_size = members.count("vocab_size", kMostTokens);
  out.context_length = members.count("context_length", kMostTokens);
  out.bos_id = member(members, "bos_id");
  out.eos_ids = member(members, "eos_ids");
  read_layers(members, out);
  read_sizes(members, out.sizes);
  return status;
}

Status view_tensors(LearningTarget& out) {
  const std::vector<int64_t> matrix = {out.vocab_size, out.sizes.d_model};
  const bool tied = out.file->find("output.weight") == nullptr;
  const struct {
    const char* name;
    at::Tensor& tensor;
    std::vector<int64_t> shape;
  } rows[] = {
      {"embed_tokens.weight", out.embedding, matrix},
      {tied ? "embed_tokens.weight" : "output.weight", out.output, matrix},
      {"norm.weight", out.norm, {out.sizes.d_model}},
  };
  for (const auto& row : rows) {
    Result<at::Tensor> tensor = view_tensor(*out.file, row.name, row.shape);
    if (!tensor.ok()) return tensor.error();
    row.tensor = *std::move(tensor);
  }
  return {};
}

}  // namespace

Result<LearningTarget> read_target(const std::string& folder) {
  LearningTarget out;
  if (Status status = read_description(folder + "/target.json", out); !status.ok()) {
    return status.error();
  }
  Result<Safetensors> file = Safetensors::open(folder + "/target.safetensors");
  if (!file.ok()) return file.error();
  out.file = std::make_shared<const Safetensors>(*std::move(file));
  if (Status status = view_tensors(out); !status.ok()) return status.error();
  return out;
}

}  // namespace forerun
