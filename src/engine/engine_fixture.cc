#include "engine/engine_fixture.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <ostream>

#include "base/check.h"
#include "base/philox.h"
#include "models/tiny_head.h"

namespace forerun {
namespace {

uint32_t bits_of(float value) {
  return std::bit_cast<uint32_t>(value);
}

AnsweredToken answered(int32_t token_id, std::optional<float> logprob,
                       std::span<const TokenLogprob> tops) {
  AnsweredToken token = {token_id, logprob ? bits_of(*logprob) : 0, {}};
  for (const TokenLogprob& top : tops) {
    token.top.emplace_back(top.token_id, bits_of(top.logprob));
  }
  return token;
}

void note_finish(const FinishEvent& event, Answers& answers) {
  Answer& answer = answers.choices[event.choice];
  answer.reason = event.reason;
  answer.stop_id = event.stop_id;
  answer.stop_string = event.stop_string;
  answer.text_bytes = event.text_bytes;
  answer.error = event.error;
  answer.prompt_tokens = event.prompt_tokens;
  answer.completion_tokens = event.completion_tokens;
  answer.seed = event.seed;
  answers.cached_tokens = event.cached_tokens;
  ++answers.finished;
}

std::unique_ptr<Model> parse_model(const std::vector<uint8_t>& bytes) {
  Team team(1);
  Result<Gguf> file = Gguf::parse(bytes, "tiny");
  CHECK(file.ok(), file.error().message);
  Result<std::unique_ptr<Model>> model = Model::load(std::move(*file), team);
  CHECK(model.ok(), model.error().message);
  return std::move(*model);
}

}  // namespace

std::vector<int32_t> Answer::token_ids() const {
  std::vector<int32_t> ids;
  for (const AnsweredToken& token : tokens) ids.push_back(token.token_id);
  return ids;
}

std::ostream& operator<<(std::ostream& out, const Answer& answer) {
  for (const AnsweredToken& token : answer.tokens) {
    out << token.token_id << ":" << std::hex << token.logprob_bits << std::dec << " ";
  }
  return out << finish_reason_name(answer.reason) << " " << answer.error << " "
             << answer.completion_tokens << " tokens, seed " << answer.seed;
}

TinyModelConfig TinyModel::default_config() {
  TinyModelConfig config;
  config.num_layers = 2;
  config.head_dim = 32;
  config.d_ff = 96;
  config.context_length = 512;
  // Tied, a model this small says its last token again for ever.
  config.tied_output = false;
  config.matrix_type = DType::kQ4_1;
  return config;
}

TinyModelConfig TinyModel::windowed_config() {
  TinyModelConfig config = default_config();
  config.architecture = "gemma3";
  config.num_layers = 3;
  config.keys = {{"attention.sliding_window", 24},
                 {"attention.sliding_window_pattern", 2},
                 {"final_logit_softcapping", 4.0f}};
  return config;
}

TinyModel::TinyModel(const TinyModelConfig& config)
    : bytes(make_tiny_model(config)), model(parse_model(bytes)) {}

const Model& tiny_model() {
  static const TinyModel tiny;
  return *tiny.model;
}

const Model& windowed_model() {
  static const TinyModel tiny(TinyModel::windowed_config());
  return *tiny.model;
}

const Model& shallow_model() {
  static const TinyModel shallow = [] {
    TinyModelConfig config = TinyModel::default_config();
    config.num_layers = 1;
    return TinyModel(config);
  }();
  return *shallow.model;
}

const Eagle3Head& tiny_head() {
  static const std::vector<uint8_t> bytes = make_tiny_head(tiny_head_config()).encode();
  static const std::unique_ptr<Eagle3Head> head = [] {
    Team team(1);
    Result<Eagle3Checkpoint> checkpoint = Eagle3Checkpoint::read(
        tiny_head_config(), SafetensorsShards::of(*Safetensors::parse(bytes, "head")));
    CHECK(checkpoint.ok(), checkpoint.error().message);
    auto loaded = Eagle3Head::load(*std::move(checkpoint), tiny_model(), team);
    CHECK(loaded.ok(), loaded.error().message);
    return *std::move(loaded);
  }();
  return *head;
}

EngineOptions tiny_options() {
  EngineOptions options;
  options.max_sequences = 32;
  options.max_step_rows = 512;
  options.kv_tokens = 4096;
  options.eos_ids = {kTinyEos};
  for (int id = 0; id < 320; ++id) {
    options.token_bytes.emplace_back(1 + id % 3, static_cast<char>('a' + id % 26));
  }
  return options;
}

Smollm2 load_smollm2(Team& team) {
  const char* home = std::getenv("FORERUN_HOME");
  const std::string cache = home != nullptr && *home != '\0'
                                ? std::string(home)
                                : std::string(std::getenv("HOME")) + "/.cache/forerun";
  Result<std::unique_ptr<Model>> model =
      Model::load(cache + "/models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf", team);
  if (!model.ok()) return {nullptr, model.error().message + " (forerun pull smollm2-135m)"};
  return {std::move(*model), ""};
}

std::vector<int32_t> random_tokens(int count, int64_t vocab_size, uint32_t stream) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < count; ++i) {
    const uint32_t word = philox({static_cast<uint32_t>(i), stream, 0, 0}, {1, 2})[0];
    tokens.push_back(static_cast<int32_t>(word % static_cast<uint64_t>(vocab_size)));
  }
  return tokens;
}

std::vector<Request> mixed_requests(int64_t vocab_size) {
  // Around the edges of pages (32) and of attention's partitions (256).
  constexpr int kLengths[] = {1, 2, 5, 17, 31, 32, 33, 63, 64, 65, 96, 130, 200, 255, 257, 300};
  std::vector<Request> requests;
  for (const int length : kLengths) {
    Request request;
    const auto index = static_cast<uint32_t>(requests.size());
    request.prompt = random_tokens(length, vocab_size, /*stream=*/index < 8 ? index : 8);
    request.prompt.back() = static_cast<int32_t>(index);
    request.max_tokens = 20 + 2 * index;
    request.sampling.seed = 1000 + index;
    requests.push_back(std::move(request));
  }
  const auto params = [&](int i) -> SamplingParams& { return requests[i].sampling; };
  const auto log_probs = [&](int i, LogprobMode mode, int top) {
    params(i).logprobs = mode;
    params(i).top_logprobs = top;
  };
  for (const int i : {0, 2, 6, 9, 13}) params(i).temperature = 0.0f;
  log_probs(2, LogprobMode::kRaw, 5);
  params(3).top_k = 40;
  log_probs(3, LogprobMode::kProcessed, 20);
  params(4).temperature = 0.7f;
  params(4).top_p = 0.9f;
  params(5).temperature = 1.3f;
  params(5).min_p = 0.05f;
  log_probs(5, LogprobMode::kProcessed, 3);
  params(6).repetition_penalty = 1.3f;
  params(7).frequency_penalty = 0.5f;
  params(7).presence_penalty = 0.5f;
  requests[8].n = 3;
  params(9).logit_bias = {{5, 4.0f}, {6, -2.0f}, {5, 1.0f}};
  log_probs(9, LogprobMode::kRaw, 1);
  requests[10].stop_strings = {"zzzz", "q", "bb"};
  for (int32_t id = 0; id < 64; ++id) requests[11].stop_ids.push_back(id * 5);
  params(12) = {.temperature = 0.9f,
                .top_k = 60,
                .top_p = 0.95f,
                .min_p = 0.01f,
                .repetition_penalty = 1.1f,
                .frequency_penalty = 0.2f,
                .presence_penalty = 0.1f,
                .logit_bias = {{3, 2.0f}},
                .seed = 77,
                .logprobs = LogprobMode::kProcessed,
                .top_logprobs = 4};
  requests[12].n = 2;
  requests[13].n = 2;
  params(14).top_k = 1;
  log_probs(15, LogprobMode::kRaw, 0);
  requests[7].prompt_logprobs = {.first = 1, .top = 3};
  requests[13].prompt_logprobs = {.first = 40, .top = 0};
  requests[15].prompt_logprobs = {.first = 270, .top = 20};
  requests[15].ignore_eos = true;
  return requests;
}

std::vector<Request> predicted(std::vector<Request> requests, const std::vector<Answers>& answers,
                               size_t wrong_every) {
  for (size_t i = 0; i < requests.size(); ++i) {
    std::vector<int32_t>& prediction = requests[i].prediction;
    prediction = answers[i].choices[0].token_ids();
    for (size_t t = wrong_every - 1; t < prediction.size(); t += wrong_every) prediction[t] ^= 1;
  }
  return requests;
}

RecordedEngine::RecordedEngine(const Model& model, Isa isa, int num_threads, EngineOptions options)
    : team_(num_threads) {
  Result<std::unique_ptr<Engine>> engine =
      Engine::create(model, kernel_table(isa), team_, std::move(options));
  CHECK(engine.ok(), engine.error().message);
  engine_ = std::move(*engine);
}

RequestId RecordedEngine::add(Request request) {
  const auto choices = static_cast<size_t>(request.n);
  request.on_prompt_token =
      [this, then = std::move(request.on_prompt_token)](const PromptTokenEvent& event) {
        std::vector<AnsweredToken>& told = answers_.at(event.request).choices[0].prompt;
        told.push_back(answered(event.token_id, event.logprob, event.top));
        if (then) then(event);
      };
  request.on_token = [this, then = std::move(request.on_token)](const TokenEvent& event) {
    answers_.at(event.request)
        .choices[event.choice]
        .tokens.push_back(answered(event.token_id, event.logprob, event.top));
    if (then) then(event);
  };
  request.on_finish = [this, then = std::move(request.on_finish)](const FinishEvent& event) {
    note_finish(event, answers_.at(event.request));
    if (then) then(event);
  };
  const Result<RequestId> id = engine_->add(std::move(request));
  CHECK(id.ok(), id.error().message);
  answers_[*id].choices.resize(choices);
  return *id;
}

void RecordedEngine::finish_all() {
  while (engine_->step()) {
  }
}

std::vector<Answers> RecordedEngine::run(const std::vector<Request>& requests) {
  std::vector<RequestId> ids;
  for (const Request& request : requests) ids.push_back(add(request));
  finish_all();
  std::vector<Answers> answers;
  for (const RequestId id : ids) answers.push_back(answers_.at(id));
  return answers;
}

}  // namespace forerun
