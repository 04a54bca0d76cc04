#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/philox.h"
#include "base/version.h"
#include "bench.h"
#include "commands.h"
#include "kernels/peak.h"
#include "loaded_model.h"
#include "models/decoder.h"
#include "sampling/sampler.h"

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
  bool profile = false;
  bool json = false;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::vector<int32_t> random_tokens(int64_t count, int64_t vocab_size) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) {
    tokens.push_back(static_cast<int32_t>(
        philox({static_cast<uint32_t>(i), 0, 0, 0}, {0, 0})[0] % static_cast<uint64_t>(vocab_size)));
  }
  return tokens;
}

// Steps of the decoder, each followed by greedy sampling of its logits, over sequences whose earlier
// keys and values are already there.
class StepBench {
 public:
  StepBench(const LoadedModel& loaded, const EngineBenchOptions& options)
      : loaded_(loaded),
        options_(options),
        model_(loaded.model->descriptor()),
        max_sequences_(*std::max_element(options.batch.begin(), options.batch.end())),
        pages_per_sequence_(pages_of_longest()),
        pool_({model_.num_layers, model_.num_kv_heads, model_.head_dim, {}},
              pages_per_sequence_ * max_sequences_),
        decoder_(model_, loaded.model->weights(), *loaded.kernels, *loaded.team,
                 {.max_rows = most_rows(), .max_logit_rows = std::max(64, max_sequences_)}),
        workspace_(static_cast<int>(model_.vocab_size), loaded.kernels->isa),
        tokens_(random_tokens(most_rows(), model_.vocab_size)),
        pages_(pool_.num_pages()) {
    std::iota(pages_.begin(), pages_.end(), 0);
    fill_keys_and_values();
  }

  Decoder& decoder() { return decoder_; }

  // Median seconds of a step of `sequences` sequences with `rows` rows each at `depth`, logits of the
  // last row of each (prefill) or of all rows.
  double time(int sequences, int rows, int64_t depth, bool all_logits, int steps) {
    std::vector<RowGroup> groups;
    std::vector<int32_t> logit_rows;
    for (int s = 0; s < sequences; ++s) {
      const std::span<const int32_t> pages(pages_.data() + s * pages_per_sequence_,
                                           pages_per_sequence_);
      groups.push_back({rows, depth, pages, nullptr});
      for (int r = all_logits ? 0 : rows - 1; r < rows; ++r) logit_rows.push_back(s * rows + r);
    }
    const std::span<const int32_t> tokens(tokens_.data(), sequences * rows);
    std::vector<double> seconds;
    for (int i = -1; i < steps; ++i) {
      const double begin = now_seconds();
      decoder_.step({tokens, groups, logit_rows, nullptr}, pool_);
      sample_all(logit_rows.size());
      if (i >= 0) seconds.push_back(now_seconds() - begin);
    }
    return median(seconds);
  }

  // Bytes of keys and values that rows at `depth` read.
  double kv_bytes(int64_t depth) const {
    return 2.0 * 2.0 * static_cast<double>(depth * model_.num_layers * model_.kv_dim());
  }

 private:
  int pages_of_longest() const {
    const int depth = *std::max_element(options_.depth.begin(), options_.depth.end());
    const int prompt = *std::max_element(options_.prompt.begin(), options_.prompt.end());
    const int verify = *std::max_element(options_.verify.begin(), options_.verify.end());
    return (std::max(depth + verify, prompt) + kPageTokens) / kPageTokens + 1;
  }
  int most_rows() const {
    return std::max({512, *std::max_element(options_.prompt.begin(), options_.prompt.end()),
                     *std::max_element(options_.verify.begin(), options_.verify.end())});
  }

  // Every page gets memory of its own and ordinary values.
  void fill_keys_and_values() {
    const int64_t elements = 2 * model_.num_kv_heads * page_head_elements(model_.head_dim);
    for (int page = 0; page < pool_.num_pages(); ++page) {
      for (int layer = 0; layer < model_.num_layers; ++layer) {
        uint16_t* values = pool_.keys(page, layer, 0);
        for (int64_t i = 0; i < elements; ++i) {
          values[i] = static_cast<uint16_t>(0x2c00 + (i * 2654435761u + page) % 0x0c00);
        }
      }
    }
  }

  void sample_all(size_t count) {
    SamplingParams greedy;
    greedy.temperature = 0.0f;
    const SamplePoint point{greedy};
    for (size_t i = 0; i < count; ++i) {
      const std::span<const float> logits(decoder_.logits(static_cast<int64_t>(i)),
                                          model_.vocab_size);
      const Result<Sampled> sampled = sample(logits, point, workspace_);
      CHECK(sampled.ok(), "benched logits are finite");
    }
  }

  const LoadedModel& loaded_;
  const EngineBenchOptions& options_;
  const ModelDescriptor& model_;
  const int max_sequences_;
  const int pages_per_sequence_;
  KvPool pool_;
  Decoder decoder_;
  SamplerWorkspace workspace_;
  std::vector<int32_t> tokens_;
  std::vector<int32_t> pages_;
};

// Multiply-adds of the matrices: per token in the layers, and once per row of logits.
double layer_macs(const ModelDescriptor& model) {
  const auto d = static_cast<double>(model.d_model);
  return model.num_layers * (d * static_cast<double>(2 * model.q_dim() + 2 * model.kv_dim()) +
                             3.0 * d * static_cast<double>(model.d_ff));
}

// Tokens per second of the whole engine: requests in, tokens out, scheduling and sampling included.
double engine_rate(Engine& engine, const EngineBenchOptions& options, int batch,
                   int64_t vocab_size) {
  const std::vector<int32_t> prompt = random_tokens(16, vocab_size);
  for (int i = 0; i < batch; ++i) {
    Request request;
    request.prompt = prompt;
    request.prompt[0] = i;
    request.max_tokens = options.generate;
    request.ignore_eos = true;
    request.use_prefix_cache = false;
    request.sampling.temperature = 0.0f;
    const Result<RequestId> id = engine.add(std::move(request));
    CHECK(id.ok(), "a benched request is valid");
  }
  // Prompts first, then only decoding is timed.
  while (engine.stats().generated_tokens % (batch * options.generate) < batch) engine.step();
  const int64_t before = engine.stats().generated_tokens;
  const double begin = now_seconds();
  while (engine.step()) {
  }
  return static_cast<double>(engine.stats().generated_tokens - before) / (now_seconds() - begin);
}

class EngineBench {
 public:
  EngineBench(const LoadedModel& loaded, const EngineBenchOptions& options)
      : loaded_(loaded), options_(options), steps_(loaded, options) {}

  Json run() {
    read_gb_s_ = measure_read_gb_s(*loaded_.team);
    int8_macs_ = measure_int8_gmacs(loaded_.kernels->isa, *loaded_.team) * 1e9;
    Json json = facts();
    json["ceiling"] = {{"read_gb_s", read_gb_s_}, {"int8_tops", 2.0 * int8_macs_ / 1e12}};
    if (options_.profile) steps_.decoder().set_profiling(true);
    for (const int tokens : options_.prompt) json["prefill"].push_back(prefill(tokens));
    for (const int depth : options_.depth) {
      for (const int batch : options_.batch) json["decode"].push_back(decode(batch, depth));
    }
    for (const int depth : options_.depth) {
      double one = 0.0;
      for (const int tokens : options_.verify) json["verify"].push_back(verify(tokens, depth, one));
    }
    return json;
  }

 private:
  Json facts() const {
    const ModelWeights& weights = loaded_.model->weights();
    return {{"model", loaded_.model->descriptor().name},
            {"weight_bytes", weights.file_bytes_per_step},
            {"packed_bytes", weights.packed_bytes},
            {"isa", loaded_.kernels->name},
            {"threads", loaded_.team->size()},
            {"processor", processor_name()},
            {"load_seconds", loaded_.load_seconds},
            {"repetitions", options_.repetitions},
            {"version", kVersion},
            {"commit", FORERUN_COMMIT}};
  }

  Json prefill(int tokens) {
    steps_.decoder().reset_profile();
    const double seconds = steps_.time(1, tokens, 0, false, std::max(3, options_.repetitions / 2));
    const ModelDescriptor& model = loaded_.model->descriptor();
    const double macs = tokens * layer_macs(model) +
                        static_cast<double>(model.vocab_size * model.d_model);
    Json json = {{"tokens", tokens},
                 {"tok_s", tokens / seconds},
                 {"ms", seconds * 1e3},
                 {"fraction", macs / seconds / int8_macs_}};
    add_profile(json);
    return json;
  }

  Json decode(int batch, int depth) {
    steps_.decoder().reset_profile();
    const double seconds =
        steps_.time(batch, 1, depth, true, options_.repetitions * options_.generate / 8);
    const double bytes = static_cast<double>(loaded_.model->weights().file_bytes_per_step) +
                         batch * steps_.kv_bytes(depth);
    Json json = {{"batch", batch},
                 {"depth", depth},
                 {"tok_s", batch / seconds},
                 {"ms", seconds * 1e3},
                 {"gb_s", bytes / seconds / 1e9},
                 {"fraction", bytes / seconds / 1e9 / read_gb_s_}};
    add_profile(json);
    return json;
  }

  // `one`: seconds of the first entry's step, which the ratios are to.
  Json verify(int tokens, int depth, double& one) {
    steps_.decoder().reset_profile();
    const double seconds =
        steps_.time(1, tokens, depth, true, options_.repetitions * options_.generate / 8);
    if (one == 0.0) one = seconds;
    const double bytes = static_cast<double>(loaded_.model->weights().file_bytes_per_step) +
                         steps_.kv_bytes(depth);
    const double target = bytes / (0.75 * read_gb_s_ * 1e9);
    Json json = {{"tokens", tokens},
                 {"depth", depth},
                 {"ms", seconds * 1e3},
                 {"ratio_to_1", seconds / one},
                 {"ratio_to_bytes_at_75_percent", seconds / target}};
    add_profile(json);
    return json;
  }

  void add_profile(Json& json) {
    if (!options_.profile) return;
    const auto& profile = steps_.decoder().profile();
    const double total = std::accumulate(profile.begin(), profile.end(), 0.0);
    for (size_t i = 0; i < profile.size(); ++i) {
      json["profile"][std::string(kStepPartNames[i])] = profile[i] / total;
    }
  }

  const LoadedModel& loaded_;
  const EngineBenchOptions& options_;
  StepBench steps_;
  double read_gb_s_ = 0.0;
  double int8_macs_ = 0.0;
};

void print_profile(const Json& entry) {
  if (!entry.contains("profile")) return;
  std::string line = "         ";
  for (const auto& [part, share] : entry["profile"].items()) {
    line += " " + part + " " + std::to_string(static_cast<int>(100.0 * share.get<double>() + 0.5)) +
            "%";
  }
  std::puts(line.c_str());
}

void print_text(const Json& json) {
  const auto number = [](const Json& entry, const char* key) { return entry[key].get<double>(); };
  std::printf("%s on %s, %s, %d threads\n", json["model"].get<std::string>().c_str(),
              json["processor"].get<std::string>().c_str(), json["isa"].get<std::string>().c_str(),
              json["threads"].get<int>());
  std::printf("ceiling  read %.1f GB/s, int8 %.2f TOPS\n", number(json["ceiling"], "read_gb_s"),
              number(json["ceiling"], "int8_tops"));
  for (const Json& e : json["prefill"]) {
    std::printf("prefill  %5d tokens          %8.1f tok/s  %5.1f %% of int8\n",
                e["tokens"].get<int>(), number(e, "tok_s"), 100.0 * number(e, "fraction"));
    print_profile(e);
  }
  for (const Json& e : json["decode"]) {
    std::printf("decode   batch %2d  depth %5d  %8.1f tok/s  %5.1f GB/s  %5.1f %% of read\n",
                e["batch"].get<int>(), e["depth"].get<int>(), number(e, "tok_s"),
                number(e, "gb_s"), 100.0 * number(e, "fraction"));
    print_profile(e);
  }
  for (const Json& e : json["verify"]) {
    std::printf("verify   %2d tokens depth %5d  %8.2f ms  %5.2f x one  %5.2f x bytes at 75 %%\n",
                e["tokens"].get<int>(), e["depth"].get<int>(), number(e, "ms"),
                number(e, "ratio_to_1"), number(e, "ratio_to_bytes_at_75_percent"));
    print_profile(e);
  }
  for (const Json& e : json["engine"]) {
    std::printf("engine   batch %2d               %8.1f tok/s\n", e["batch"].get<int>(),
                number(e, "tok_s"));
  }
}

int bench_engine(const EngineBenchOptions& options) {
  Result<LoadedModel> loaded = load_model(options.model, options.threads);
  if (!loaded.ok()) return failed(loaded.error());
  const int64_t context = loaded->model->descriptor().context_length;
  const int deepest = std::max(*std::max_element(options.depth.begin(), options.depth.end()) +
                                   *std::max_element(options.verify.begin(), options.verify.end()),
                               *std::max_element(options.prompt.begin(), options.prompt.end()));
  if (deepest > context) {
    return failed({"depth and tokens reach " + std::to_string(deepest) + "; the model's context is " +
                   std::to_string(context)});
  }
  Json json = EngineBench(*loaded, options).run();
  EngineOptions engine_options;
  Result<std::unique_ptr<Engine>> engine =
      Engine::create(*loaded->model, *loaded->kernels, *loaded->team, engine_options);
  if (!engine.ok()) return failed(engine.error());
  for (const int batch : options.batch) {
    std::vector<double> rates;
    for (int i = 0; i < options.repetitions; ++i) {
      rates.push_back(
          engine_rate(**engine, options, batch, loaded->model->descriptor().vocab_size));
    }
    json["engine"].push_back({{"batch", batch}, {"tok_s", median(rates)}});
  }
  if (options.json) {
    std::puts(json.dump(2).c_str());
  } else {
    print_text(json);
  }
  return 0;
}

}  // namespace

void add_bench_engine(CLI::App& bench, int& exit_code) {
  const auto options = std::make_shared<EngineBenchOptions>();
  CLI::App* command =
      bench.add_subcommand("engine", "Prefill, decode and verify, as fractions of what the machine can do");
  command->add_option("MODEL", options->model, "A short name, or a GGUF file")->required();
  const auto list = [&](const char* name, std::vector<int>& values, const char* help, int low,
                        int high) {
    command->add_option(name, values, help)
        ->delimiter(',')
        ->check(CLI::Range(low, high))
        ->capture_default_str();
  };
  list("--prompt", options->prompt, "Tokens to prefill", 1, 8192);
  list("--batch", options->batch, "Sequences decoding together", 1, 64);
  list("--verify", options->verify, "Tokens of one sequence in one step", 1, 64);
  list("--depth", options->depth, "Tokens already there", 0, 1 << 20);
  command->add_option("--generate", options->generate, "Tokens to decode")
      ->check(CLI::Range(8, 4096))
      ->capture_default_str();
  command->add_option("--repetitions", options->repetitions, "Medians are taken over them")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command->add_option("--threads", options->threads, "0: every usable processor")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--profile", options->profile, "Show where a step's time goes");
  command->add_flag("--json", options->json, "Print JSON");
  command->callback([options, &exit_code] { exit_code = bench_engine(*options); });
}

}  // namespace forerun
