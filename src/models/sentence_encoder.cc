#include "models/sentence_encoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/check.h"
#include "formats/dequantize.h"

namespace forerun {
namespace {

// A batch is texts of at most this many tokens together: enough rows that reading the weights costs
// little beside multiplying them, few enough that the states stay in the cache.
constexpr int64_t kBatchRows = 512;
// What one job multiplies: rows whose inputs, and panels whose weights, stay in a core's caches;
// few enough of both that a single short text occupies a team.
constexpr int64_t kRowsAtATime = 32;
constexpr int64_t kPanelsAtATime = 8;
// Of a layer: four products, attention, two norms; and before and after all, embedding and pooling.
constexpr int64_t kStagesPerLayer = 7;
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxWidth = 1 << 20;
// A member's scores take 4 bytes for each pair of them.
constexpr int64_t kMaxPositions = 8192;

int64_t whole_lanes(int64_t count) {
  return (count + kPanelRows - 1) / kPanelRows * kPanelRows;
}

// A whole number of a JSON object within [low, high].
Result<int64_t> integer(const Json& object, const char* key, int64_t low, int64_t high) {
  const auto found = object.find(key);
  if (found == object.end()) return Error{std::string(key) + " is missing"};
  if (!found->is_number_integer()) return Error{std::string(key) + " is no whole number"};
  const auto value = found->get<int64_t>();
  if (value < low || value > high) {
    return Error{std::string(key) + " is " + std::to_string(value) + "; it is from " +
                 std::to_string(low) + " to " + std::to_string(high)};
  }
  return value;
}

// The text of a key, or `otherwise`.
std::string text(const Json& object, const char* key, const char* otherwise) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : otherwise;
}

bool is_true(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

Result<Json> object_of(const std::string& path) {
  if (!std::filesystem::exists(path)) return Json::object();
  return read_json_file(path);
}

// 1_Pooling/config.json.
Status read_pooling_mode(const std::string& path, SentencePooling& pooling) {
  const Result<Json> config = object_of(path);
  if (!config.ok()) return config.error();
  if (is_true(*config, "pooling_mode_cls_token")) {
    pooling.kind = SentencePooling::Kind::kFirstToken;
  } else if (!config->empty() && !is_true(*config, "pooling_mode_mean_tokens")) {
    return Error{path +
                 ": neither pooling_mode_mean_tokens nor pooling_mode_cls_token is true; "
                 "other ways of pooling are not built"};
  }
  return {};
}

}  // namespace

Result<SentencePooling> SentencePooling::read(const std::string& directory) {
  SentencePooling pooling;
  const std::string modules_path = directory + "/modules.json";
  const Result<Json> modules = object_of(modules_path);
  if (!modules.ok()) return modules.error();
  std::string pooling_folder = "1_Pooling";
  for (const Json& module : *modules) {
    const std::string type = module.is_object() ? text(module, "type", "") : "";
    if (type.ends_with(".Normalize")) {
      pooling.normalize = true;
    } else if (type.ends_with(".Pooling")) {
      pooling_folder = text(module, "path", "1_Pooling");
    } else if (!type.ends_with(".Transformer")) {
      std::string sentence = modules_path + ": the module '";
      sentence += type;
      sentence += "' is not built; there are Transformer, Pooling and Normalize";
      return Error{sentence};
    }
  }
  if (pooling_folder.find("..") != std::string::npos || pooling_folder.starts_with('/')) {
    return Error{modules_path + ": the path of Pooling leads out of the folder"};
  }
  Status status = read_pooling_mode(directory + "/" + pooling_folder + "/config.json", pooling);
  if (!status.ok()) return status.error();
  const std::string limits_path = directory + "/sentence_bert_config.json";
  const Result<Json> limits = object_of(limits_path);
  if (!limits.ok()) return limits.error();
  if (limits->is_object() && limits->contains("max_seq_length") &&
      !(*limits)["max_seq_length"].is_null()) {
    const Result<int64_t> max_tokens = integer(*limits, "max_seq_length", 2, kMaxWidth);
    if (!max_tokens.ok()) return Error{limits_path + ": " + max_tokens.error().message};
    pooling.max_tokens = *max_tokens;
  }
  return pooling;
}

struct SentenceEncoder::Layer {
  PackedMatrix qkv;  // queries, keys and values below each other
  std::vector<float> qkv_bias;
  PackedMatrix attention_output;
  std::vector<float> attention_output_bias;
  std::vector<float> attention_norm_weight;
  std::vector<float> attention_norm_bias;
  PackedMatrix up;
  std::vector<float> up_bias;
  PackedMatrix down;
  std::vector<float> down_bias;
  std::vector<float> norm_weight;
  std::vector<float> norm_bias;
};

// A text's place in the batch.
struct SentenceEncoder::Piece {
  std::span<const int32_t> ids;
  int64_t row = 0;
  int64_t num_rows = 0;

  // The id of row i: one that is too long loses what stands before its end.
  int32_t id(int64_t i) const { return i + 1 == num_rows ? ids.back() : ids[i]; }
};

// A member on its way through the stages, which every member goes through in the same order.
struct SentenceEncoder::Turn {
  int member = 0;
  int64_t stage = 0;
};

// Of one member: a head's keys and values in the layout of a weight, and its scores.
struct SentenceEncoder::Scratch {
  ArenaPiece keys;    // [whole lanes of tokens, head_dim]
  ArenaPiece values;  // [tokens, head_dim]
  ArenaPiece scores;  // [tokens, whole lanes of tokens]
};

// Reads tensors by name; the first Error stands.
class SentenceEncoder::Loader final {
 public:
  // Some checkpoints hold the encoder inside another model.
  explicit Loader(const TensorSource& source)
      : source_(source),
        prefix_(source.find_tensor("bert.embeddings.word_embeddings.weight") ? "bert." : "") {}

  TensorView view(const std::string& name, const std::vector<int64_t>& shape) {
    const Result<TensorView> found = source_.get_tensor(prefix_ + name);
    if (!found.ok()) {
      fail(found.error().message);
      return {};
    }
    if (found->shape != shape) {
      fail(source_.path() + ": " + prefix_ + name + " has shape " + to_string(found->shape) +
           "; config.json needs " + to_string(shape));
      return {};
    }
    return *found;
  }

  std::vector<float> floats(const std::string& name, const std::vector<int64_t>& shape) {
    const TensorView found = view(name, shape);
    if (found.data == nullptr) return {};
    std::vector<float> values(found.num_elements());
    dequantize_row(found.dtype, found.data, found.num_elements(), values.data());
    return values;
  }

  // A linear layer's weight and bias, or those of several below each other.
  void linear(PackedMatrix& weight, std::vector<float>& bias, const std::vector<std::string>& names,
              int64_t rows, int64_t columns) {
    std::vector<float> all;
    for (const std::string& name : names) {
      const std::vector<float> part = floats(name + ".weight", {rows, columns});
      all.insert(all.end(), part.begin(), part.end());
      const std::vector<float> part_bias = floats(name + ".bias", {rows});
      bias.insert(bias.end(), part_bias.begin(), part_bias.end());
    }
    if (!status_.ok()) return;
    const int64_t all_rows = rows * static_cast<int64_t>(names.size());
    weight = PackedMatrix(DType::kF32, all_rows, columns);
    weight.pack({DType::kF32, {all_rows, columns}, reinterpret_cast<const uint8_t*>(all.data())},
                {0, weight.panels()});
  }

  const Status& status() const { return status_; }

 private:
  void fail(std::string message) {
    if (status_.ok()) status_ = Error{std::move(message)};
  }

  const TensorSource& source_;
  std::string prefix_;
  Status status_;
};

SentenceEncoder::SentenceEncoder(std::shared_ptr<const TensorSource> weights, Team& team,
                                 const KernelTable& kernels)
    : source_(std::move(weights)), team_(team), kernels_(kernels), ops_(encoder_ops(kernels.isa)) {}

SentenceEncoder::~SentenceEncoder() = default;

Result<std::unique_ptr<SentenceEncoder>> SentenceEncoder::load(
    std::shared_ptr<const TensorSource> weights, const Json& config, const SentencePooling& pooling,
    Team& team, const KernelTable& kernels) {
  std::unique_ptr<SentenceEncoder> encoder(new SentenceEncoder(std::move(weights), team, kernels));
  Status status = encoder->read_config(config, pooling);
  if (!status.ok()) {
    return Error{encoder->source_->path() + ": config.json: " + status.error().message};
  }
  status = encoder->load_weights();
  if (!status.ok()) return status.error();
  encoder->make_room();
  return encoder;
}

Status SentenceEncoder::read_config(const Json& config, const SentencePooling& pooling) {
  if (!config.is_object()) return Error{"it is no object"};
  for (const auto& [key, expected] : {std::pair{"model_type", "bert"},
                                      {"hidden_act", "gelu"},
                                      {"position_embedding_type", "absolute"}}) {
    const std::string value =
        text(config, key, key == std::string_view("model_type") ? "" : expected);
    if (value != expected) {
      return Error{std::string(key) + " is '" + value + "'; sentence encoders have '" + expected +
                   "'"};
    }
  }
  int64_t num_layers = 0;
  struct Field {
    const char* key;
    int64_t* value;
    int64_t low;
    int64_t high;
  };
  for (const Field& field : {Field{"vocab_size", &vocab_size_, 1, kMaxWidth * 16},
                             {"hidden_size", &hidden_, 16, kMaxWidth},
                             {"num_hidden_layers", &num_layers, 1, kMaxLayers},
                             {"num_attention_heads", &num_heads_, 1, kMaxWidth},
                             {"intermediate_size", &feed_forward_, 16, kMaxWidth},
                             {"max_position_embeddings", &num_positions_, 2, kMaxPositions},
                             {"type_vocab_size", &num_token_types_, 1, kMaxWidth}}) {
    const Result<int64_t> value = integer(config, field.key, field.low, field.high);
    if (!value.ok()) return value.error();
    *field.value = *value;
  }
  if (hidden_ % num_heads_ != 0 || hidden_ / num_heads_ % kPanelRows != 0) {
    return Error{"hidden_size " + std::to_string(hidden_) + " over num_attention_heads " +
                 std::to_string(num_heads_) + " is no multiple of 16"};
  }
  if (feed_forward_ % kPanelRows != 0) {
    return Error{"intermediate_size " + std::to_string(feed_forward_) + " is no multiple of 16"};
  }
  const auto epsilon = config.find("layer_norm_eps");
  epsilon_ = epsilon != config.end() && epsilon->is_number() ? epsilon->get<float>() : 1e-12f;
  if (!(epsilon_ >= 0.0f && epsilon_ <= 1.0f)) return Error{"layer_norm_eps is not from 0 to 1"};
  head_dim_ = hidden_ / num_heads_;
  layers_.resize(num_layers);
  pooling_ = pooling;
  max_tokens_ = num_positions_;
  if (pooling.max_tokens > 0) max_tokens_ = std::min(max_tokens_, pooling.max_tokens);
  return {};
}

Status SentenceEncoder::load_weights() {
  Loader loader(*source_);
  const int64_t d = hidden_;
  word_embedding_ = loader.view("embeddings.word_embeddings.weight", {vocab_size_, d});
  position_embedding_ = loader.floats("embeddings.position_embeddings.weight", {num_positions_, d});
  // Texts are of the first token type; a model that knows no other has one.
  const std::vector<float> type =
      loader.floats("embeddings.token_type_embeddings.weight", {num_token_types_, d});
  embedding_norm_weight_ = loader.floats("embeddings.LayerNorm.weight", {d});
  embedding_norm_bias_ = loader.floats("embeddings.LayerNorm.bias", {d});
  for (size_t i = 0; i < layers_.size() && loader.status().ok(); ++i) {
    Layer& layer = layers_[i];
    const std::string prefix = "encoder.layer." + std::to_string(i) + ".";
    const std::string self = prefix + "attention.self.";
    loader.linear(layer.qkv, layer.qkv_bias, {self + "query", self + "key", self + "value"}, d, d);
    loader.linear(layer.attention_output, layer.attention_output_bias,
                  {prefix + "attention.output.dense"}, d, d);
    loader.linear(layer.up, layer.up_bias, {prefix + "intermediate.dense"}, feed_forward_, d);
    loader.linear(layer.down, layer.down_bias, {prefix + "output.dense"}, d, feed_forward_);
    const std::string attention_norm = prefix + "attention.output.LayerNorm.";
    layer.attention_norm_weight = loader.floats(attention_norm + "weight", {d});
    layer.attention_norm_bias = loader.floats(attention_norm + "bias", {d});
    layer.norm_weight = loader.floats(prefix + "output.LayerNorm.weight", {d});
    layer.norm_bias = loader.floats(prefix + "output.LayerNorm.bias", {d});
  }
  if (!loader.status().ok()) return loader.status().error();
  for (size_t i = 0; i < position_embedding_.size(); ++i) {
    position_embedding_[i] += type[i % static_cast<size_t>(d)];
  }
  return {};
}

void SentenceEncoder::make_room() {
  max_rows_ = std::max(kBatchRows, max_tokens_);
  const auto floats = [&](int64_t count) {
    return arena_.take(static_cast<size_t>(count) * sizeof(float));
  };
  states_ = floats(max_rows_ * hidden_);
  qkv_ = floats(max_rows_ * 3 * hidden_);
  attended_ = floats(max_rows_ * hidden_);
  inner_ = floats(max_rows_ * feed_forward_);
  product_ = floats(max_rows_ * hidden_);
  scratch_.resize(team_.capacity());
  for (Scratch& scratch : scratch_) {
    scratch.keys = floats(whole_lanes(max_tokens_) * head_dim_);
    scratch.values = floats(max_tokens_ * head_dim_);
    scratch.scores = floats(max_tokens_ * whole_lanes(max_tokens_));
  }
  pieces_.resize(max_rows_);
  next_jobs_ = std::make_unique<std::atomic<int64_t>[]>(num_stages());
}

int64_t SentenceEncoder::num_stages() const {
  return 2 + kStagesPerLayer * static_cast<int64_t>(layers_.size());
}

Status SentenceEncoder::check(std::span<const std::span<const int32_t>> texts) const {
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].empty()) return Error{"text " + std::to_string(i) + " has no tokens"};
    for (const int32_t id : texts[i]) {
      if (id < 0 || id >= vocab_size_) {
        return Error{"text " + std::to_string(i) + " holds the token id " + std::to_string(id) +
                     "; the model knows 0 to " + std::to_string(vocab_size_ - 1)};
      }
    }
  }
  return {};
}

Status SentenceEncoder::encode(std::span<const std::span<const int32_t>> texts,
                               std::span<float> out) {
  CHECK(out.size() == texts.size() * static_cast<size_t>(hidden_),
        "room for another number of texts");
  if (Status status = check(texts); !status.ok()) return status;
  size_t first = 0;
  while (first < texts.size()) {
    num_pieces_ = num_rows_ = 0;
    size_t end = first;
    for (; end < texts.size(); ++end) {
      const int64_t rows = std::min(static_cast<int64_t>(texts[end].size()), max_tokens_);
      if (num_rows_ + rows > max_rows_) break;
      pieces_[num_pieces_++] = {texts[end], num_rows_, rows};
      num_rows_ += rows;
    }
    run_batch(out.subspan(first * hidden_, (end - first) * hidden_));
    first = end;
  }
  return {};
}

// The jobs of a stage go to whoever is free, so that a member the system holds up holds nobody up.
template <typename Job>
void SentenceEncoder::deal(Turn& turn, int64_t num_jobs, Job job) {
  std::atomic<int64_t>& next = next_jobs_[turn.stage++];
  for (int64_t i = next++; i < num_jobs; i = next++) job(i);
  team_.barrier();
}

void SentenceEncoder::run_batch(std::span<float> out) {
  for (int64_t i = 0; i < num_stages(); ++i) next_jobs_[i] = 0;
  team_.run([&](int member) {
    Turn turn{member};
    deal(turn, num_pieces_, [&](int64_t i) { embed(pieces_[i]); });
    for (const Layer& layer : layers_) run_layer(layer, turn);
    deal(turn, num_pieces_, [&](int64_t i) { pool(pieces_[i], out.data() + i * hidden_); });
  });
}

void SentenceEncoder::embed(const Piece& piece) {
  for (int64_t i = 0; i < piece.num_rows; ++i) {
    float* state = states_.as<float>() + (piece.row + i) * hidden_;
    const int64_t row_size = row_bytes(word_embedding_.dtype, hidden_);
    dequantize_row(word_embedding_.dtype, word_embedding_.data + piece.id(i) * row_size, hidden_,
                   state);
    const float* position = position_embedding_.data() + i * hidden_;
    for (int64_t j = 0; j < hidden_; ++j) state[j] += position[j];
    ops_.layer_norm(state, embedding_norm_weight_.data(), embedding_norm_bias_.data(), epsilon_,
                    hidden_, state);
  }
}

void SentenceEncoder::run_layer(const Layer& layer, Turn& turn) {
  multiply(layer.qkv, layer.qkv_bias, states_.as<float>(), qkv_.as<float>(), turn);
  deal(turn, num_pieces_ * num_heads_, [&](int64_t job) {
    attend(pieces_[job / num_heads_], job % num_heads_, scratch_[turn.member]);
  });
  multiply(layer.attention_output, layer.attention_output_bias, attended_.as<float>(),
           product_.as<float>(), turn);
  add_and_norm(layer.attention_norm_weight, layer.attention_norm_bias, turn);
  multiply(layer.up, layer.up_bias, states_.as<float>(), inner_.as<float>(), turn, ops_.gelu_erf);
  multiply(layer.down, layer.down_bias, inner_.as<float>(), product_.as<float>(), turn);
  add_and_norm(layer.norm_weight, layer.norm_bias, turn);
}

// out = activation(x · weightᵀ + bias), in jobs of some rows and some panels.
void SentenceEncoder::multiply(const PackedMatrix& weight, const std::vector<float>& bias,
                               const float* x, float* out, Turn& turn, GeluErfFunction activation) {
  const int64_t panel_jobs = (weight.panels() + kPanelsAtATime - 1) / kPanelsAtATime;
  const int64_t row_jobs = (num_rows_ + kRowsAtATime - 1) / kRowsAtATime;
  deal(turn, panel_jobs * row_jobs, [&](int64_t job) {
    const int64_t row = job / panel_jobs * kRowsAtATime;
    const int64_t panel = job % panel_jobs * kPanelsAtATime;
    MatmulArgs args;
    args.weight = &weight;
    args.dense = x + row * weight.columns();
    args.dense_stride = weight.columns();
    args.num_rows = std::min(kRowsAtATime, num_rows_ - row);
    args.panels = {panel, std::min(panel + kPanelsAtATime, weight.panels())};
    args.first_column = panel * kPanelRows;
    args.out = out + row * weight.rows() + args.first_column;
    args.out_stride = weight.rows();
    args.add = true;
    const int64_t columns = (args.panels.end - panel) * kPanelRows;
    for (int64_t i = 0; i < args.num_rows; ++i) {
      std::copy_n(bias.data() + args.first_column, columns, args.out + i * args.out_stride);
    }
    kernels_.matmul(args);
    if (activation == nullptr) return;
    for (int64_t i = 0; i < args.num_rows; ++i) activation(columns, args.out + i * args.out_stride);
  });
}

// Keys and values become weights of two products: scores = Q · Kᵀ and, with its rows normalised,
// attended = scores · V. The layout is that of kernels/packed_matrix.h: per input, the 16 outputs
// of a panel side by side.
void SentenceEncoder::attend(const Piece& piece, int64_t head, Scratch& scratch) {
  const int64_t n = piece.num_rows;
  const int64_t stride = 3 * hidden_;
  const float* queries = qkv_.as<float>() + piece.row * stride + head * head_dim_;
  const float* keys = queries + hidden_;
  const float* values = keys + hidden_;
  const int64_t lanes = whole_lanes(n);
  float* packed_keys = scratch.keys.as<float>();
  for (int64_t key = 0; key < lanes; ++key) {
    float* lane = packed_keys + key / kPanelRows * kPanelRows * head_dim_ + key % kPanelRows;
    for (int64_t i = 0; i < head_dim_; ++i) {
      lane[i * kPanelRows] = key < n ? keys[key * stride + i] : 0.0f;
    }
  }
  for (int64_t panel = 0; panel < head_dim_ / kPanelRows; ++panel) {
    float* packed = scratch.values.as<float>() + panel * n * kPanelRows;
    for (int64_t key = 0; key < n; ++key) {
      std::memcpy(packed + key * kPanelRows, values + key * stride + panel * kPanelRows,
                  kPanelRows * sizeof(float));
    }
  }
  float* scores = scratch.scores.as<float>();
  const PackedMatrix key_matrix(DType::kF32, n, head_dim_, scratch.keys.data());
  MatmulArgs args;
  args.weight = &key_matrix;
  args.dense = queries;
  args.dense_stride = stride;
  args.num_rows = n;
  args.panels = {0, key_matrix.panels()};
  args.out = scores;
  args.out_stride = lanes;
  kernels_.matmul(args);
  const float factor = 1.0f / std::sqrt(static_cast<float>(head_dim_));
  for (int64_t i = 0; i < n; ++i) ops_.softmax(factor, n, scores + i * lanes);
  const PackedMatrix value_matrix(DType::kF32, head_dim_, n, scratch.values.data());
  args.weight = &value_matrix;
  args.dense = scores;
  args.dense_stride = lanes;
  args.panels = {0, value_matrix.panels()};
  args.out = attended_.as<float>() + piece.row * hidden_ + head * head_dim_;
  args.out_stride = hidden_;
  kernels_.matmul(args);
}

// states = LayerNorm(states + product)
void SentenceEncoder::add_and_norm(const std::vector<float>& weight, const std::vector<float>& bias,
                                   Turn& turn) {
  const int64_t num_jobs = (num_rows_ + kRowsAtATime - 1) / kRowsAtATime;
  deal(turn, num_jobs, [&](int64_t job) {
    const int64_t end = std::min((job + 1) * kRowsAtATime, num_rows_);
    for (int64_t row = job * kRowsAtATime; row < end; ++row) {
      float* state = states_.as<float>() + row * hidden_;
      const float* product = product_.as<float>() + row * hidden_;
      for (int64_t i = 0; i < hidden_; ++i) state[i] += product[i];
      ops_.layer_norm(state, weight.data(), bias.data(), epsilon_, hidden_, state);
    }
  });
}

void SentenceEncoder::pool(const Piece& piece, float* out) const {
  const float* states = states_.as<float>() + piece.row * hidden_;
  std::copy_n(states, hidden_, out);
  if (pooling_.kind == SentencePooling::Kind::kMean) {
    for (int64_t i = 1; i < piece.num_rows; ++i) {
      for (int64_t j = 0; j < hidden_; ++j) out[j] += states[i * hidden_ + j];
    }
    for (int64_t j = 0; j < hidden_; ++j) out[j] /= static_cast<float>(piece.num_rows);
  }
  if (!pooling_.normalize) return;
  double square = 0.0;
  for (int64_t j = 0; j < hidden_; ++j) square += static_cast<double>(out[j]) * out[j];
  // As the reference: a vector of zeros stays one.
  const auto inverse = static_cast<float>(1.0 / std::max(std::sqrt(square), 1e-12));
  for (int64_t j = 0; j < hidden_; ++j) out[j] *= inverse;
}

}  // namespace forerun
