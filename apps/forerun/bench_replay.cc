#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "bench.h"
#include "commands.h"
#include "commit.h"
#include "loaded_model.h"
#include "machine.h"
#include "model_options.h"
#include "models/eagle3_head.h"
#include "online/replay.h"
#include "online/round_time.h"
#include "online/trace_file.h"

namespace forerun {
namespace {

constexpr int kMostDepth = 8;
constexpr size_t kBatch = 64;  // records read at a time

struct ReplayBenchOptions {
  std::string model;
  std::string head;
  std::string traces;
  std::string drafts;
  int depth = 4;
  int64_t skip = 0;
  int64_t limit = 0;
  int threads = 0;
  bool argmax_drafts = false;
  bool answers = false;
  bool json = false;
};

// Records of a folder that are of the target, in batches.
class RecordBatches final {
 public:
  RecordBatches(TraceFileReader reader, const ReplayBenchOptions& options, uint64_t weights)
      : reader_(std::move(reader)), options_(options), weights_(weights) {}

  // Valid until the next call; empty at the end.
  Result<std::vector<TraceRecord>> next() {
    words_.clear();
    std::vector<TraceRecord> records;
    while (records.size() < kBatch && (options_.limit == 0 || taken_ < options_.limit)) {
      std::optional<std::vector<uint64_t>> words = reader_.next();
      if (!words) break;
      if (seen_++ < options_.skip) continue;
      Result<TraceRecord> record = parse_trace(trace_bytes(*words));
      if (!record.ok()) return record.error();
      if (record->header.weights != weights_) {
        return Error{options_.traces + " holds traces of another model's weights"};
      }
      ++taken_;
      words_.push_back(*std::move(words));
      records.push_back(*record);
    }
    return records;
  }

 private:
  TraceFileReader reader_;
  const ReplayBenchOptions& options_;
  uint64_t weights_;
  int64_t seen_ = 0;
  int64_t taken_ = 0;
  std::vector<std::vector<uint64_t>> words_;
};

// Of the rounds whose drafts were right so far, the share that was right at each place, too.
std::vector<double> acceptance_by_place(const ReplayScore& score, int depth) {
  std::vector<double> found;
  for (int i = 0; i < depth; ++i) {
    const auto before =
        static_cast<double>(i == 0 ? score.drafted_at[0] : score.accepted_at[i - 1]);
    if (before == 0.0) break;
    found.push_back(static_cast<double>(score.accepted_at[i]) / before);
  }
  return found;
}

Json report(const ReplayScore& score, const ReplayBenchOptions& options, int64_t records,
            double seconds) {
  return {{"records", records},
          {"tokens", score.tokens},
          {"rounds", score.rounds},
          {"depth", options.depth},
          {"acceptance_length_with_bonus", score.acceptance_length()},
          {"accepted_by_place", acceptance_by_place(score, options.depth)},
          {"seconds", seconds}};
}

Json answer_of(uint64_t conversation, const ReplayScore& score, int depth) {
  const auto accepted = std::span(score.accepted_at).first(static_cast<size_t>(depth));
  return {conversation, score.tokens, score.rounds,
          std::vector<int64_t>(accepted.begin(), accepted.end())};
}

// Tokens of the first drafts at every place, a list a record, as JSON lines.
class DraftsFile final {
 public:
  explicit DraftsFile(const std::string& path) : path_(path) {
    if (!path.empty()) file_.open(path);
  }
  Status write(Replay& replay, std::span<const TraceRecord> records) {
    if (path_.empty()) return {};
    for (const auto& tokens : replay.draft_firsts(records)) file_ << Json(tokens).dump() << '\n';
    file_.flush();
    return file_ ? Status() : Error{"cannot write " + path_ + ": " + std::strerror(errno)};
  }

 private:
  std::string path_;
  std::ofstream file_;
};

void tell(const Json& report) {
  std::printf("%lld answers, %lld tokens in %lld rounds: %.3f tokens a round\nright by place:",
              static_cast<long long>(report["records"].get<int64_t>()),
              static_cast<long long>(report["tokens"].get<int64_t>()),
              static_cast<long long>(report["rounds"].get<int64_t>()),
              report["acceptance_length_with_bonus"].get<double>());
  for (const Json& one : report["accepted_by_place"]) std::printf(" %.3f", one.get<double>());
  std::printf("\n");
}

int bench_replay(const ReplayBenchOptions& options) {
  Result<LoadedModel> loaded = load_model(options.model, options.threads);
  if (!loaded.ok()) return failed(loaded.error());
  Result<std::unique_ptr<Eagle3Head>> head =
      Eagle3Head::load(options.head, *loaded->model, *loaded->team);
  if (!head.ok()) return failed(head.error());
  Result<TraceFileReader> reader = TraceFileReader::open(options.traces);
  if (!reader.ok()) return failed(reader.error());
  RecordBatches batches(*std::move(reader), options, loaded->model->weights().fingerprint);
  Replay replay(*loaded->model, **head, *loaded->kernels, *loaded->team, options.argmax_drafts);
  DraftsFile drafts(options.drafts);
  ReplayScore sum;
  Json answers = Json::array();
  int64_t records = 0;
  const double begin = now_seconds();
  while (true) {
    const Result<std::vector<TraceRecord>> batch = batches.next();
    if (!batch.ok()) return failed(batch.error());
    if (batch->empty()) break;
    records += std::ssize(*batch);
    const std::vector<ReplayScore> scores = replay.score(*batch, options.depth);
    for (size_t i = 0; i < scores.size(); ++i) {
      sum.add(scores[i]);
      if (!options.answers) continue;
      answers.push_back(answer_of((*batch)[i].header.conversation, scores[i], options.depth));
    }
    if (const Status status = drafts.write(replay, *batch); !status.ok()) {
      return failed(status.error());
    }
  }
  if (records == 0) return failed({options.traces + " holds no traces to replay"});
  Json found = report(sum, options, records, now_seconds() - begin);
  if (!options.json) {
    tell(found);
    return 0;
  }
  found.update({{"model", loaded->model->descriptor().name},
                {"head_size", head_size(**head, *loaded->model)},
                {"isa", loaded->kernels->name},
                {"machine", machine_facts()},
                {"commit", kCommit}});
  if (options.answers) found["answers"] = std::move(answers);
  std::puts(found.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  return 0;
}

}  // namespace

void add_bench_replay(CLI::App& bench, int& exit_code) {
  const auto options = std::make_shared<ReplayBenchOptions>();
  CLI::App* command =
      bench.add_subcommand("replay", "What a head would have brought on recorded answers");
  add_model(*command, options->model);
  command->add_option("--head", options->head, "An EAGLE-3 head")->required()->type_name("FOLDER");
  command->add_option("--traces", options->traces, "What `serve --trace-dir` recorded")
      ->required()
      ->type_name("FOLDER");
  add_count(*command, "--depth", options->depth, 1, kMostDepth, "Tokens of a draft");
  add_count(*command, "--skip", options->skip, 0, int64_t{1} << 40,
            "Answers left out at the beginning");
  add_count(*command, "--limit", options->limit, 0, int64_t{1} << 40,
            "Only so many answers; 0: all");
  command->add_flag("--argmax-drafts", options->argmax_drafts,
                    "Draft what is likeliest, not with the requests' noise");
  command
      ->add_option("--drafts", options->drafts,
                   "Also write the first draft at every place, a JSON list a record")
      ->type_name("FILE");
  command->add_flag(
      "--answers", options->answers,
      "With --json: of every answer conversation, tokens, rounds, right drafts by place");
  add_threads(*command, options->threads);
  add_json(*command, options->json);
  command->footer(
      "No model is run but the head: what is recorded is what verification would have chosen, so\n"
      "that drafts are held against it, drawn with the requests' own noise.\n\n"
      "Example:\n"
      "  forerun bench replay smollm2-135m --head heads/000001 --traces traces");
  command->callback([options, &exit_code] { exit_code = bench_replay(*options); });
}

}  // namespace forerun
