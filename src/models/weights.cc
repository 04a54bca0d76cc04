#include "models/weights.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "base/pacer.h"
#include "formats/dequantize.h"

namespace forerun {
namespace {

// What a tensor is called by GGUF and by Hugging Face: a layer's behind "blk.N." or "layers.N.".
struct TensorName {
  std::string_view gguf;
  std::string_view hugging_face;
};

constexpr TensorName kEmbedding = {"token_embd.weight", "embed_tokens.weight"};
constexpr TensorName kOutputNorm = {"output_norm.weight", "norm.weight"};
constexpr TensorName kOutput = {"output.weight", "lm_head.weight"};

constexpr TensorName kAttentionNorm = {"attn_norm.weight", "input_layernorm.weight"};
// Of a head that reads states: what makes them, its token's and its state's norm.
constexpr std::string_view kStateProjection = "fc.weight";
constexpr TensorName kTokenNorm = {"", "input_layernorm.weight"};
constexpr TensorName kStateNorm = {"", "hidden_norm.weight"};
constexpr TensorName kQkv = {"attn_qkv.weight", "self_attn.qkv_proj.weight"};
constexpr TensorName kQ = {"attn_q.weight", "self_attn.q_proj.weight"};
constexpr TensorName kK = {"attn_k.weight", "self_attn.k_proj.weight"};
constexpr TensorName kV = {"attn_v.weight", "self_attn.v_proj.weight"};
constexpr TensorName kQBias = {"attn_q.bias", "self_attn.q_proj.bias"};
constexpr TensorName kKBias = {"attn_k.bias", "self_attn.k_proj.bias"};
constexpr TensorName kVBias = {"attn_v.bias", "self_attn.v_proj.bias"};
constexpr TensorName kQNorm = {"attn_q_norm.weight", "self_attn.q_norm.weight"};
constexpr TensorName kKNorm = {"attn_k_norm.weight", "self_attn.k_norm.weight"};
constexpr TensorName kAttentionOutput = {"attn_output.weight", "self_attn.o_proj.weight"};
constexpr TensorName kGateUp = {"ffn_up.weight", "mlp.gate_up_proj.weight"};
constexpr TensorName kGate = {"ffn_gate.weight", "mlp.gate_proj.weight"};
constexpr TensorName kUp = {"ffn_up.weight", "mlp.up_proj.weight"};
constexpr TensorName kDown = {"ffn_down.weight", "mlp.down_proj.weight"};
constexpr TensorName kFfnNorm = {"ffn_norm.weight", "post_attention_layernorm.weight"};
// Where there are norms after attention and feed-forward too.
constexpr TensorName kPostAttentionNorm = {"post_attention_norm.weight",
                                           "post_attention_layernorm.weight"};
constexpr TensorName kPreFfnNorm = {"ffn_norm.weight", "pre_feedforward_layernorm.weight"};
constexpr TensorName kPostFfnNorm = {"post_ffw_norm.weight", "post_feedforward_layernorm.weight"};

// Tensors the decoder would have to leave out.
constexpr TensorName kNotComputed[] = {{"attn_output.bias", "self_attn.o_proj.bias"},
                                       {"ffn_gate.bias", "mlp.gate_proj.bias"},
                                       {"ffn_up.bias", "mlp.up_proj.bias"},
                                       {"ffn_down.bias", "mlp.down_proj.bias"}};

// What may stand before the names of Hugging Face's text models.
constexpr std::string_view kPrefixes[] = {"model.", "language_model.model.",
                                          "model.language_model.", ""};

// Panels packed by one team member at a time: small enough that all finish together.
constexpr int64_t kPanelsPerJob = 16;

// A matrix that is to be packed.
struct PackedTensor {
  PackedMatrix* matrix;
  TensorView source;
  const int32_t* row_order;
  uint64_t name_hash;
  int64_t offset_bytes;  // in the memory of all
};

struct PackJob {
  const PackedTensor* tensor;
  Range panels;
};

int64_t whole_lines(size_t bytes) {
  return static_cast<int64_t>((bytes + 63) / 64 * 64);
}

// Hashed from one call of pace() to the next.
constexpr int64_t kHashedBytes = int64_t{16} << 10;

// Mixes bytes eight at a time; good enough to tell two checkpoints apart, fast enough to read
// everything.
uint64_t hash_bytes(const uint8_t* data, int64_t size, uint64_t seed) {
  uint64_t hash = seed;
  const auto mix = [&](uint64_t word) {
    const auto product = static_cast<__uint128_t>(hash ^ word) * 0x9E3779B97F4A7C15u;
    hash = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  };
  int64_t i = 0;
  while (i + 8 <= size) {
    const int64_t end = std::min(size, i + kHashedBytes);
    for (; i + 8 <= end; i += 8) {
      uint64_t word;
      std::memcpy(&word, data + i, 8);
      mix(word);
    }
    pace();
  }
  uint64_t rest = 0;
  std::memcpy(&rest, data + i, size - i);
  mix(rest);
  mix(static_cast<uint64_t>(size));
  return hash;
}

uint64_t hash_name(const std::string& name) {
  return hash_bytes(reinterpret_cast<const uint8_t*>(name.data()),
                    static_cast<int64_t>(name.size()), 0);
}

// Consecutive rows of a tensor that is stored as one.
struct Rows {
  int64_t begin;
  int64_t end;
};

// Collects what is to be packed, remembering the first error; then packs it all at once.
class Loader {
 public:
  Loader(const TensorSource& file, const ModelDescriptor& model)
      : file_(file), model_(model), prefix_(find_prefix(file, model.storage.naming)) {}

  std::string name_of(const TensorName& name) const {
    if (is_gguf()) return std::string(name.gguf);
    if (name.gguf != kOutput.gguf) return prefix_ + std::string(name.hugging_face);
    const size_t inner = prefix_.starts_with("language_model.") ? sizeof("language_model.") - 1 : 0;
    return prefix_.substr(0, inner) + std::string(name.hugging_face);
  }
  std::string name_of(const TensorName& name, int layer) const {
    const std::string number = std::to_string(layer) + ".";
    if (is_gguf()) return "blk." + number + std::string(name.gguf);
    return prefix_ + "layers." + number + std::string(name.hugging_face);
  }

  std::vector<float> vector(const std::string& name, int64_t size) {
    const TensorView view = find(name, {size});
    if (view.data == nullptr) return {};
    hash(view, name);
    std::vector<float> values(size);
    dequantize_row(view.dtype, view.data, size, values.data());
    return values;
  }

  std::vector<float> norm(const std::string& name, int64_t size) {
    std::vector<float> weights = vector(name, size);
    if (model_.storage.norms_less_one) {
      for (float& weight : weights) weight += 1.0f;
    }
    return weights;
  }

  // A bias in the order of its matrix's rows, up to a whole panel.
  std::vector<float> bias(const std::string& name, int64_t size,
                          const std::vector<int32_t>& row_order) {
    const std::vector<float> stored = vector(name, size);
    std::vector<float> ordered((size + kPanelRows - 1) / kPanelRows * kPanelRows, 0.0f);
    for (int64_t row = 0; row < static_cast<int64_t>(stored.size()); ++row) {
      ordered[row] = stored[row_order.empty() ? row : row_order[row]];
    }
    return ordered;
  }

  void matrix(PackedMatrix& out, const std::string& name, int64_t rows, int64_t columns,
              const std::vector<int32_t>& row_order = {}) {
    part(out, name, rows, columns, {0, rows}, row_order);
  }

  // Some rows of a matrix [rows, columns].
  void part(PackedMatrix& out, const std::string& name, int64_t rows, int64_t columns, Rows part,
            const std::vector<int32_t>& row_order = {}) {
    TensorView view = find(name, {rows, columns});
    if (view.data == nullptr) return;
    view.data += part.begin * row_bytes(view.dtype, columns);
    view.shape[0] = part.end - part.begin;
    matrices_.push_back({&out, view, row_order.empty() ? nullptr : row_order.data(),
                         hash_name(name) + static_cast<uint64_t>(part.begin), packed_bytes_});
    packed_bytes_ += whole_lines(PackedMatrix::size_bytes(view.dtype, view.shape[0], columns));
    file_bytes_ += view.num_bytes();
  }

  // The decoder would leave these out without a word.
  void refuse_what_is_not_computed(int layer) {
    for (const TensorName& name : kNotComputed) {
      const std::string full = name_of(name, layer);
      if (file_.find_tensor(full) == nullptr) continue;
      fail(file_.path() + ": tensor '" + full + "' is a bias the engine does not add yet");
    }
  }

  TensorView find(const std::string& name, const std::vector<int64_t>& shape) {
    const Result<TensorView> view = file_.get_tensor(name);
    if (!view.ok()) {
      fail(view.error().message);
      return {};
    }
    if (view->shape != shape) {
      fail(file_.path() + ": " + name + " has shape " + to_string(view->shape) + "; " +
           model_.architecture + " needs " + to_string(shape));
      return {};
    }
    return *view;
  }

  void fail(std::string message) {
    if (status_.ok()) status_ = Error{std::move(message)};
  }

  void hash(const TensorView& view, const std::string& name) {
    fingerprint_.fetch_add(hash_bytes(view.data, view.num_bytes(), hash_name(name)));
  }

  // Packs everything. The matrices stand in the returned memory, in the order they were named.
  Buffer run(Team& team, const LoadProgress& progress) {
    Buffer memory(static_cast<size_t>(packed_bytes_));
    const std::vector<PackJob> jobs = place(memory);
    std::atomic<size_t> next{0};
    team.run([&](int member) {
      for (size_t i = next++; i < jobs.size(); i = next++) {
        const PackJob& job = jobs[i];
        job.tensor->matrix->pack(job.tensor->source, job.panels, job.tensor->row_order);
        hash_job(job);
        if (member == 0 && progress) {
          progress(static_cast<double>(i + 1) / static_cast<double>(jobs.size()));
        }
      }
    });
    if (progress) progress(1.0);
    return memory;
  }

  const Status& status() const { return status_; }
  uint64_t fingerprint() const { return fingerprint_.load(); }
  int64_t packed_bytes() const { return packed_bytes_; }
  int64_t file_bytes() const { return file_bytes_; }

 private:
  bool is_gguf() const { return model_.storage.naming == TensorNaming::kGguf; }

  static std::string find_prefix(const TensorSource& file, TensorNaming naming) {
    if (naming == TensorNaming::kGguf) return "";
    for (const std::string_view prefix : kPrefixes) {
      const std::string name = std::string(prefix) + std::string(kEmbedding.hugging_face);
      if (file.find_tensor(name) != nullptr) return std::string(prefix);
    }
    return std::string(kPrefixes[0]);
  }

  std::vector<PackJob> place(Buffer& memory) {
    std::vector<PackJob> jobs;
    for (const PackedTensor& tensor : matrices_) {
      PackedMatrix& matrix = *tensor.matrix;
      matrix = PackedMatrix(tensor.source.dtype, tensor.source.shape[0], tensor.source.shape[1],
                            memory.data() + tensor.offset_bytes);
      for (int64_t panel = 0; panel < matrix.panels(); panel += kPanelsPerJob) {
        jobs.push_back({&tensor, {panel, std::min(matrix.panels(), panel + kPanelsPerJob)}});
      }
    }
    return jobs;
  }

  // Sums of the parts' hashes: the same whatever order the team takes them in.
  void hash_job(const PackJob& job) {
    const PackedTensor& tensor = *job.tensor;
    const int64_t stride = row_bytes(tensor.source.dtype, tensor.matrix->columns());
    const int64_t begin = job.panels.begin * kPanelRows;
    const int64_t end = std::min(tensor.matrix->rows(), job.panels.end * kPanelRows);
    fingerprint_.fetch_add(hash_bytes(tensor.source.data + begin * stride, (end - begin) * stride,
                                      tensor.name_hash + static_cast<uint64_t>(begin)));
  }

  const TensorSource& file_;
  const ModelDescriptor& model_;
  const std::string prefix_;
  Status status_;
  std::vector<PackedTensor> matrices_;
  std::atomic<uint64_t> fingerprint_{0};
  int64_t packed_bytes_ = 0;
  int64_t file_bytes_ = 0;
};

// For each packed row in halves order, the row of a file in adjacent-pairs order.
std::vector<int32_t> adjacent_to_halves(int num_heads, int64_t head_dim, int64_t rotated) {
  std::vector<int32_t> order;
  for (int head = 0; head < num_heads; ++head) {
    for (int64_t i = 0; i < head_dim; ++i) {
      int64_t source = i;
      if (i < rotated) source = i < rotated / 2 ? 2 * i : 2 * (i - rotated / 2) + 1;
      order.push_back(static_cast<int32_t>(head * head_dim + source));
    }
  }
  return order;
}

// The file's rows of q and k for each of ours; empty where they are the same.
struct RowOrders {
  std::vector<int32_t> q;
  std::vector<int32_t> k;
};

RowOrders row_orders(const ModelDescriptor& model) {
  if (model.storage.pairs == RotaryPairs::kHalves) return {};
  const int64_t rotated = model.rotary.rotated();
  return {adjacent_to_halves(model.num_heads, model.head_dim, rotated),
          adjacent_to_halves(model.num_kv_heads, model.head_dim, rotated)};
}

void name_attention(Loader& loader, const ModelDescriptor& model, const RowOrders& orders,
                    int layer, LayerWeights& w) {
  const int64_t d = model.attention_inputs();
  const int64_t q = model.q_dim();
  const int64_t kv = model.kv_dim();
  if (model.reads_states()) {
    w.token_norm = loader.norm(loader.name_of(kTokenNorm, layer), model.d_model);
    w.attention_norm = loader.norm(loader.name_of(kStateNorm, layer), model.d_model);
  } else {
    w.attention_norm = loader.norm(loader.name_of(kAttentionNorm, layer), d);
  }
  if (model.storage.fused) {
    const std::string name = loader.name_of(kQkv, layer);
    loader.part(w.q, name, q + 2 * kv, d, {0, q}, orders.q);
    loader.part(w.k, name, q + 2 * kv, d, {q, q + kv}, orders.k);
    loader.part(w.v, name, q + 2 * kv, d, {q + kv, q + 2 * kv});
  } else {
    loader.matrix(w.q, loader.name_of(kQ, layer), q, d, orders.q);
    loader.matrix(w.k, loader.name_of(kK, layer), kv, d, orders.k);
    loader.matrix(w.v, loader.name_of(kV, layer), kv, d);
  }
  if (model.qkv_bias) {
    w.q_bias = loader.bias(loader.name_of(kQBias, layer), q, orders.q);
    w.k_bias = loader.bias(loader.name_of(kKBias, layer), kv, orders.k);
    w.v_bias = loader.bias(loader.name_of(kVBias, layer), kv, {});
  }
  if (model.qk_norm) {
    w.q_norm = loader.norm(loader.name_of(kQNorm, layer), model.head_dim);
    w.k_norm = loader.norm(loader.name_of(kKNorm, layer), model.head_dim);
  }
  loader.matrix(w.attention_output, loader.name_of(kAttentionOutput, layer), model.d_model, q);
  if (model.post_norms) {
    w.post_attention_norm = loader.norm(loader.name_of(kPostAttentionNorm, layer), model.d_model);
  }
}

void name_feed_forward(Loader& loader, const ModelDescriptor& model, int layer, LayerWeights& w) {
  const int64_t d = model.d_model;
  const int64_t ff = model.d_ff;
  w.ffn_norm = loader.norm(loader.name_of(model.post_norms ? kPreFfnNorm : kFfnNorm, layer), d);
  if (model.storage.fused) {
    const std::string name = loader.name_of(kGateUp, layer);
    loader.part(w.gate, name, 2 * ff, d, {0, ff});
    loader.part(w.up, name, 2 * ff, d, {ff, 2 * ff});
  } else {
    loader.matrix(w.gate, loader.name_of(kGate, layer), ff, d);
    loader.matrix(w.up, loader.name_of(kUp, layer), ff, d);
  }
  loader.matrix(w.down, loader.name_of(kDown, layer), d, ff);
  if (model.post_norms) w.post_ffn_norm = loader.norm(loader.name_of(kPostFfnNorm, layer), d);
}

void append_rotary(const RotaryEmbedding& rotary, std::vector<double>& numbers) {
  numbers.push_back(static_cast<double>(rotary.rotated()));
  numbers.push_back(rotary.attention_factor);
  numbers.insert(numbers.end(), rotary.inverse_frequencies.begin(),
                 rotary.inverse_frequencies.end());
}

// What changes a logit beside the weights themselves.
uint64_t hash_descriptor(const ModelDescriptor& model) {
  std::vector<double> numbers = {static_cast<double>(model.num_heads),
                                 static_cast<double>(model.num_kv_heads),
                                 static_cast<double>(model.activation),
                                 static_cast<double>(model.qkv_bias),
                                 static_cast<double>(model.qk_norm),
                                 static_cast<double>(model.post_norms),
                                 static_cast<double>(model.normed_states),
                                 static_cast<double>(model.storage.norms_less_one),
                                 static_cast<double>(model.storage.pairs),
                                 model.rms_epsilon,
                                 model.embedding_scale,
                                 model.attention_scale,
                                 model.attention_soft_cap,
                                 model.logit_soft_cap};
  numbers.insert(numbers.end(), model.windows.begin(), model.windows.end());
  append_rotary(model.rotary, numbers);
  if (model.window_rotary.has_value()) append_rotary(*model.window_rotary, numbers);
  return hash_bytes(reinterpret_cast<const uint8_t*>(numbers.data()),
                    static_cast<int64_t>(numbers.size() * sizeof(double)), 0);
}

}  // namespace

Result<ModelWeights> load_weights(const TensorSource& file, const ModelDescriptor& model,
                                  Team& team, const LoadProgress& progress) {
  ModelWeights weights;
  Loader loader(file, model);
  const RowOrders orders = row_orders(model);
  if (model.reads_states()) {
    loader.matrix(weights.state_projection, std::string(kStateProjection), model.d_model,
                  model.state_inputs);
  }
  weights.layers.resize(model.num_layers);
  for (int layer = 0; layer < model.num_layers && loader.status().ok(); ++layer) {
    name_attention(loader, model, orders, layer, weights.layers[layer]);
    name_feed_forward(loader, model, layer, weights.layers[layer]);
    loader.refuse_what_is_not_computed(layer);
  }
  const std::string embedding = loader.name_of(kEmbedding);
  const std::string output = model.tied_output ? embedding : loader.name_of(kOutput);
  weights.output_norm = loader.norm(loader.name_of(kOutputNorm), model.d_model);
  weights.embedding = loader.find(embedding, {model.token_ids(), model.d_model});
  loader.matrix(weights.output, output, model.vocab_size, model.d_model);
  if (!loader.status().ok()) return loader.status().error();
  if (!model.tied_output) loader.hash(weights.embedding, embedding);

  weights.matrix_memory = loader.run(team, progress);
  weights.fingerprint = loader.fingerprint() + hash_descriptor(model);
  weights.packed_bytes = loader.packed_bytes();
  weights.file_bytes_per_step = loader.file_bytes();
  return weights;
}

}  // namespace forerun
