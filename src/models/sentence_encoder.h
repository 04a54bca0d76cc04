#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/parallel.h"
#include "base/result.h"
#include "formats/tensor_source.h"
#include "kernels/encoder_ops.h"
#include "kernels/kernel_table.h"
#include "kernels/packed_matrix.h"
#include "tensor/arena.h"

namespace forerun {

// How token states become a text's vector, as sentence-transformers writes it down beside a model:
// `modules.json`, `1_Pooling/config.json`, `sentence_bert_config.json`.
struct SentencePooling {
  enum class Kind { kMean, kFirstToken };

  Kind kind = Kind::kMean;
  bool normalize = false;  // to length 1
  int64_t max_tokens =
      0;  // of a text, special tokens included; 0: what the model has positions for

  // Reads those files of a model's folder; without them, the mean as it is. An Error names the file
  // and the field.
  static Result<SentencePooling> read(const std::string& directory);
};

// A BERT-type encoder that turns texts into vectors: absolute positions, attention in both
// directions, LayerNorm after each block, GELU. In f32 throughout.
//
// A text's vector depends on its tokens alone, bit for bit: not on the texts beside it, their order
// or the size of the team. One encode() at a time.
class SentenceEncoder final {
 public:
  // `config` is the model's config.json. An Error names the field or tensor and what is needed.
  // `weights` is read here and, for the rows of the embedding, later.
  static Result<std::unique_ptr<SentenceEncoder>> load(std::shared_ptr<const TensorSource> weights,
                                                       const Json& config,
                                                       const SentencePooling& pooling, Team& team,
                                                       const KernelTable& kernels);
  ~SentenceEncoder();

  int64_t dimension() const { return hidden_; }
  int64_t vocab_size() const { return vocab_size_; }
  int64_t max_tokens() const { return max_tokens_; }

  // out [texts, dimension()]. `texts` are token ids as the model's tokenizer gives them, special
  // tokens included. One longer than max_tokens() keeps its first max_tokens() − 1 ids and its
  // last. An Error names the text: it is empty, or holds an id outside the vocabulary. Allocates
  // nothing.
  Status encode(std::span<const std::span<const int32_t>> texts, std::span<float> out);

 private:
  struct Layer;
  struct Piece;
  struct Scratch;
  struct Turn;
  class Loader;

  SentenceEncoder(std::shared_ptr<const TensorSource> weights, Team& team,
                  const KernelTable& kernels);
  Status read_config(const Json& config, const SentencePooling& pooling);
  Status load_weights();
  void make_room();
  int64_t num_stages() const;

  Status check(std::span<const std::span<const int32_t>> texts) const;
  void run_batch(std::span<float> out);
  template <typename Job>
  void deal(Turn& turn, int64_t num_jobs, Job job);
  void embed(const Piece& piece);
  void run_layer(const Layer& layer, Turn& turn);
  void multiply(const PackedMatrix& weight, const std::vector<float>& bias, const float* x,
                float* out, Turn& turn, GeluErfFunction activation = nullptr);
  void attend(const Piece& piece, int64_t head, Scratch& scratch);
  void add_and_norm(const std::vector<float>& weight, const std::vector<float>& bias, Turn& turn);
  void pool(const Piece& piece, float* out) const;

  std::shared_ptr<const TensorSource> source_;
  Team& team_;
  const KernelTable& kernels_;
  const EncoderOps& ops_;
  SentencePooling pooling_;

  int64_t vocab_size_ = 0;
  int64_t hidden_ = 0;
  int64_t num_heads_ = 0;
  int64_t head_dim_ = 0;
  int64_t feed_forward_ = 0;
  int64_t num_positions_ = 0;
  int64_t num_token_types_ = 0;
  int64_t max_tokens_ = 0;
  int64_t max_rows_ = 0;  // of a batch
  float epsilon_ = 0.0f;

  TensorView word_embedding_;              // [vocab, hidden]
  std::vector<float> position_embedding_;  // [positions, hidden], the first token type's added
  std::vector<float> embedding_norm_weight_;
  std::vector<float> embedding_norm_bias_;
  std::vector<Layer> layers_;

  Arena arena_;
  ArenaPiece states_;             // [rows, hidden]
  ArenaPiece qkv_;                // [rows, 3 · hidden]
  ArenaPiece attended_;           // [rows, hidden]
  ArenaPiece inner_;              // [rows, feed_forward]
  ArenaPiece product_;            // [rows, hidden]
  std::vector<Scratch> scratch_;  // one a member
  std::vector<Piece> pieces_;     // the texts of a batch
  int64_t num_pieces_ = 0;
  int64_t num_rows_ = 0;
  std::unique_ptr<std::atomic<int64_t>[]> next_jobs_;  // [num_stages()] of the batch
};

}  // namespace forerun
