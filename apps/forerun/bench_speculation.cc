#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "bench.h"
#include "commands.h"
#include "commit.h"
#include "loaded_model.h"
#include "machine.h"
#include "model_options.h"
#include "prompt.h"
#include "spec/draft_summary.h"
#include "spec/step_size.h"
#include "speculation_load.h"
#include "speculation_options.h"
#include "speculation_prompts.h"

namespace forerun {
namespace {

struct SpeculationBenchOptions {
  std::string model;
  std::string prompts;
  std::vector<std::string> speculation = {"auto"};
  std::vector<int> concurrency = {1, 4, 16};
  std::vector<float> temperature = {0.0f};
  int64_t tokens = 96;
  int64_t limit = 0;
  double slice_seconds = 2.0;
  int max_draft = SpeculationOptions().max_draft;
  int threads = 0;
  bool raw = false;
  bool replay = false;
  bool chains = false;
  bool forced = false;
  bool argmax_drafts = false;
  bool cold = false;
  double synthetic_acceptance = 0.0;  // 0: real drafts
  bool no_check = false;
  bool json = false;
};

// The prompts as requests, one for each recorded answer when they are replayed, epoch by epoch.
class RequestMaker final {
 public:
  RequestMaker(const SpeculationBenchOptions& options, const Tokenizer& tokenizer)
      : options_(options), tokenizer_(tokenizer) {}

  Result<std::vector<Request>> make(const std::vector<SpeculationPrompt>& prompts) {
    if (!options_.replay) return make_epoch(prompts, /*epoch=*/0);
    size_t epochs = 0;
    for (const SpeculationPrompt& prompt : prompts) {
      epochs = std::max(epochs, prompt.answers.size());
    }
    if (epochs == 0) return Error{"--replay takes prompts with recorded answers (\"response\")"};
    std::vector<Request> requests;
    for (size_t epoch = 0; epoch < epochs; ++epoch) {
      Result<std::vector<Request>> more = make_epoch(prompts, epoch);
      if (!more.ok()) return more.error();
      for (Request& request : *more) requests.push_back(std::move(request));
    }
    return requests;
  }

 private:
  Result<std::vector<Request>> make_epoch(const std::vector<SpeculationPrompt>& prompts,
                                          size_t epoch) {
    std::vector<Request> requests;
    for (size_t i = 0; i < prompts.size(); ++i) {
      if (options_.replay && epoch >= prompts[i].answers.size()) continue;
      Result<Request> request = make_one(prompts[i], i, epoch);
      if (!request.ok()) return request.error();
      requests.push_back(std::move(*request));
    }
    return requests;
  }

  Result<Request> make_one(const SpeculationPrompt& prompt, size_t index, size_t epoch) {
    Result<std::vector<int32_t>> ids = options_.raw
                                           ? encode_beginning(tokenizer_, prompt.question)
                                           : encode_question(tokenizer_, prompt.question, "");
    if (!ids.ok()) return ids.error();
    Request request;
    request.prompt = std::move(*ids);
    request.max_tokens = options_.tokens;
    request.sampling.seed = 1 + index;
    if (!prompt.prediction.empty()) {
      Result<std::vector<int32_t>> expected = encode_plain(prompt.prediction);
      if (!expected.ok()) return expected.error();
      request.prediction = std::move(*expected);
    }
    if (options_.replay) {
      Result<std::vector<int32_t>> answer = encode_plain(prompt.answers[epoch]);
      if (!answer.ok()) return answer.error();
      request.replay = std::move(*answer);
      request.max_tokens = static_cast<int64_t>(request.replay.size());
      request.ignore_eos = true;
      // Answers to one problem help each other, and no others.
      request.history_salt = 1 + index;
    }
    return request;
  }

  Result<std::vector<int32_t>> encode_plain(const std::string& text) {
    return tokenizer_.encode(text, /*add_special=*/false, /*parse_special=*/false);
  }

  const SpeculationBenchOptions& options_;
  const Tokenizer& tokenizer_;
};

// What decided whether steps of so many sequences drafted, for all of the process.
Json measured_json(const SpeculationStats& stats, int concurrency) {
  const MeasuredGain& gain = stats.measured[step_size(static_cast<uint64_t>(concurrency))];
  return {{"speed_up", gain.speed_up}, {"drafts", gain.drafts}, {"compared", gain.compared}};
}

Json sources_json(const SpeculationStats& stats) {
  Json sources = Json::object();
  for (int i = 0; i < kNumDraftSources; ++i) {
    const DraftTokens& one = stats.by_source[i];
    if (one.drafted == 0) continue;
    sources[source_name(i)] = {{"draft_tokens", one.drafted}, {"accepted_tokens", one.accepted}};
  }
  return sources;
}

double tokens_per_second(const std::vector<SpeculationSlice>& slices, bool drafting) {
  int64_t tokens = 0;
  double seconds = 0.0;
  for (const SpeculationSlice& slice : slices) {
    if (slice.drafting != drafting) continue;
    tokens += slice.tokens;
    seconds += slice.seconds;
  }
  return seconds == 0.0 ? 0.0 : static_cast<double>(tokens) / seconds;
}

class SpeculationBench final {
 public:
  SpeculationBench(const LoadedModel& loaded, const SpeculationBenchOptions& options,
                   std::vector<Request> requests)
      : loaded_(loaded), options_(options), requests_(std::move(requests)) {}

  Status run() {
    for (const float temperature : options_.temperature) {
      for (Request& request : requests_) request.sampling.temperature = temperature;
      if (const Status status = make_plain(); !status.ok()) return status;
      for (const std::string& kind : options_.speculation) {
        if (const Status status = run_kind(kind, temperature); !status.ok()) return status;
      }
    }
    return {};
  }

  const Json& runs() const { return runs_; }

 private:
  Result<std::unique_ptr<Engine>> make_engine(const SpeculationOptions& speculation,
                                              int concurrency) {
    EngineOptions engine = loaded_.engine_options();
    engine.max_sequences = concurrency;
    engine.kv_tokens = kv_tokens(concurrency);
    engine.speculation = speculation;
    return Engine::create(*loaded_.model, *loaded_.kernels, *loaded_.team, std::move(engine));
  }

  // Room for all prompts, and for what is answered at a time.
  int64_t kv_tokens(int concurrency) const {
    int64_t tokens = 0;
    int64_t longest = 0;
    for (const Request& request : requests_) {
      const auto prompt = static_cast<int64_t>(request.prompt.size());
      tokens += prompt + kPageTokens;
      longest = std::max(longest, prompt + request.max_tokens + kMaxDraft + kPageTokens);
    }
    return tokens + longest * (concurrency + 1);
  }

  // What each request is answered alone and without drafts. Replayed answers are known.
  Status make_plain() {
    plain_.clear();
    const bool needed = !options_.no_check || options_.synthetic_acceptance > 0.0;
    if (!needed || options_.replay) return {};
    Result<std::unique_ptr<Engine>> engine = make_engine({}, 1);
    if (!engine.ok()) return engine.error();
    const Result<SpeculationOutcome> outcome =
        run_load(**engine, {.requests = requests_, .concurrency = 1, .alternate = false});
    if (!outcome.ok()) return outcome.error();
    plain_ = outcome->outputs;
    return {};
  }

  Status run_kind(const std::string& kind, float temperature) {
    Result<LoadedDrafting> drafting = load_drafting(kind, loaded_);
    if (!drafting.ok()) return drafting.error();
    SpeculationOptions& speculation = drafting->options;
    speculation.max_draft = options_.max_draft;
    speculation.trees = !options_.chains;
    speculation.forced |= options_.forced;
    speculation.argmax_drafts = options_.argmax_drafts;
    if (options_.synthetic_acceptance > 0.0) expect_outputs(speculation);
    for (const int concurrency : options_.concurrency) {
      const Status status = run_one(kind, speculation, concurrency, temperature);
      if (!status.ok()) return status;
    }
    return {};
  }

  Status run_one(const std::string& kind, const SpeculationOptions& speculation, int concurrency,
                 float temperature) {
    Result<std::unique_ptr<Engine>> engine = make_engine(speculation, concurrency);
    if (!engine.ok()) return engine.error();
    const Result<SpeculationOutcome> outcome =
        run_load(**engine, {.requests = requests_,
                            .concurrency = concurrency,
                            .slice_seconds = options_.slice_seconds,
                            .alternate = speculation.on() && !options_.forced,
                            .cold = options_.cold});
    if (!outcome.ok()) return outcome.error();
    note(kind, concurrency, temperature, *outcome);
    return {};
  }

  // Lets the outputs, which are known by now, be drafted with a chosen success and nothing else.
  void expect_outputs(SpeculationOptions& speculation) {
    speculation.history = false;
    speculation.prediction = true;
    speculation.synthetic_acceptance = options_.synthetic_acceptance;
    for (size_t i = 0; i < requests_.size(); ++i) {
      requests_[i].prediction = options_.replay ? requests_[i].replay : plain_[i];
    }
  }

  void note(const std::string& kind, int concurrency, float temperature,
            const SpeculationOutcome& outcome) {
    const SpeculationStats& stats = outcome.after.speculation;
    const SpeedUp gain = speed_up(outcome.slices);
    const auto steps = static_cast<double>(outcome.after.steps - outcome.before.steps);
    Json run = {
        {"speculation", kind},
        {"concurrency", concurrency},
        {"temperature", temperature},
        {"answers", outcome.outputs.size()},
        {"tokens", outcome.after.generated_tokens - outcome.before.generated_tokens},
        {"seconds", outcome.seconds},
        {"tok_s_on", tokens_per_second(outcome.slices, /*drafting=*/true)},
        {"tok_s_off", tokens_per_second(outcome.slices, /*drafting=*/false)},
        {"speed_up",
         {{"median", gain.ratio}, {"low", gain.low}, {"high", gain.high}, {"pairs", gain.pairs}}},
        {"measured_by_engine", measured_json(outcome.after.speculation, concurrency)},
        {"drafts", stats.drafts},
        {"draft_tokens", stats.draft_tokens},
        {"accepted_tokens", stats.accepted_tokens},
        {"acceptance_length_with_bonus", acceptance_length(stats.drafts, stats.accepted_tokens)},
        {"accepted_by_place", accepted_by_place(stats)},
        {"by_source", sources_json(stats)},
        {"drafting_us_per_step", 1e6 * stats.seconds / steps},
        {"drafting_share", stats.seconds / outcome.after.step_seconds},
        {"model_share", stats.model_seconds / outcome.after.step_seconds},
        {"mispredicted", outcome.after.mispredicted_seconds / outcome.after.step_seconds}};
    if (!plain_.empty()) {
      run["identical"] = std::ranges::count_if(
          outcome.outputs,
          [&, i = size_t{0}](const auto& output) mutable { return output == plain_[i++]; });
    }
    if (!options_.json) tell(run);
    runs_.push_back(std::move(run));
  }

  void tell(const Json& run) {
    if (runs_.empty()) {
      std::printf("%-12s %4s %5s  %8s %8s  %-22s %9s %7s %10s %9s\n", "drafting", "at", "temp",
                  "tok/s on", "off", "faster (95 %)", "tokens", "length", "identical", "drafter");
    }
    const auto number = [&](const char* key) { return run[key].get<double>(); };
    const Json& gain = run["speed_up"];
    char faster[48];
    std::snprintf(faster, sizeof(faster), "%.3f (%.3f to %.3f)", gain["median"].get<double>(),
                  gain["low"].get<double>(), gain["high"].get<double>());
    const std::string identical = run.contains("identical")
                                      ? std::to_string(run["identical"].get<int64_t>()) + "/" +
                                            std::to_string(run["answers"].get<int64_t>())
                                      : "-";
    std::printf("%-12s %4d %5.2f  %8.1f %8.1f  %-22s %9lld %7.2f %10s %7.2f %%\n",
                run["speculation"].get<std::string>().c_str(), run["concurrency"].get<int>(),
                number("temperature"), number("tok_s_on"), number("tok_s_off"), faster,
                static_cast<long long>(run["tokens"].get<int64_t>()),
                number("acceptance_length_with_bonus"), identical.c_str(),
                100.0 * number("drafting_share"));
    std::fflush(stdout);
  }

  const LoadedModel& loaded_;
  const SpeculationBenchOptions& options_;
  std::vector<Request> requests_;
  std::vector<std::vector<int32_t>> plain_;
  Json runs_ = Json::array();
};

int bench_speculation(const SpeculationBenchOptions& options) {
  Result<std::vector<SpeculationPrompt>> prompts = read_speculation_prompts(options.prompts);
  if (!prompts.ok()) return failed(prompts.error());
  if (options.limit > 0 && std::ssize(*prompts) > options.limit) prompts->resize(options.limit);
  Result<LoadedModel> loaded = load_model(options.model, options.threads);
  if (!loaded.ok()) return failed(loaded.error());
  const Result<const Tokenizer*> tokenizer = need_tokenizer(*loaded);
  if (!tokenizer.ok()) return failed(tokenizer.error());
  Result<std::vector<Request>> requests = RequestMaker(options, **tokenizer).make(*prompts);
  if (!requests.ok()) return failed(requests.error());
  SpeculationBench bench(*loaded, options, std::move(*requests));
  if (const Status status = bench.run(); !status.ok()) return failed(status.error());
  if (options.json) {
    const Json json = {{"model", loaded->model->descriptor().name},
                       {"isa", loaded->kernels->name},
                       {"machine", machine_facts()},
                       {"commit", kCommit},
                       {"runs", bench.runs()}};
    std::puts(json.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  }
  return 0;
}

}  // namespace

void add_bench_speculation(CLI::App& bench, int& exit_code) {
  const auto options = std::make_shared<SpeculationBenchOptions>();
  CLI::App* command =
      bench.add_subcommand("speculation", "What drafts bring, and that they change nothing");
  add_model(*command, options->model);
  command->add_option("--prompts", options->prompts, "Lines of JSON; - is standard input")
      ->required()
      ->type_name("FILE");
  add_speculation_list(*command, options->speculation);
  command->add_option("--concurrency", options->concurrency, "Requests at a time")
      ->delimiter(',')
      ->check(from_to(1, 1024))
      ->type_name("N,…")
      ->capture_default_str();
  command->add_option("--temperature", options->temperature, "Of sampling; seeds are fixed")
      ->delimiter(',')
      ->check(CLI::Range(0.0f, 100.0f).description(""))
      ->type_name("T,…")
      ->capture_default_str();
  command->add_option("--tokens", options->tokens, "The longest answer")
      ->check(from_to<int64_t>(1, 1 << 20))
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--limit", options->limit, "Only the first N prompts; 0: all")
      ->check(from_to<int64_t>(0, 1 << 30))
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--slice-seconds", options->slice_seconds, "How long a turn lasts")
      ->check(CLI::Range(0.01, 3600.0).description(""))
      ->type_name("S")
      ->capture_default_str();
  add_max_draft(*command, options->max_draft);
  command->add_flag("--chains", options->chains, "Draft no second choices beside the first ones");
  command->add_flag("--forced", options->forced,
                    "Always verify full drafts, whatever they cost, a model's too");
  command->add_flag("--argmax-drafts", options->argmax_drafts,
                    "Let models draft what is likeliest, not with the request's noise");
  command->add_flag("--cold", options->cold, "Compute prompts as their turn comes, not before");
  command
      ->add_option("--synthetic-acceptance", options->synthetic_acceptance,
                   "Draft the known outputs so that full drafts bring L tokens a step")
      ->check(CLI::Range(1.0, kMaxDraft + 1.0).description(""))
      ->type_name("L");
  command->add_flag("--raw", options->raw, "Continue the prompts as plain text, without template");
  command->add_flag("--replay", options->replay,
                    "Output recorded answers (\"response\"), epoch by epoch; only time is real");
  command->add_flag("--no-check", options->no_check, "Do not compare with plain answers");
  add_threads(*command, options->threads);
  add_json(*command, options->json);
  command->footer(
      "Drafting is switched on and off by turns under one load, so that both see the same "
      "machine.\n"
      "Answers are compared with those that each prompt gets alone and without drafts.\n\n"
      "Example:\n"
      "  forerun bench speculation smollm2-135m --prompts mt_bench.jsonl --concurrency 1,16");
  command->callback([options, &exit_code] { exit_code = bench_speculation(*options); });
}

}  // namespace forerun
