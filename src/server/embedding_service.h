#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "models/sentence_encoder.h"
#include "server/worker_pool.h"
#include "text/tokenizer.h"

namespace forerun {

// The encoder behind /v1/embeddings, with a thread of its own: only the engine's thread opens
// parallel regions, so the encoder's team has one member.
class EmbeddingService final {
 public:
  // The encoder was loaded with `team`, which has one member.
  EmbeddingService(std::string name, std::unique_ptr<Team> team,
                   std::unique_ptr<SentenceEncoder> encoder, Tokenizer tokenizer)
      : name_(std::move(name)),
        team_(std::move(team)),
        encoder_(std::move(encoder)),
        tokenizer_(std::move(tokenizer)),
        thread_("forerun-embed", /*num_threads=*/1, /*max_queued=*/256) {}

  const std::string& name() const { return name_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  int64_t dimension() const { return encoder_->dimension(); }
  int64_t vocab_size() const { return encoder_->vocab_size(); }
  int64_t max_tokens() const { return encoder_->max_tokens(); }

  // On its thread, one at a time: [texts, dimension()]. False when too many wait.
  bool post(std::function<void()> job) { return thread_.post(std::move(job)); }
  Result<std::vector<float>> encode(std::span<const std::span<const int32_t>> texts) {
    std::vector<float> vectors(texts.size() * static_cast<size_t>(dimension()));
    if (const Status status = encoder_->encode(texts, vectors); !status.ok()) return status.error();
    return vectors;
  }

 private:
  const std::string name_;
  const std::unique_ptr<Team> team_;
  const std::unique_ptr<SentenceEncoder> encoder_;
  const Tokenizer tokenizer_;
  WorkerPool thread_;
};

}  // namespace forerun
