#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "engine/engine.h"
#include "models/eagle3_head.h"
#include "models/model.h"
#include "models/tiny_model.h"

// For the engine's tests: a tiny model, engines over it, and what they answered, bit for bit.
namespace forerun {

struct AnsweredToken {
  int32_t token_id;
  uint32_t logprob_bits;  // 0 when none came
  std::vector<std::pair<int32_t, uint32_t>> top;

  bool operator==(const AnsweredToken&) const = default;
};

// What a choice was answered; all of it falls under promise 1.
struct Answer {
  std::vector<AnsweredToken> prompt;  // log-probs of its tokens, where asked for
  std::vector<AnsweredToken> tokens;
  FinishReason reason = FinishReason::kCancelled;
  std::optional<int32_t> stop_id;
  int stop_string = -1;
  std::optional<int64_t> text_bytes;
  std::string error;
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  uint64_t seed = 0;

  bool operator==(const Answer&) const = default;
  std::vector<int32_t> token_ids() const;
};
std::ostream& operator<<(std::ostream& out, const Answer& answer);

// The answers to one request, by choice.
struct Answers {
  std::vector<Answer> choices;
  int finished = 0;
  int64_t cached_tokens = -1;
};

// Sixteen token ids of a small vocabulary, and for each the bytes it stands for.
struct TinyModel {
  explicit TinyModel(const TinyModelConfig& config = default_config());
  static TinyModelConfig default_config();
  // Of another family: windows on two of three layers, norms of heads and of branches, soft-cap.
  static TinyModelConfig windowed_config();

  std::vector<uint8_t> bytes;
  std::unique_ptr<Model> model;
};
// The default one, and the windowed one, made once.
const Model& tiny_model();
const Model& windowed_model();
// What may draft for tiny_model(): it without its second layer, and a random head.
const Model& shallow_model();
const Eagle3Head& tiny_head();

// Options with end-of-sequence ids and a vocabulary of letters.
EngineOptions tiny_options();
constexpr int32_t kTinyEos = 11;

// SmolLM2 where it was pulled; else null and why not.
struct Smollm2 {
  std::unique_ptr<Model> model;
  std::string missing;
};
Smollm2 load_smollm2(Team& team);

// `count` ids below the vocabulary's size, a function of `stream` and the index.
std::vector<int32_t> random_tokens(int count, int64_t vocab_size, uint32_t stream);

// Sixteen requests that differ in prompt length, sampling, choices, stops and log-probs. The
// second half shares the beginning of its prompts.
std::vector<Request> mixed_requests(int64_t vocab_size);

// The requests, each with its first answer as prediction, in which every `wrong_every`-th token is
// another.
std::vector<Request> predicted(std::vector<Request> requests, const std::vector<Answers>& answers,
                               size_t wrong_every);

// An engine that notes what every request was answered.
class RecordedEngine final {
 public:
  RecordedEngine(const Model& model, Isa isa, int num_threads, EngineOptions options);

  Engine& engine() { return *engine_; }
  // Adds a valid request; its own callbacks are called after the answer is noted.
  RequestId add(Request request);
  // Adds them all and steps until nothing is left; the answers in the same order.
  std::vector<Answers> run(const std::vector<Request>& requests);
  void finish_all();
  // Of a request that was added.
  const Answers& answers(RequestId id) const { return answers_.at(id); }
  EngineStats stats() const { return engine_->stats(); }

 private:
  Team team_;
  std::map<RequestId, Answers> answers_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace forerun
