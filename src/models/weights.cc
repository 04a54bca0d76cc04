#include "models/weights.h"

#include <atomic>
#include <cstring>
#include <memory>
#include <string>

#include "formats/dequantize.h"

namespace forerun {
namespace {

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

// Mixes bytes eight at a time; good enough to tell two checkpoints apart, fast enough to read
// everything.
uint64_t hash_bytes(const uint8_t* data, int64_t size, uint64_t seed) {
  uint64_t hash = seed;
  const auto mix = [&](uint64_t word) {
    const auto product = static_cast<__uint128_t>(hash ^ word) * 0x9E3779B97F4A7C15u;
    hash = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  };
  int64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    uint64_t word;
    std::memcpy(&word, data + i, 8);
    mix(word);
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

// Collects what is to be packed, remembering the first error; then packs it all at once.
class Loader {
 public:
  Loader(const TensorSource& file, const ModelDescriptor& model) : file_(file), model_(model) {}

  std::vector<float> vector(const std::string& name, int64_t size) {
    const TensorView view = find(name, {size});
    if (view.data == nullptr) return {};
    hash(view, name);
    std::vector<float> values(size);
    dequantize_row(view.dtype, view.data, size, values.data());
    return values;
  }

  void matrix(PackedMatrix& out, const std::string& name, int64_t rows, int64_t columns,
              const std::vector<int32_t>& row_order = {}) {
    const TensorView view = find(name, {rows, columns});
    if (view.data == nullptr) return;
    matrices_.push_back({&out, view, row_order.empty() ? nullptr : row_order.data(),
                         hash_name(name), packed_bytes_});
    packed_bytes_ += whole_lines(PackedMatrix::size_bytes(view.dtype, rows, columns));
    file_bytes_ += view.num_bytes();
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
  Status status_;
  std::vector<PackedTensor> matrices_;
  std::atomic<uint64_t> fingerprint_{0};
  int64_t packed_bytes_ = 0;
  int64_t file_bytes_ = 0;
};

// For each packed row in halves order, the row of a file in adjacent-pairs order.
std::vector<int32_t> adjacent_to_halves(int num_heads, int64_t head_dim) {
  std::vector<int32_t> order;
  for (int head = 0; head < num_heads; ++head) {
    for (int64_t i = 0; i < head_dim; ++i) {
      const int64_t source = i < head_dim / 2 ? 2 * i : 2 * (i - head_dim / 2) + 1;
      order.push_back(static_cast<int32_t>(head * head_dim + source));
    }
  }
  return order;
}

}  // namespace

Result<ModelWeights> load_weights(const TensorSource& file, const ModelDescriptor& model,
                                  Team& team, const LoadProgress& progress) {
  ModelWeights weights;
  Loader loader(file, model);
  const int64_t d = model.d_model;
  std::vector<int32_t> q_order;
  std::vector<int32_t> k_order;
  if (model.rotary.pairs == RotaryPairs::kAdjacent) {
    q_order = adjacent_to_halves(model.num_heads, model.head_dim);
    k_order = adjacent_to_halves(model.num_kv_heads, model.head_dim);
  }
  weights.layers.resize(model.num_layers);
  for (int layer = 0; layer < model.num_layers && loader.status().ok(); ++layer) {
    LayerWeights& w = weights.layers[layer];
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    w.attention_norm = loader.vector(prefix + "attn_norm.weight", d);
    loader.matrix(w.q, prefix + "attn_q.weight", model.q_dim(), d, q_order);
    loader.matrix(w.k, prefix + "attn_k.weight", model.kv_dim(), d, k_order);
    loader.matrix(w.v, prefix + "attn_v.weight", model.kv_dim(), d);
    loader.matrix(w.attention_output, prefix + "attn_output.weight", d, model.q_dim());
    w.ffn_norm = loader.vector(prefix + "ffn_norm.weight", d);
    loader.matrix(w.gate, prefix + "ffn_gate.weight", model.d_ff, d);
    loader.matrix(w.up, prefix + "ffn_up.weight", model.d_ff, d);
    loader.matrix(w.down, prefix + "ffn_down.weight", d, model.d_ff);
  }
  weights.output_norm = loader.vector("output_norm.weight", d);
  weights.embedding = loader.find("token_embd.weight", {model.vocab_size, d});
  const bool tied = file.find_tensor("output.weight") == nullptr;
  loader.matrix(weights.output, tied ? "token_embd.weight" : "output.weight", model.vocab_size, d);
  if (!loader.status().ok()) return loader.status().error();
  if (!tied) loader.hash(weights.embedding, "token_embd.weight");

  weights.matrix_memory = loader.run(team, progress);
  weights.fingerprint = loader.fingerprint();
  weights.packed_bytes = loader.packed_bytes();
  weights.file_bytes_per_step = loader.file_bytes();
  return weights;
}

}  // namespace forerun
