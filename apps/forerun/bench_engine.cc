#include <algorithm>
#include <cstdio>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/version.h"
#include "bench.h"
#include "commands.h"
#include "commit.h"
#include "engine_bench_report.h"
#include "kernels/peak.h"
#include "loaded_model.h"
#include "machine.h"
#include "model_options.h"
#include "step_bench.h"

namespace forerun {
namespace {

struct EngineBenchOptions {
  std::string model;
  std::vector<int> prompt = {512};
  int generate = 128;
  std::vector<int> batch = {1, 4, 8, 16};
  std::vector<int> verify = {1, 2, 4, 8, 16};
  std::vector<int> depth = {0, 512, 4096};
  int repetitions = 5;
  int threads = 0;
  std::optional<KvType> kv_type;
  bool profile = false;
  bool json = false;
};

// Tokens of each prompt of the engine's runs, and of the one whose first answer token is timed.
constexpr int kEnginePrompt = 16;
// What a step that checks drafts is held to: the time its bytes take at this share of the ceiling.
constexpr double kReadShare = 0.75;

bool contains(const std::vector<int>& values, int value) {
  return std::ranges::find(values, value) != values.end();
}

int largest(const std::vector<int>& values) {
  return *std::ranges::max_element(values);
}

// Multiply-adds of the matrices of the layers for one token.
double layer_macs(const ModelDescriptor& model) {
  const auto d = static_cast<double>(model.d_model);
  return model.num_layers * (d * static_cast<double>(2 * model.q_dim() + 2 * model.kv_dim()) +
                             3.0 * d * static_cast<double>(model.d_ff));
}

// Requests that begin with different tokens and go on for `max_tokens`, whatever the model says. An
// end by an error, as a broken file's NaN logits bring, is noted in `error`.
Request benched_request(int index, int64_t max_tokens, int64_t vocab_size, std::string& error) {
  Request request;
  request.prompt = random_tokens(kEnginePrompt, vocab_size);
  request.prompt[0] = static_cast<int32_t>(index % vocab_size);
  request.max_tokens = max_tokens;
  request.ignore_eos = true;
  request.use_prefix_cache = false;
  request.sampling.temperature = 0.0f;
  request.on_finish = [&error](const FinishEvent& event) { error += event.error; };
  return request;
}

// Seconds per token of each of `batch` sequences through the whole engine, from the moment when all
// have begun to answer.
Result<double> engine_seconds_per_step(Engine& engine, int batch, int generate,
                                       int64_t vocab_size) {
  int begun = 0;
  int64_t tokens = 0;
  std::string error;
  for (int i = 0; i < batch; ++i) {
    Request request = benched_request(i, generate, vocab_size, error);
    request.on_token = [&, first = true](const TokenEvent&) mutable {
      begun += first ? 1 : 0;
      first = false;
      ++tokens;
    };
    if (const Result<RequestId> id = engine.add(std::move(request)); !id.ok()) return id.error();
  }
  while (begun < batch && engine.step()) {
  }
  const int64_t tokens_before = tokens;
  const double begin = now_seconds();
  while (engine.step()) {
  }
  if (!error.empty()) return Error{std::move(error)};
  return (now_seconds() - begin) * batch / static_cast<double>(tokens - tokens_before);
}

// One run of the command, entry by entry.
class EngineBench final {
 public:
  EngineBench(const LoadedModel& loaded, const EngineBenchOptions& options, Engine& engine,
              StepBench& steps, EngineBenchReport& report)
      : loaded_(loaded),
        options_(options),
        model_(loaded.model->descriptor()),
        engine_(engine),
        steps_(steps),
        report_(report),
        read_peak_(*loaded.team) {}

  // An Error when the model cannot answer.
  Status run() {
    report_.begin_part("the machine's ceilings");
    Json ceiling = {{"read_gb_s", read_ceiling()}, {"int8_tops", int8_ceiling()}};
    if (const double bf16 = bf16_ceiling(); bf16 > 0.0) ceiling["bf16_tflops"] = bf16;
    report_.set("ceiling", std::move(ceiling));
    if (options_.profile) steps_.decoder().set_profiling(true);
    for (const int tokens : options_.prompt) prefill(tokens);
    for (const int depth : options_.depth) {
      for (const int batch : options_.batch) decode(batch, depth);
    }
    for (const int depth : options_.depth) {
      double one = contains(options_.verify, 1) ? 0.0 : one_token_seconds(depth);
      for (const int tokens : options_.verify) verify(tokens, depth, one);
    }
    for (const int batch : options_.batch) {
      if (const Status status = engine(batch); !status.ok()) return status;
    }
    return {};
  }

 private:
  double read_ceiling() { return read_peak_.measure_gb_s(); }
  double int8_ceiling() {
    return 2.0 * measure_int8_gmacs(loaded_.kernels->isa, *loaded_.team) / 1e3;
  }
  double bf16_ceiling() {
    return 2.0 * measure_bf16_gmacs(loaded_.kernels->isa, *loaded_.team) / 1e3;
  }
  // Of the products that take most of prefill's time.
  bool multiplies_bf16() const {
    return loaded_.kernels->forms_of(loaded_.model->weights().layers[0].gate).bf16;
  }

  double weight_bytes() const {
    return static_cast<double>(loaded_.model->weights().file_bytes_per_step);
  }

  void prefill(int tokens) {
    report_.begin_part("prefill " + std::to_string(tokens));
    steps_.decoder().reset_profile();
    const double ceiling = multiplies_bf16() ? bf16_ceiling() : int8_ceiling();
    const StepBench::Timing timing = steps_.time_prefill(tokens, options_.repetitions);
    const double macs =
        tokens * layer_macs(model_) + static_cast<double>(model_.vocab_size * model_.d_model);
    add("prefill", timing,
        {{"tokens", tokens},
         {"tok_s", tokens / timing.seconds},
         {"fraction", 2.0 * macs / timing.seconds / 1e12 / ceiling},
         {"ceiling", multiplies_bf16() ? "bf16" : "int8"},
         {"ceiling_tops", ceiling}});
  }

  void decode(int batch, int depth) {
    report_.begin_part("decode, batch " + std::to_string(batch) + ", depth " +
                       std::to_string(depth));
    steps_.decoder().reset_profile();
    const double ceiling = read_ceiling();
    const StepBench::Timing timing = steps_.time_steps(batch, 1, depth, options_.generate);
    const double gb_s = 1e-9 * (weight_bytes() + batch * steps_.kv_bytes(depth)) / timing.seconds;
    add("decode", timing,
        {{"batch", batch},
         {"depth", depth},
         {"tok_s", batch / timing.seconds},
         {"gb_s", gb_s},
         {"fraction", gb_s / ceiling},
         {"ceiling_gb_s", ceiling}});
  }

  double one_token_seconds(int depth) {
    return steps_.time_steps(1, 1, depth, options_.generate).seconds;
  }

  // `one`: seconds of a step of one token, which ratios are to.
  void verify(int tokens, int depth, double& one) {
    report_.begin_part("verify " + std::to_string(tokens) + ", depth " + std::to_string(depth));
    steps_.decoder().reset_profile();
    const double ceiling = read_ceiling();
    const StepBench::Timing timing = steps_.time_steps(1, tokens, depth, options_.generate);
    if (tokens == 1) one = timing.seconds;
    const double bytes = weight_bytes() + steps_.kv_bytes(depth);
    const double target = bytes / (kReadShare * ceiling * 1e9);
    add("verify", timing,
        {{"tokens", tokens},
         {"depth", depth},
         {"ratio_to_1", timing.seconds / one},
         {"ratio_to_bytes_at_75_percent", timing.seconds / target},
         {"ceiling_gb_s", ceiling}});
  }

  Status engine(int batch) {
    report_.begin_part("engine, batch " + std::to_string(batch));
    const double ceiling = read_ceiling();
    std::vector<double> seconds;
    seconds.reserve(options_.repetitions);
    for (int i = 0; i < options_.repetitions; ++i) {
      const Result<double> taken =
          engine_seconds_per_step(engine_, batch, options_.generate, model_.vocab_size);
      if (!taken.ok()) return taken.error();
      seconds.push_back(*taken);
    }
    const StepBench::Timing timing = {median(std::move(seconds)), options_.repetitions};
    const double keys = kEnginePrompt + options_.generate / 2.0;
    const double gb_s =
        1e-9 * (weight_bytes() + batch * keys * steps_.kv_bytes(1)) / timing.seconds;
    add("engine", timing,
        {{"batch", batch},
         {"prompt", kEnginePrompt},
         {"generated", options_.generate},
         {"tok_s", batch / timing.seconds},
         {"gb_s", gb_s},
         {"fraction", gb_s / ceiling},
         {"ceiling_gb_s", ceiling}});
    return {};
  }

  void add(const std::string& part, const StepBench::Timing& timing, Json entry) {
    entry["ms"] = timing.seconds * 1e3;
    entry["repetitions"] = timing.repetitions;
    if (options_.profile && part != "engine") entry["profile"] = profile();
    report_.add(part, std::move(entry));
  }

  Json profile() {
    const auto& seconds = steps_.decoder().profile();
    const double total = std::accumulate(seconds.begin(), seconds.end(), 0.0);
    Json json;
    for (size_t i = 0; i < seconds.size(); ++i) {
      json[std::string(kStepPartNames[i])] = seconds[i] / total;
    }
    return json;
  }

  const LoadedModel& loaded_;
  const EngineBenchOptions& options_;
  const ModelDescriptor& model_;
  Engine& engine_;
  StepBench& steps_;
  EngineBenchReport& report_;
  ReadPeak read_peak_;
};

Status check_sizes(const EngineBenchOptions& options, int64_t context) {
  struct Reach {
    const char* options;
    int64_t tokens;
  };
  const Reach reaches[] = {
      {"--depth and --verify", largest(options.depth) + largest(options.verify)},
      {"--prompt", largest(options.prompt)},
      {"--generate", kEnginePrompt + options.generate}};
  for (const Reach& reach : reaches) {
    if (reach.tokens <= context) continue;
    return Error{std::string(reach.options) + " reach " + std::to_string(reach.tokens) +
                 " tokens; the model's context is " + std::to_string(context)};
  }
  return {};
}

StepBench::Sizes sizes_of(const EngineBenchOptions& options, KvType kv_type) {
  StepBench::Sizes sizes;
  sizes.kv_type = kv_type;
  sizes.sequences = largest(options.batch);
  sizes.rows = largest(options.verify);
  sizes.sequence_tokens = std::max(largest(options.depth) + sizes.rows, largest(options.prompt));
  return sizes;
}

Result<Json> load_facts(const LoadedModel& loaded, Engine& engine, double begin) {
  std::string error;
  Request request = benched_request(0, 1, loaded.model->descriptor().vocab_size, error);
  if (const Result<RequestId> id = engine.add(std::move(request)); !id.ok()) return id.error();
  while (engine.step()) {
  }
  if (!error.empty()) return Error{std::move(error)};
  return Json{{"seconds", loaded.load_seconds}, {"first_token_seconds", now_seconds() - begin}};
}

Json memory_facts(const LoadedModel& loaded, Engine& engine, KvType type) {
  const int64_t page_bytes = kv_shape(loaded.model->descriptor(), type).page_bytes();
  return {{"rss_anon_bytes", resident_anonymous_bytes()},
          {"packed_weight_bytes", loaded.model->weights().packed_bytes},
          {"kv_pool_bytes", page_bytes * engine.stats().kv_pages}};
}

// What the lists of the document hold.
Json explanations() {
  return {
      {"prefill", "one sequence from nothing, in steps of 512 rows, and its first answer token"},
      {"decode",
       "bare decoder steps of one token a sequence, keys and values of `depth` tokens there "
       "already, greedy sampling included"},
      {"verify",
       "bare decoder steps of several tokens of one sequence, logits and greedy sampling for "
       "all of them"},
      {"engine",
       "requests through the whole engine, timed from when all have begun to answer; keys and "
       "values are those of the mean depth"},
      {"fraction", "of the ceiling taken just before the entry: ceiling_gb_s, ceiling_tops"},
      {"gb_s", "the file's tensor bytes and the keys and values read, over the median time"}};
}

Json run_facts(const LoadedModel& loaded, const EngineBenchOptions& options) {
  return {{"model", loaded.model->descriptor().name},
          {"file", loaded.path},
          {"weight_bytes", loaded.model->weights().file_bytes_per_step},
          {"isa", loaded.kernels->name},
          {"kv_type", kv_type_name(options.kv_type.value_or(loaded.kernels->kv_type))},
          {"threads", loaded.team->size()},
          {"machine", machine_facts()},
          {"version", kVersion},
          {"commit", kCommit},
          {"what", explanations()},
          {"options", {{"generate", options.generate}, {"repetitions", options.repetitions}}},
          {"load_average", {{"before", load_average()}}}};
}

int bench_engine(const EngineBenchOptions& options) {
  const double begin = now_seconds();
  Result<LoadedModel> loaded = load_model(options.model, options.threads);
  if (!loaded.ok()) return failed(loaded.error());
  const int64_t context = loaded->model->descriptor().context_length;
  if (const Status status = check_sizes(options, context); !status.ok()) {
    return failed(status.error());
  }
  const KvType kv_type = options.kv_type.value_or(loaded->kernels->kv_type);
  EngineOptions engine_options = loaded->engine_options();
  engine_options.kv_type = kv_type;
  Result<std::unique_ptr<Engine>> engine =
      Engine::create(*loaded->model, *loaded->kernels, *loaded->team, std::move(engine_options));
  if (!engine.ok()) return failed(engine.error());
  // Before anything else touches memory: what serving this model takes.
  Result<Json> load = load_facts(*loaded, **engine, begin);
  if (!load.ok()) return failed(load.error());
  Json facts = run_facts(*loaded, options);
  facts["load"] = std::move(*load);
  facts["memory"] = memory_facts(*loaded, **engine, kv_type);
  facts["idle_processor_share"] = idle_processor_share(/*seconds=*/0.5);

  const size_t parts = 1 + options.prompt.size() + options.batch.size() +
                       options.depth.size() * (options.batch.size() + options.verify.size());
  EngineBenchReport report(std::move(facts), parts, options.json);
  Result<std::unique_ptr<StepBench>> steps = StepBench::create(*loaded, sizes_of(options, kv_type));
  if (!steps.ok()) return failed(steps.error());
  Status status = EngineBench(*loaded, options, **engine, **steps, report).run();
  if (const Status written = report.end(); status.ok()) status = written;
  return status.ok() ? 0 : failed(status.error());
}

}  // namespace

void add_bench_engine(CLI::App& bench, int& exit_code) {
  const auto options = std::make_shared<EngineBenchOptions>();
  CLI::App* command = bench.add_subcommand(
      "engine", "Prefill, decode and verify, as fractions of what the machine can do");
  add_model(*command, options->model);
  const auto list = [&](const char* name, std::vector<int>& values, const char* help, int low,
                        int high) {
    command->add_option(name, values, help)
        ->delimiter(',')
        ->check(from_to(low, high))
        ->type_name("N,N,...")
        ->capture_default_str()
        ->group("What to measure");
  };
  list("--prompt", options->prompt, "Tokens to prefill", 1, 8192);
  list("--batch", options->batch, "Sequences that decode together", 1, 64);
  list("--verify", options->verify, "Tokens of one sequence in one step", 1, 64);
  list("--depth", options->depth, "Tokens that are there already", 0, 1 << 20);
  command
      ->add_option("--generate", options->generate, "Steps of decode and verify; tokens of engine")
      ->check(from_to(8, 4096))
      ->type_name("N")
      ->capture_default_str()
      ->group("What to measure");
  command->add_option("--repetitions", options->repetitions, "Runs of prefill and engine")
      ->check(from_to(1, 100))
      ->type_name("N")
      ->capture_default_str()
      ->group("What to measure");
  add_threads(*command, options->threads);
  add_kv_type(*command, options->kv_type);
  command->add_flag("--profile", options->profile, "Show where a step's time goes")
      ->group(kOutputOptions);
  add_json(*command, options->json);
  command->footer(
      "What the figures are, each a median after a warm-up:\n"
      "  ceiling  read_gb_s: best of 10 sums over 1 GiB; int8_tops, and bf16_tflops where the\n"
      "           machine has such products: dot products on registers, bf16 prefill's limit;\n"
      "           all threads, this process. Each entry has one of its own, taken just before,\n"
      "           which its fraction is of: shared machines change from minute to minute\n"
      "  prefill  one sequence from nothing, in steps of 512 rows, with its first answer token\n"
      "  decode   bare steps of the model, one token of each sequence at --depth, with greedy\n"
      "           sampling; bytes are the file's tensors read once and the keys and values\n"
      "  verify   bare steps of several tokens of one sequence, logits and sampling for all\n"
      "  engine   the whole engine: requests of 16 tokens in, --generate tokens each out,\n"
      "           scheduling, sampling and callbacks included\n\n"
      "Examples:\n"
      "  forerun bench engine smollm2-135m\n"
      "  forerun bench engine smollm2-135m --depth 0 --batch 1,8 --profile\n"
      "  forerun bench engine model.gguf --json > result.json");
  command->callback([options, &exit_code] { exit_code = bench_engine(*options); });
}

}  // namespace forerun
