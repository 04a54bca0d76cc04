#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/log.h"
#include "base/philox.h"
#include "bench.h"
#include "commands.h"
#include "commit.h"
#include "learn_options.h"
#include "learning_run.h"
#include "loaded_model.h"
#include "machine.h"
#include "model_options.h"
#include "online/replayed_head.h"
#include "prompt.h"
#include "speculation_options.h"
#include "speculation_prompts.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kMixDomain = 0x5849'4d4c;  // "LMIX"

struct LearningBenchOptions {
  std::string model;
  std::vector<std::string> streams;
  std::string schedule = "shift";
  std::vector<std::string> modes = {"none", "scratch"};
  std::string static_head;
  std::string speculation = "head";
  std::vector<int64_t> requests = {1000};  // of a segment, of all or of each
  int visits = 2;                          // of each stream, when they alternate
  int64_t tokens = 200;
  float temperature = 0.0f;
  int threads = 0;
  LearningRunOptions run;
  LearnOptions learn;
  TraceOptions trace;
  std::string out;
  bool json = false;
};

struct Stream {
  std::string name;
  std::vector<SpeculationPrompt> prompts;
  size_t next = 0;  // no prompt is asked twice
};

Result<std::vector<Stream>> read_streams(const std::vector<std::string>& paths) {
  std::vector<Stream> streams;
  for (const std::string& path : paths) {
    Result<std::vector<SpeculationPrompt>> prompts = read_speculation_prompts(path);
    if (!prompts.ok()) return prompts.error();
    streams.push_back({fs::path(path).stem().string(), *std::move(prompts)});
  }
  return streams;
}

int64_t requests_of(const LearningBenchOptions& options, size_t stream) {
  return options.requests[options.requests.size() == 1 ? 0 : stream];
}

// Which stream each request is of.
std::vector<int> schedule(const LearningBenchOptions& options, int num_streams) {
  std::vector<int> order;
  const int visits = options.schedule == "alternate" ? options.visits : 1;
  for (int visit = 0; visit < visits; ++visit) {
    for (int stream = 0; stream < num_streams; ++stream) {
      const int64_t requests = requests_of(options, static_cast<size_t>(stream));
      order.insert(order.end(), static_cast<size_t>(requests), stream);
    }
  }
  if (options.schedule != "mixed") return order;
  for (size_t i = order.size(); i > 1; --i) {
    const uint32_t bits = philox({kMixDomain, static_cast<uint32_t>(i), 0, 0}, {1, 2})[0];
    std::swap(order[i - 1], order[(uint64_t{bits} * i) >> 32]);
  }
  return order;
}

class LearningBench final {
 public:
  LearningBench(LoadedModel loaded, const LearningBenchOptions& options,
                std::vector<Stream> streams)
      : loaded_(std::move(loaded)), options_(options), streams_(std::move(streams)) {
    for (const Stream& stream : streams_) names_.push_back(stream.name);
  }

  Status run() {
    if (Status status = make_requests(); !status.ok()) return status;
    read_partial();
    for (const std::string& mode : options_.modes) {
      if (is_done(mode)) continue;
      if (Status status = run_mode(mode); !status.ok()) return status;
    }
    return {};
  }

  Json report() const {
    Json modes = Json::array();
    for (const std::string& mode : options_.modes) modes.push_back(found_.at(mode));
    return {{"asked", asked()},
            {"isa", loaded_.kernels->name},
            {"modes", std::move(modes)},
            {"machine", machine_facts()},
            {"commit", kCommit}};
  }

 private:
  Status make_requests() {
    const Result<const Tokenizer*> tokenizer = need_tokenizer(loaded_);
    if (!tokenizer.ok()) return tokenizer.error();
    for (const int index : schedule(options_, static_cast<int>(streams_.size()))) {
      Stream& stream = streams_[static_cast<size_t>(index)];
      if (stream.next == stream.prompts.size()) {
        return Error{stream.name + " has only " + std::to_string(stream.next) +
                     " prompts, and none is asked twice; --requests asks for more"};
      }
      Result<Request> request = make_request(stream.prompts[stream.next++], **tokenizer);
      if (!request.ok()) return request.error();
      requests_.push_back({index, *std::move(request)});
    }
    return {};
  }

  Result<Request> make_request(const SpeculationPrompt& prompt, const Tokenizer& tokenizer) const {
    Result<std::vector<int32_t>> ids = prompt.is_text
                                           ? encode_beginning(tokenizer, prompt.question)
                                           : encode_question(tokenizer, prompt.question, "");
    if (!ids.ok()) return ids.error();
    Request request;
    request.prompt = *std::move(ids);
    request.max_tokens = options_.tokens;
    request.sampling.temperature = options_.temperature;
    request.sampling.seed = 1 + requests_.size();
    request.conversation = 1 + requests_.size();
    return request;
  }

  // What an earlier run has left there.
  void read_partial() {
    if (options_.out.empty()) return;
    const Result<Json> file = read_json_file(options_.out);
    if (!file.ok() || !file->is_object() || !file->contains("modes")) return;
    // What was asked otherwise is another measurement.
    if (file->value("asked", Json()) != asked()) return;
    for (const Json& mode : (*file)["modes"]) {
      if (mode.is_object() && mode.contains("name")) found_[mode["name"].get<std::string>()] = mode;
    }
  }

  Json asked() const {
    Json asked = {{"model", loaded_.model->descriptor().name},
                  {"streams", names_},
                  {"schedule", options_.schedule},
                  {"requests", options_.requests.size() == 1 ? Json(options_.requests.front())
                                                             : Json(options_.requests)},
                  {"visits", options_.visits},
                  {"tokens", options_.tokens},
                  {"speculation", options_.speculation},
                  {"temperature", options_.temperature},
                  {"concurrency", options_.run.concurrency},
                  {"window", options_.run.window},
                  {"threads", loaded_.team->size()},
                  {"static_head", options_.static_head},
                  {"learn",
                   {{"share", options_.learn.share ? Json(*options_.learn.share) : Json("auto")},
                    {"cadence", options_.learn.cadence},
                    {"vocabulary", options_.learn.draft_vocab},
                    {"reuse", options_.learn.reuse},
                    {"unroll", options_.learn.unroll},
                    {"rate", options_.learn.learning_rate}}}};
    // Runs of before it could be asked for are runs without.
    if (options_.learn.discard > 0.0) asked["learn"]["discard"] = options_.learn.discard;
    return asked;
  }

  bool is_done(const std::string& mode) const {
    const auto found = found_.find(mode);
    return found != found_.end() && found->second.value("done", false);
  }

  void save() const {
    if (options_.out.empty()) return;
    Json modes = Json::array();
    for (const auto& [name, mode] : found_) modes.push_back(mode);
    std::ofstream(options_.out + ".partial")
        << Json({{"asked", asked()}, {"modes", std::move(modes)}}).dump();
    std::error_code ignored;
    fs::rename(options_.out + ".partial", options_.out, ignored);
  }

  std::string work_folder(const std::string& mode) const {
    return options_.learn.folder + "/bench-learning-" + mode;
  }

  Status run_mode(const std::string& mode) {
    EngineOptions engine = loaded_.engine_options();
    engine.max_sequences = options_.run.concurrency;
    std::unique_ptr<Learner> learner;
    if (mode != "none") {
      Result<std::unique_ptr<Learner>> made = make_learner(mode, engine);
      if (!made.ok()) return made.error();
      learner = *std::move(made);
    } else if (options_.speculation != "head") {
      const Result<SpeculationKind> kind = parse_speculation(options_.speculation);
      if (!kind.ok()) return kind.error();
      engine.speculation = kind->options;
    }
    Result<std::unique_ptr<Engine>> made =
        Engine::create(*loaded_.model, *loaded_.kernels, *loaded_.team, std::move(engine));
    if (!made.ok()) return made.error();
    if (learner) learner->start(**made);
    const Status status = measure(mode, **made, learner.get());
    if (learner) learner->end();
    return status;
  }

  Result<std::unique_ptr<Learner>> make_learner(const std::string& mode, EngineOptions& engine) {
    LearnOptions learn = options_.learn;
    learn.folder = work_folder(mode);
    learn.trains = mode != "static";
    learn.remembers = mode != "continual";
    // A run that was cut off begins anew.
    std::error_code ignored;
    fs::remove_all(learn.folder, ignored);
    fs::create_directories(options_.learn.folder, ignored);
    std::string speculation = options_.speculation;
    if (mode != "scratch") {
      if (options_.static_head.empty()) return Error{mode + " takes a --static-head to begin with"};
      learn.first_head = options_.static_head;
    }
    TraceOptions trace = options_.trace;
    if (!trace.folder.empty()) {
      fs::create_directories(trace.folder, ignored);
      trace.folder += "/bench-learning-" + mode;
      fs::remove_all(trace.folder, ignored);
    }
    return learn_to_draft(learn, trace, options_.model, speculation, loaded_, engine);
  }

  Status measure(const std::string& mode, Engine& engine, Learner* learner) {
    Json& found = found_[mode];
    found = {{"name", mode},
             {"windows", Json::array()},
             {"swaps", Json::array()},
             {"answers",
              {{"tokens", std::vector<int64_t>(requests_.size())},
               {"rounds", std::vector<int64_t>(requests_.size())}}}};
    LearningNotes notes;
    notes.answer = [&](size_t request, const LearningAnswer& answer) {
      found["answers"]["tokens"][request] = answer.tokens;
      found["answers"]["rounds"][request] = answer.rounds;
    };
    notes.window = [&](const LearningWindow& window) {
      found["windows"].push_back(to_json(window, names_));
      tell(mode, window);
      save();
    };
    notes.event = [&](int64_t requests, const Json& event) {
      Json one = event;
      one["requests"] = requests;
      found["swaps"].push_back(std::move(one));
    };
    Status status = run_learning(engine, learner, requests_, options_.run, notes);
    if (!status.ok()) return status;
    if (learner != nullptr) found["cost"] = cost_of_rounds(learner->decoding_cost());
    found["done"] = true;
    save();
    return {};
  }

  // Seconds of steps that verify no draft, one, two and so on, behind as many positions as an
  // answer has in the mean, and what drafting takes against what a head's size makes of the first.
  Json cost_of_rounds(const DecodingCost& cost) const {
    int64_t keys = 0;
    for (const StreamRequest& one : requests_) {
      keys += std::ssize(one.request.prompt) + options_.tokens;
    }
    Json steps = Json::array();
    for (int draft = 0; draft <= ReplayedHead::kMostDepth; ++draft) {
      StepWork work;
      work.add_sequence(draft + 1, keys / std::ssize(requests_));
      steps.push_back(cost.step.predict(work));
    }
    return {{"steps", std::move(steps)}, {"drafting", cost.drafting}};
  }

  void tell(const std::string& mode, const LearningWindow& window) const {
    if (options_.json) return;
    const Json line = to_json(window, names_);
    std::printf("%-8s %6lld %-16s %6.3f tokens a round %8.1f tok/s %8.1f timed  head %lld\n",
                mode.c_str(), static_cast<long long>(window.requests),
                names_[static_cast<size_t>(window.segment)].c_str(),
                line["acceptance_length"].get<double>(), line["tok_s"].get<double>(),
                line["timed_tok_s"].get<double>(), static_cast<long long>(window.head_version));
    std::fflush(stdout);
  }

  LoadedModel loaded_;
  const LearningBenchOptions& options_;
  std::vector<Stream> streams_;
  std::vector<std::string> names_;
  std::vector<StreamRequest> requests_;
  std::map<std::string, Json> found_;  // by mode
};

int bench_learning(const LearningBenchOptions& options) {
  if (options.learn.folder.empty()) return failed({"--learn-dir names a folder to work in"});
  if (options.requests.size() != 1 && options.requests.size() != options.streams.size()) {
    return failed({"--requests takes one number, or one for each of the --streams"});
  }
  Result<std::vector<Stream>> streams = read_streams(options.streams);
  if (!streams.ok()) return failed(streams.error());
  LearnOptions learn = options.learn;
  learn.on = true;
  Result<LoadedModel> loaded = load_model(options.model, serving_threads(learn, options.threads));
  if (!loaded.ok()) return failed(loaded.error());
  start_log(LogFormat::kText, LogLevel::kWarning);
  LearningBench bench(*std::move(loaded), options, *std::move(streams));
  if (Status status = bench.run(); !status.ok()) return failed(status.error());
  const Json report = bench.report();
  if (!options.out.empty()) std::ofstream(options.out) << report.dump(1) << "\n";
  if (options.json) std::puts(report.dump(1).c_str());
  return 0;
}

void add_options(CLI::App& command, LearningBenchOptions& options) {
  add_model(command, options.model);
  command
      .add_option("--streams", options.streams,
                  "Files of prompts, a JSON object a line; \"text\" is continued")
      ->required()
      ->delimiter(',')
      ->type_name("FILE,…");
  command.add_option("--schedule", options.schedule, "How streams follow each other")
      ->check(CLI::IsMember({"shift", "mixed", "alternate"}).description(""))
      ->type_name("shift|mixed|alternate")
      ->capture_default_str();
  command
      .add_option(
          "--modes", options.modes,
          "none: no head; static: one; online: it learns; scratch: from none; continual: online "
          "without memory")
      ->check(CLI::IsMember({"none", "static", "online", "scratch", "continual"}).description(""))
      ->delimiter(',')
      ->type_name("MODE,…")
      ->capture_default_str();
  command.add_option("--static-head", options.static_head, "An EAGLE-3 head for static and online")
      ->type_name("FOLDER");
  command
      .add_option("--speculation", options.speculation,
                  "head: nothing else drafts; auto: history does, too")
      ->check(CLI::IsMember({"head", "auto"}).description(""))
      ->type_name("KIND")
      ->capture_default_str();
  command
      .add_option("--requests", options.requests, "Of a segment; of each stream's, where several")
      ->check(CLI::Range(1, 1'000'000).description(""))
      ->delimiter(',')
      ->type_name("N,…")
      ->capture_default_str();
  add_count(command, "--visits", options.visits, 1, 100, "Of each stream, when they alternate");
  add_count(command, "--concurrency", options.run.concurrency, 1, 1024, "Requests at a time");
  add_count(command, "--window", options.run.window, 1, 1'000'000, "Requests of a line");
  add_count(command, "--tokens", options.tokens, 1, 1 << 20, "Longest answer");
  command.add_option("--temperature", options.temperature, "Of sampling")
      ->check(CLI::Range(0.0f, 10.0f).description(""))
      ->type_name("T")
      ->capture_default_str();
  command
      .add_option("--trace-dir", options.trace.folder,
                  "Also record the answers, a folder a mode, for bench replay")
      ->type_name("FOLDER");
  command
      .add_option("--out", options.out, "Where results are kept; modes that are done there stay")
      ->type_name("FILE");
  add_threads(command, options.threads);
  add_json(command, options.json);
  add_learn_options(command, options.learn);
}

}  // namespace

void add_bench_learning(CLI::App& bench, int& exit_code) {
  const auto options = std::make_shared<LearningBenchOptions>();
  options->learn.share = 0.5;
  CLI::App* command =
      bench.add_subcommand("learning", "What a head that learns brings, request by request");
  add_options(*command, *options);
  command->footer(
      "Every mode answers the same requests, with as many threads. Beside the machine's own time\n"
      "stands `timed`: steps and drafts as they were timed at first, the same on a busy "
      "machine.\n\n"
      "Example:\n"
      "  forerun bench learning smollm2-135m --streams gsm8k.jsonl,math.jsonl --schedule shift \\\n"
      "      --modes none,scratch --requests 2000 --learn-dir work --out curve.json");
  command->callback([options, &exit_code] { exit_code = bench_learning(*options); });
}

}  // namespace forerun
