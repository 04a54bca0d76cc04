#include <poll.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "commands.h"
#include "interruption.h"
#include "learn_options.h"
#include "learning_folder.h"
#include "loaded_encoder.h"
#include "loaded_model.h"
#include "model_sampling.h"
#include "serve_options.h"
#include "server/api_routes.h"
#include "server/embedding_service.h"
#include "server/engine_thread.h"
#include "server/learning_routes.h"
#include "server/metrics.h"
#include "server/model_service.h"
#include "server/openapi.h"
#include "server/server.h"
#include "server/statistics.h"
#include "server/status_routes.h"
#include "server/worker_pool.h"
#include "speculation_options.h"
#include "text_input.h"
#include "trace_recording.h"

namespace forerun {
namespace {

constexpr size_t kMostTemplateBytes = 1'000'000;
constexpr int kWorkers = 2;
constexpr int kMostQueuedJobs = 4096;

Status use_template(const std::string& path, LoadedModel& loaded) {
  const Result<std::string> text = read_text(path, kMostTemplateBytes);
  if (!text.ok()) return text.error();
  const Result<const Tokenizer*> tokenizer = need_tokenizer(loaded);
  if (!tokenizer.ok()) return tokenizer.error();
  const std::span<const int32_t> ends = (*tokenizer)->end_ids();
  loaded.tokenizer = (*tokenizer)
                         ->with({.bos_id = (*tokenizer)->bos_id(),
                                 .eos_id = (*tokenizer)->eos_id(),
                                 .end_ids = {ends.begin(), ends.end()},
                                 .chat_template = *text});
  return {};
}

SamplingParams sampling_of(const SamplingDefaults& advised) {
  SamplingParams sampling;
  sampling.temperature = advised.temperature.value_or(sampling.temperature);
  sampling.top_k = advised.top_k.value_or(sampling.top_k);
  sampling.top_p = advised.top_p.value_or(sampling.top_p);
  sampling.min_p = advised.min_p.value_or(sampling.min_p);
  sampling.repetition_penalty = advised.repetition_penalty.value_or(sampling.repetition_penalty);
  return sampling;
}

void log_access(const AccessRecord& record) {
  log(LogLevel::kInfo, "request",
      {{"method", record.method},
       {"path", record.path},
       {"status", record.status},
       {"complete", record.complete},
       {"bytes", record.body_bytes},
       {"milliseconds", std::round(record.seconds * 1e4) / 10},
       {"request_id", record.request_id}});
}

// A model, its engine and all that answers for them.
class Serving final {
 public:
  explicit Serving(ServeOptions options)
      : options_(complete(std::move(options))), server_(options_.server) {}

  // To the end: what the process ends with.
  int run();

 private:
  static ServeOptions complete(ServeOptions options);

  Status load();
  Status make_engine();
  Status choose_drafting(EngineOptions& engine);
  void start_service();
  Router routes();
  void tell_ready() const;
  void watch();
  void tick(double now);
  void drain();
  void save_history() const;
  ServerState state() const;

  const ServeOptions options_;
  LoadedModel loaded_;
  LoadedDrafting drafting_;
  std::unique_ptr<EmbeddingService> embedding_;
  std::unique_ptr<GrammarCompiler> grammars_;
  SamplingParams sampling_;
  std::unique_ptr<TraceRecording> recording_;
  std::unique_ptr<Learner> learner_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<ServerStatistics> statistics_;
  Server server_;
  std::unique_ptr<EngineThread> engine_thread_;
  std::unique_ptr<WorkerPool> workers_;
  std::unique_ptr<ModelService> service_;
  std::shared_ptr<LearningEvents> learning_events_;  // null: nothing learns
  double line_time_ = 0.0;
};

ServeOptions Serving::complete(ServeOptions options) {
  std::vector<std::string>& names = options.server.model_names;
  if (names.empty()) names.push_back(model_name(options.model));
  return options;
}

Status Serving::load() {
  const int threads = serving_threads(options_.learn, options_.threads);
  Result<LoadedModel> loaded = load_model(options_.model, threads);
  if (!loaded.ok()) return loaded.error();
  loaded_ = *std::move(loaded);
  if (!options_.chat_template.empty()) {
    if (Status status = use_template(options_.chat_template, loaded_); !status.ok()) return status;
  }
  const Result<SamplingDefaults> advised = advised_sampling(loaded_.model->files());
  if (!advised.ok()) return advised.error();
  sampling_ = sampling_of(*advised);
  if (!options_.embedding_model.empty()) {
    // One thread: only the engine's opens parallel regions (docs/architecture.md, promise 4).
    Result<LoadedEncoder> encoder = load_encoder(options_.embedding_model, /*num_threads=*/1);
    if (!encoder.ok()) return encoder.error();
    embedding_ = std::make_unique<EmbeddingService>(
        model_name(options_.embedding_model), std::move(encoder->team), std::move(encoder->encoder),
        std::move(encoder->tokenizer));
  }
  return make_engine();
}

Status Serving::make_engine() {
  EngineOptions engine = loaded_.engine_options();
  engine.token_bytes = loaded_.token_bytes();
  engine.max_sequences = options_.max_sequences;
  engine.kv_tokens = options_.kv_tokens;
  engine.commit_kv = true;
  engine.kv_type = options_.kv_type;
  engine.max_step_ms = options_.max_step_ms;
  if (Status status = choose_drafting(engine); !status.ok()) return status;
  engine.speculation.max_draft = options_.max_draft;
  engine.speculation.history_tokens = options_.history_tokens;
  Result<std::unique_ptr<Engine>> made =
      Engine::create(*loaded_.model, *loaded_.kernels, *loaded_.team, std::move(engine));
  if (!made.ok()) return made.error();
  engine_ = *std::move(made);
  if (options_.history_file.empty()) return {};
  return engine_->restore_history(options_.history_file);
}

// What drafts, and what is recorded to draft better.
Status Serving::choose_drafting(EngineOptions& engine) {
  if (options_.learn.on) {
    Result<std::unique_ptr<Learner>> learned = learn_to_draft(
        options_.learn, options_.trace, options_.model, options_.speculation, loaded_, engine);
    if (!learned.ok()) return learned.error();
    learner_ = *std::move(learned);
    return {};
  }
  Result<LoadedDrafting> drafting = load_drafting(options_.speculation, loaded_);
  if (!drafting.ok()) return drafting.error();
  drafting_ = *std::move(drafting);
  engine.speculation = drafting_.options;
  if (options_.trace.folder.empty()) return {};
  Result<std::unique_ptr<TraceRecording>> recording =
      TraceRecording::start(options_.trace, *loaded_.model, engine);
  if (!recording.ok()) return recording.error();
  recording_ = *std::move(recording);
  return {};
}

void Serving::start_service() {
  const std::string& name = options_.server.model_names.front();
  metrics_ = std::make_unique<Metrics>(options_.server.metrics_prefix, name);
  statistics_ = std::make_unique<ServerStatistics>(*metrics_);
  if (learner_) {
    metrics_->add_learning(*learner_);
    statistics_->add_learning(*learner_);
  }
  workers_ = std::make_unique<WorkerPool>("forerun-text", kWorkers, kMostQueuedJobs);
  engine_thread_ = std::make_unique<EngineThread>(
      *engine_, server_.post_to_io(),
      EngineThread::Limits{options_.max_sequences, options_.server.max_waiting});
  const Tokenizer* tokenizer = loaded_.tokenizer ? &*loaded_.tokenizer : nullptr;
  if (tokenizer != nullptr) grammars_ = std::make_unique<GrammarCompiler>(*tokenizer);
  service_ = std::make_unique<ModelService>(ModelService{
      .options = options_.server,
      .tokenizer = tokenizer,
      .tokenizer_error = loaded_.tokenizer_error,
      .sampling_defaults = sampling_,
      .fingerprint = engine_->fingerprint(),
      .context_length = engine_->context_length(),
      .vocab_size = loaded_.model->descriptor().vocab_size,
      .created = static_cast<int64_t>(std::time(nullptr)),
      .engine = *engine_thread_,
      .workers = *workers_,
      .metrics = *metrics_,
      .post = server_.post_to_io(),
      .chat_format =
          tokenizer == nullptr ? ChatFormat() : read_chat_format(tokenizer->chat_template()),
      .grammars = grammars_.get(),
      .embedding = embedding_.get(),
      .records = recording_ != nullptr || learner_ != nullptr});
}

Router Serving::routes() {
  Router router;
  const LoadedModel& loaded = loaded_;
  add_api_routes(router, *service_);
  add_openapi_route(router);
  if (learner_) learning_events_ = add_learning_routes(router, *service_, *learner_);
  add_metrics_route(router, *metrics_, [this] { return engine_thread_->snapshot(); });
  add_status_routes(router, *statistics_,
                    {.model = options_.server.model_names.front(),
                     .isa = std::string(isa_name(loaded.kernels->isa)),
                     .fingerprint = engine_->fingerprint(),
                     .context_length = engine_->context_length()});
  return router;
}

// What a reader of the log wants to know of what is running, then where.
void Serving::tell_ready() const {
  const ModelFiles& files = loaded_.model->files();
  const EngineStats stats = engine_thread_->snapshot().engine;  // the engine is its thread's now
  log(LogLevel::kInfo, "model",
      {{"path", loaded_.path},
       {"architecture", loaded_.model->descriptor().architecture},
       {"megabytes", files.size_bytes() / 1'000'000},
       {"context", engine_->context_length()},
       {"load_seconds", std::round(loaded_.load_seconds * 100) / 100}});
  log(LogLevel::kInfo, "engine",
      {{"isa", std::string(isa_name(loaded_.kernels->isa))},
       {"threads", loaded_.team->size()},
       {"sequences", options_.max_sequences},
       {"kv_tokens", int64_t{stats.kv_pages} * kPageTokens},
       {"fingerprint", engine_->fingerprint()}});
  const bool open = options_.server.api_keys.empty() && options_.server.host != "127.0.0.1" &&
                    options_.server.host != "localhost" && options_.server.host != "::1";
  if (open)
    log(LogLevel::kWarning, "whoever reaches this address may use it; --api-key asks for a key");
  log(LogLevel::kInfo, "ready", {{"url", server_.url()}});
  if (options_.log_format != LogFormat::kText) return;
  std::fprintf(
      stderr,
      "\n  status page and chat   %s/\n  try it                 curl %s/v1/chat/completions "
      "%s-H 'Content-Type: application/json' \\\n                           -d "
      "'{\"messages\": [{\"role\": \"user\", \"content\": \"Why is the sky blue?\"}], "
      "\"temperature\": 0}'\n\n",
      server_.url().c_str(), server_.url().c_str(),
      options_.server.api_keys.empty() ? "" : "-H 'Authorization: Bearer KEY' ");
}

ServerState Serving::state() const {
  if (engine_thread_->draining()) return ServerState::kDraining;
  const bool stuck = engine_thread_->snapshot().seconds_since_step > options_.server.stuck_seconds;
  return stuck ? ServerState::kStuck : ServerState::kReady;
}

// Once a second. Statistics live on the I/O thread.
void Serving::tick(double now) {
  const bool line_due =
      options_.statistics_seconds > 0 && now - line_time_ >= options_.statistics_seconds;
  if (line_due) line_time_ = now;
  server_.post_to_io()([this, now, line_due] {
    statistics_->sample(engine_thread_->snapshot(), state(), now);
    if (learning_events_) learning_events_->beat(now);
    if (!line_due) return;
    if (const auto line = statistics_->next_line()) log(LogLevel::kInfo, *line);
  });
}

// Until a signal asks for the end.
void Serving::watch() {
  pollfd signals = {interruption_descriptor(), POLLIN, 0};
  while (interruption() == 0) {
    poll(&signals, 1, /*timeout, ms=*/1000);
    tick(now_seconds());
  }
}

// Requests in hand may end; a second signal ends the process (interruption.h).
void Serving::drain() {
  engine_thread_->drain();
  server_.drain();
  // Streams of events have no end of their own.
  if (learning_events_) server_.post_to_io()([events = learning_events_] { events->end(); });
  log(LogLevel::kInfo, "draining",
      {{"requests", server_.requests_in_hand()}, {"seconds", options_.server.drain_seconds}});
  const double end = now_seconds() + options_.server.drain_seconds;
  while (server_.requests_in_hand() > 0 && now_seconds() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const int left = server_.requests_in_hand();
  if (left > 0) log(LogLevel::kWarning, "requests cut off", {{"requests", left}});
}

// A server that cannot write what it would draft from next time has served all the same.
void Serving::save_history() const {
  if (options_.history_file.empty()) return;
  const Status saved = engine_->save_history(options_.history_file);
  if (!saved.ok()) log(LogLevel::kWarning, "history not saved", {{"error", saved.error().message}});
}

int Serving::run() {
  // First of all, so that nobody waits for a model to learn that the port is taken.
  const Status listens = server_.listen(options_.access_log ? AccessLog(log_access) : AccessLog());
  if (!listens.ok()) return failed(listens.error());
  if (const Status status = load(); !status.ok()) return failed(status.error());
  start_service();
  end_answer_on_signals();
  Router router = routes();
  // Behind the routes, which listen to it, and before the first request.
  if (learner_) learner_->start(*engine_);
  server_.serve(std::move(router));
  tell_ready();
  watch();
  drain();
  engine_thread_->stop();
  server_.stop();
  // What these still have refers to the service.
  workers_.reset();
  embedding_.reset();
  save_history();
  if (recording_) recording_->end();
  if (learner_) learner_->end();
  log(LogLevel::kInfo, "ended");
  return 0;
}

int serve(CLI::App& command, ServeOptions& options) {
  const Status complete = complete_serve_options(command, options);
  if (!complete.ok()) return failed(complete.error());
  start_log(options.log_format, options.log_level);
  return Serving(options).run();
}

}  // namespace

void add_serve(CLI::App& app, int& exit_code) {
  const auto options = std::make_shared<ServeOptions>();
  CLI::App* command = app.add_subcommand("serve", "Answer over HTTP, as OpenAI's API does");
  command->group(kRunCommands);
  add_serve_options(*command, *options);
  command->footer(
      "Every option may also stand in the environment, FORERUN_MAX_WAITING=100 for\n"
      "--max-waiting 100, or in the file of --config, `max-waiting: 100`. The command line counts\n"
      "before the environment, and that before the file.\n\n"
      "SIGTERM or Ctrl-C lets requests in hand finish, a second one ends the process.\n\n"
      "Examples:\n"
      "  forerun serve smollm2-135m\n"
      "  FORERUN_API_KEY=secret forerun serve model.gguf --host 0.0.0.0 --port 8080\n"
      "  forerun serve smollm2-135m --embedding-model all-minilm-l6-v2 --log-format json");
  command->callback([command, options, &exit_code] { exit_code = serve(*command, *options); });
}

}  // namespace forerun
