#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "bench.h"
#include "commands.h"
#include "formats/quote.h"
#include "loaded_model.h"
#include "model_options.h"
#include "progress_line.h"
#include "prompt_scores.h"
#include "score_requests.h"
#include "text_input.h"

namespace forerun {
namespace {

constexpr size_t kMostRequestBytes = 256'000'000;

struct ScoreOptions {
  std::string model;
  std::string requests;
  int threads = 0;
  std::optional<KvType> kv_type;
  bool json = false;
};

struct ScoredQuestion {
  const ScoreQuestion* question;
  std::vector<TextScore> scores;  // of its continuations
};

// The first choice of the highest score.
size_t best_choice(const ScoredQuestion& scored, bool by_length) {
  const auto value = [&](size_t i) {
    const auto bytes = static_cast<double>(scored.question->continuations[i].num_bytes);
    return scored.scores[i].logprob / (by_length ? std::max(bytes, 1.0) : 1.0);
  };
  size_t best = 0;
  for (size_t i = 1; i < scored.scores.size(); ++i) {
    if (value(i) > value(best)) best = i;
  }
  return best;
}

struct Summary {
  int64_t continuations = 0;
  int64_t greedy = 0;
  int64_t truncated = 0;
  int64_t tokens = 0;  // read
  double logprob = 0.0;
  int64_t answered = 0;  // questions whose right choice is known
  int64_t right = 0;
  int64_t right_by_length = 0;

  double accuracy() const { return share(right); }
  double accuracy_by_length() const { return share(right_by_length); }

 private:
  double share(int64_t count) const {
    return static_cast<double>(count) / static_cast<double>(std::max<int64_t>(answered, 1));
  }
};

Summary sum_up(const std::vector<ScoredQuestion>& questions) {
  Summary summary;
  for (const ScoredQuestion& scored : questions) {
    for (size_t i = 0; i < scored.scores.size(); ++i) {
      const Continuation& continuation = scored.question->continuations[i];
      ++summary.continuations;
      summary.greedy += scored.scores[i].greedy ? 1 : 0;
      summary.truncated += continuation.truncated ? 1 : 0;
      summary.tokens += static_cast<int64_t>(continuation.text.tokens.size());
      summary.logprob += scored.scores[i].logprob;
    }
    if (!scored.question->answer) continue;
    ++summary.answered;
    summary.right += best_choice(scored, false) == *scored.question->answer ? 1 : 0;
    summary.right_by_length += best_choice(scored, true) == *scored.question->answer ? 1 : 0;
  }
  return summary;
}

Json continuation_json(const Continuation& continuation, const TextScore& score) {
  Json json = {{"logprob", score.logprob},
               {"greedy", score.greedy},
               {"context_tokens", continuation.text.first},
               {"continuation_tokens", score.num_tokens},
               {"bytes", continuation.num_bytes}};
  if (continuation.truncated) json["truncated"] = true;
  return json;
}

Json question_json(const ScoredQuestion& scored) {
  const std::vector<Continuation>& continuations = scored.question->continuations;
  if (!scored.question->has_choices) return continuation_json(continuations[0], scored.scores[0]);
  Json json = {{"best", best_choice(scored, false)},
               {"best_by_length", best_choice(scored, true)},
               {"choices", Json::array()}};
  for (size_t i = 0; i < continuations.size(); ++i) {
    json["choices"].push_back(continuation_json(continuations[i], scored.scores[i]));
  }
  if (scored.question->answer) json["answer"] = *scored.question->answer;
  return json;
}

Json report(const LoadedModel& loaded, const Engine& engine,
            const std::vector<ScoredQuestion>& questions, const Summary& summary, double seconds) {
  Json json = {{"model", loaded.model->descriptor().name},
               {"system_fingerprint", engine.fingerprint()},
               {"tokens", summary.tokens},
               {"seconds", seconds},
               {"requests", Json::array()}};
  for (const ScoredQuestion& scored : questions) json["requests"].push_back(question_json(scored));
  if (summary.answered > 0) {
    json["accuracy"] = {{"questions", summary.answered},
                        {"raw", summary.accuracy()},
                        {"by_length", summary.accuracy_by_length()}};
  }
  return json;
}

void print(const Summary& summary, double seconds) {
  std::printf("%lld continuations, log-likelihood %.4f in all, %lld greedy",
              static_cast<long long>(summary.continuations), summary.logprob,
              static_cast<long long>(summary.greedy));
  if (summary.truncated > 0) {
    std::printf(", %lld with a shortened context", static_cast<long long>(summary.truncated));
  }
  std::printf("; %lld tokens in %.1f s\n", static_cast<long long>(summary.tokens), seconds);
  if (summary.answered == 0) return;
  std::printf("accuracy %.2f %%, by length %.2f %%, of %lld questions\n",
              100.0 * summary.accuracy(), 100.0 * summary.accuracy_by_length(),
              static_cast<long long>(summary.answered));
}

// Scores every continuation of every question.
Status score_all(Engine& engine, std::vector<ScoredQuestion>& questions) {
  struct Place {
    size_t question;
    size_t continuation;
  };
  std::vector<Place> places;
  for (size_t q = 0; q < questions.size(); ++q) {
    questions[q].scores.resize(questions[q].question->continuations.size());
    for (size_t c = 0; c < questions[q].scores.size(); ++c) places.push_back({q, c});
  }
  ProgressLine line("scoring", places.size(), "continuations");
  uint64_t num_done = 0;
  const Status status = score_texts(
      engine, static_cast<int64_t>(places.size()), /*tell_greedy=*/true,
      [&](int64_t i) {
        return questions[places[i].question].question->continuations[places[i].continuation].text;
      },
      [&](int64_t i, const TextScore& score) {
        questions[places[i].question].scores[places[i].continuation] = score;
        line.update(++num_done);
      });
  line.end();
  return status;
}

int score(const ScoreOptions& options) {
  const Result<std::string> lines = read_text(options.requests, kMostRequestBytes);
  if (!lines.ok()) return failed(lines.error());
  const Result<LoadedModel> loaded = load_model(options.model, options.threads);
  if (!loaded.ok()) return failed(loaded.error());
  EngineOptions engine_options = loaded->engine_options();
  engine_options.kv_type = options.kv_type;
  const Result<std::unique_ptr<Engine>> engine =
      Engine::create(*loaded->model, *loaded->kernels, *loaded->team, std::move(engine_options));
  if (!engine.ok()) return failed(engine.error());
  const Tokenizer* tokenizer = loaded->tokenizer ? &*loaded->tokenizer : nullptr;
  const ScoreRequestReader reader(tokenizer, loaded->model->descriptor().vocab_size,
                                  (*engine)->context_length());
  const Result<std::vector<ScoreQuestion>> requests = reader.read(*lines);
  if (!requests.ok()) {
    return failed({quote(options.requests, 300) + ": " + requests.error().message});
  }
  std::vector<ScoredQuestion> questions;
  for (const ScoreQuestion& question : *requests) questions.push_back({&question, {}});
  const double begin = now_seconds();
  if (const Status status = score_all(**engine, questions); !status.ok()) {
    return failed(status.error());
  }
  const double seconds = now_seconds() - begin;
  const Summary summary = sum_up(questions);
  if (options.json) {
    std::puts(report(*loaded, **engine, questions, summary, seconds)
                  .dump(2, ' ', false, Json::error_handler_t::replace)
                  .c_str());
  } else {
    print(summary, seconds);
  }
  return 0;
}

}  // namespace

void add_bench_score(CLI::App& bench, int& exit_code) {
  const auto options = std::make_shared<ScoreOptions>();
  CLI::App* command = bench.add_subcommand(
      "score", "Log-likelihoods of given continuations, as evaluation harnesses ask for them");
  add_model(*command, options->model);
  command->add_option("--requests", options->requests, "JSON lines; - is standard input")
      ->required()
      ->type_name("FILE");
  add_threads(*command, options->threads);
  add_kv_type(*command, options->kv_type);
  add_json(*command, options->json);
  command->footer(
      "A line is {\"context\": C, \"continuation\": T} or {\"context\": C, \"choices\": [T, …],\n"
      "\"answer\": INDEX}, where C and T are texts or lists of token ids. Of each continuation "
      "the\n"
      "sum of its tokens' log-probs is told, and whether each was the likeliest; of choices the\n"
      "best, also by log-prob per byte, and over all the accuracy. Tokens are cut as\n"
      "lm-evaluation-harness does it.\n\n"
      "Example:\n"
      "  forerun bench score smollm2-135m --requests questions.jsonl --json");
  command->callback([options, &exit_code] { exit_code = score(*options); });
}

}  // namespace forerun
