#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/pacer.h"
#include "bench.h"
#include "commands.h"
#include "commit.h"
#include "engine/head_slot.h"
#include "loaded_model.h"
#include "machine.h"
#include "model_options.h"
#include "models/eagle3_head.h"
#include "prompt.h"
#include "speculation_prompts.h"

namespace forerun {
namespace {

constexpr int kLowestPriority = 19;

struct SwapBenchOptions {
  std::string model;
  std::string head;
  std::string prompts;
  int64_t swaps = 100;
  double every_seconds = 0.2;
  int64_t limit = 64;
  int64_t tokens = 96;
  int concurrency = 8;
  int rounds = 3;
  int threads = 0;
  bool at_once = false;
  bool json = false;
};

// What one pass through all requests came to.
struct Pass {
  std::vector<std::vector<int32_t>> outputs;
  std::vector<double> token_seconds;  // from one token of an answer to its next
  std::vector<double> pauses;         // of the engine's thread, by swap
  std::vector<double> load_seconds;   // by swap
  double longest_stretch = 0.0;       // of loading, processor seconds
};

double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0.0;
  const auto at = static_cast<size_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<int64_t>(at), values.end());
  return values[at];
}

// Offers the same head under ever new versions, loaded and made ready anew each time as a new one
// would be, from a thread of its own.
class Swapping final {
 public:
  Swapping(const LoadedModel& loaded, Engine& engine, const SwapBenchOptions& options)
      : loaded_(loaded), engine_(engine), options_(options), thread_([this] { run(); }) {}
  ~Swapping() { end(); }

  // What it says then is all there is.
  void end() {
    ending_ = true;
    if (thread_.joinable()) thread_.join();
  }
  const std::string& error() const { return error_; }
  const std::vector<double>& load_seconds() const { return load_seconds_; }
  double longest_stretch() const { return longest_stretch_; }

 private:
  void run() {
    setpriority(PRIO_PROCESS, 0, kLowestPriority);  // as the loop that learns does
    std::optional<Pacer> pacer;
    if (!options_.at_once) pacer.emplace([this] { return engine_.is_busy() && !ending_; });
    double due = now_seconds();
    for (int64_t version = 1; !ending_ && version <= options_.swaps; ++version) {
      if (const Status status = swap(version, due); !status.ok()) {
        error_ = status.error().message;
        return;
      }
      due += options_.every_seconds;
    }
    if (pacer) longest_stretch_ = pacer->longest_seconds();
  }

  Status swap(int64_t version, double due) {
    const double begin = now_seconds();
    engine_.collect_heads();
    Team alone(1);
    Result<std::unique_ptr<Eagle3Head>> head =
        Eagle3Head::load(options_.head, *loaded_.model, alone);
    if (!head.ok()) return head.error();
    auto ready = engine_.make_ready(std::shared_ptr<const Eagle3Head>(*std::move(head)), version);
    if (!ready.ok()) return ready.error();
    load_seconds_.push_back(now_seconds() - begin);
    while (!ending_ && now_seconds() < due) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      pace();  // waiting is no part of the stretch that follows
    }
    engine_.offer_head(*std::move(ready));
    return {};
  }

  const LoadedModel& loaded_;
  Engine& engine_;
  const SwapBenchOptions& options_;
  std::string error_;
  std::vector<double> load_seconds_;
  double longest_stretch_ = 0.0;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

class SwapBench final {
 public:
  SwapBench(const LoadedModel& loaded, const SwapBenchOptions& options,
            std::vector<Request> requests)
      : loaded_(loaded), options_(options), requests_(std::move(requests)) {}

  // One pass without swaps and one with, by turns.
  Result<Json> run() {
    std::vector<double> ratios;
    std::vector<double> pauses;
    std::vector<double> load_seconds;
    double longest_stretch = 0.0;
    int64_t identical = 0;
    int64_t compared = 0;
    for (int round = 0; round < options_.rounds; ++round) {
      const Result<Pass> still = pass(/*swaps=*/false);
      if (!still.ok()) return still.error();
      const Result<Pass> swapped = pass(/*swaps=*/true);
      if (!swapped.ok()) return swapped.error();
      for (size_t i = 0; i < requests_.size(); ++i) {
        identical += still->outputs[i] == swapped->outputs[i] ? 1 : 0;
        ++compared;
      }
      ratios.push_back(quantile(swapped->token_seconds, 0.99) /
                       quantile(still->token_seconds, 0.99));
      pauses.insert(pauses.end(), swapped->pauses.begin(), swapped->pauses.end());
      load_seconds.insert(load_seconds.end(), swapped->load_seconds.begin(),
                          swapped->load_seconds.end());
      longest_stretch = std::max(longest_stretch, swapped->longest_stretch);
    }
    return Json{{"model", loaded_.model->descriptor().name},
                {"isa", loaded_.kernels->name},
                {"concurrency", options_.concurrency},
                {"every_seconds", options_.every_seconds},
                {"swaps", pauses.size()},
                {"answers", compared},
                {"identical", identical},
                {"pause_us_median", 1e6 * quantile(pauses, 0.5)},
                {"pause_us_p99", 1e6 * quantile(pauses, 0.99)},
                {"pause_us_most", 1e6 * quantile(pauses, 1.0)},
                {"at_once", options_.at_once},
                {"load_seconds_median", quantile(load_seconds, 0.5)},
                {"load_stretch_us_most", 1e6 * longest_stretch},
                {"p99_inter_token_ratios", ratios},
                {"p99_inter_token_ratio", quantile(ratios, 0.5)},
                {"machine", machine_facts()},
                {"commit", kCommit}};
  }

 private:
  Result<Pass> pass(bool swaps) {
    EngineOptions engine = loaded_.engine_options();
    engine.max_sequences = options_.concurrency;
    engine.commit_kv = true;
    engine.keep_finals = true;
    engine.speculation.head_slot = true;
    Result<std::unique_ptr<Engine>> made =
        Engine::create(*loaded_.model, *loaded_.kernels, *loaded_.team, std::move(engine));
    if (!made.ok()) return made.error();
    SwapBenchOptions once = options_;
    if (!swaps) once.swaps = 1;  // the head that drafts in both
    Swapping swapping(loaded_, **made, once);
    Result<Pass> found = answer(**made);
    swapping.end();
    if (!swapping.error().empty()) return Error{swapping.error()};
    if (!found.ok()) return found;
    found->load_seconds = swapping.load_seconds();
    found->longest_stretch = swapping.longest_stretch();
    return found;
  }

  Result<Pass> answer(Engine& engine) {
    Pass found;
    found.outputs.resize(requests_.size());
    std::vector<double> last(requests_.size(), 0.0);
    std::string error;
    size_t next = 0;
    int under_way = 0;
    int64_t swaps = 0;
    while (true) {
      while (next < requests_.size() && under_way < options_.concurrency) {
        Request request = requests_[next];
        request.on_token = [&, index = next](const TokenEvent& event) {
          const double now = now_seconds();
          if (last[index] > 0.0) found.token_seconds.push_back(now - last[index]);
          last[index] = now;
          found.outputs[index].push_back(event.token_id);
        };
        request.on_finish = [&](const FinishEvent& event) {
          --under_way;
          error += event.error;
        };
        ++next;
        ++under_way;
        if (const auto id = engine.add(std::move(request)); !id.ok()) return id.error();
      }
      if (!engine.step()) break;
      const EngineStats stats = engine.stats();
      if (stats.head_swaps != swaps) found.pauses.push_back(stats.head_swap_seconds);
      swaps = stats.head_swaps;
    }
    if (!error.empty()) return Error{error};
    return found;
  }

  const LoadedModel& loaded_;
  const SwapBenchOptions& options_;
  std::vector<Request> requests_;
};

Result<std::vector<Request>> make_requests(const SwapBenchOptions& options,
                                           const LoadedModel& loaded) {
  const Result<const Tokenizer*> tokenizer = need_tokenizer(loaded);
  if (!tokenizer.ok()) return tokenizer.error();
  const Result<std::vector<SpeculationPrompt>> prompts = read_speculation_prompts(options.prompts);
  if (!prompts.ok()) return prompts.error();
  std::vector<Request> requests;
  for (const SpeculationPrompt& prompt : *prompts) {
    if (std::ssize(requests) == options.limit) break;
    Result<std::vector<int32_t>> ids = encode_question(**tokenizer, prompt.question, "");
    if (!ids.ok()) return ids.error();
    Request request;
    request.prompt = *std::move(ids);
    request.max_tokens = options.tokens;
    // Half of them greedy.
    request.sampling.temperature = requests.size() % 2 == 0 ? 0.0f : 0.8f;
    request.sampling.seed = 1 + requests.size();
    requests.push_back(std::move(request));
  }
  return requests;
}

int bench_swaps(const SwapBenchOptions& options) {
  const Result<LoadedModel> loaded = load_model(options.model, options.threads);
  if (!loaded.ok()) return failed(loaded.error());
  Result<std::vector<Request>> requests = make_requests(options, *loaded);
  if (!requests.ok()) return failed(requests.error());
  const Result<Json> found = SwapBench(*loaded, options, *std::move(requests)).run();
  if (!found.ok()) return failed(found.error());
  if (options.json) {
    std::puts(found->dump(1).c_str());
    return 0;
  }
  std::printf(
      "%lld swaps, %lld of %lld answers identical; pause %.0f us (p99 %.0f, most %.0f); loaded in "
      "%.2f s, at most %.0f us at a stretch; p99 between tokens %.2f of that without\n",
      static_cast<long long>((*found)["swaps"].get<int64_t>()),
      static_cast<long long>((*found)["identical"].get<int64_t>()),
      static_cast<long long>((*found)["answers"].get<int64_t>()),
      (*found)["pause_us_median"].get<double>(), (*found)["pause_us_p99"].get<double>(),
      (*found)["pause_us_most"].get<double>(), (*found)["load_seconds_median"].get<double>(),
      (*found)["load_stretch_us_most"].get<double>(),
      (*found)["p99_inter_token_ratio"].get<double>());
  return 0;
}

}  // namespace

void add_bench_swaps(CLI::App& bench, int& exit_code) {
  const auto options = std::make_shared<SwapBenchOptions>();
  CLI::App* command =
      bench.add_subcommand("swaps", "What replacing the head costs those who are served meanwhile");
  add_model(*command, options->model);
  command->add_option("--head", options->head, "An EAGLE-3 head")->required()->type_name("FOLDER");
  command->add_option("--prompts", options->prompts, "Prompts, a JSON object a line")
      ->required()
      ->type_name("FILE");
  add_count(*command, "--swaps", options->swaps, 1, 1'000'000, "Of a pass, at most");
  command->add_option("--every", options->every_seconds, "From one swap to the next")
      ->check(CLI::Range(0.0, 3600.0).description(""))
      ->type_name("S")
      ->capture_default_str();
  add_count(*command, "--limit", options->limit, 1, 1'000'000, "Prompts of a pass");
  add_count(*command, "--tokens", options->tokens, 1, 1 << 20, "Longest answer");
  add_count(*command, "--concurrency", options->concurrency, 1, 1024, "Requests at a time");
  add_count(*command, "--rounds", options->rounds, 1, 1000,
            "Passes without swaps and with, by turns");
  command->add_flag("--at-once", options->at_once, "Load heads in one go, not in pieces");
  add_threads(*command, options->threads);
  add_json(*command, options->json);
  command->callback([options, &exit_code] { exit_code = bench_swaps(*options); });
}

}  // namespace forerun
