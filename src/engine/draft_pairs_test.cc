// Every two ways of asking and drafting that can meet, met at least once: a pairwise array over
// parameters, forms of answers, memory and drafters. Each row runs plain and drafting, and wants
// the same bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/philox.h"
#include "engine/engine_fixture.h"
#include "text/text_fixture.h"

namespace forerun {
namespace {

constexpr int32_t kVocabSize = 320;

enum Factor : uint8_t {
  kTemperature,
  kPenalty,
  kBias,
  kFilter,
  kGrammar,
  kLogprobs,
  kChoices,
  kStops,
  kMemory,
  kDrafter,
  kTree,
  kNumFactors
};
constexpr std::array<int, kNumFactors> kLevels = {3, 5, 2, 4, 2, 3, 2, 2, 2, 5, 2};
using Row = std::array<int, kNumFactors>;
struct Pair {
  int factor, level, other_factor, other_level;
  auto operator<=>(const Pair&) const = default;
};

std::vector<Pair> pairs_of(const Row& row) {
  std::vector<Pair> pairs;
  for (int a = 0; a < kNumFactors; ++a) {
    for (int b = a + 1; b < kNumFactors; ++b) pairs.push_back({a, row[a], b, row[b]});
  }
  return pairs;
}

// Rows that hold every pair of levels of two factors. Of some random rows the one with the most new
// pairs comes next.
std::vector<Row> pairwise_rows() {
  std::set<Pair> missing;
  for (int a = 0; a < kNumFactors; ++a) {
    for (int b = a + 1; b < kNumFactors; ++b) {
      for (int i = 0; i < kLevels[a]; ++i) {
        for (int j = 0; j < kLevels[b]; ++j) missing.insert({a, i, b, j});
      }
    }
  }
  uint32_t draw = 0;
  const auto random = [&](int count) {
    return static_cast<int>(philox({draw++, 0, 0, 0}, {3, 4})[0] % static_cast<uint32_t>(count));
  };
  std::vector<Row> rows;
  while (!missing.empty()) {
    Row best = {};
    int64_t best_new = -1;
    for (int candidate = 0; candidate < 60; ++candidate) {
      Row row;
      for (int f = 0; f < kNumFactors; ++f) row[f] = random(kLevels[f]);
      // One pair that is missing for certain.
      auto wanted = missing.begin();
      std::advance(wanted, random(static_cast<int>(missing.size())));
      row[wanted->factor] = wanted->level;
      row[wanted->other_factor] = wanted->other_level;
      const std::vector<Pair> pairs = pairs_of(row);
      const int64_t is_new =
          std::ranges::count_if(pairs, [&](const Pair& pair) { return missing.contains(pair); });
      if (is_new <= best_new) continue;
      best_new = is_new;
      best = row;
    }
    for (const Pair& pair : pairs_of(best)) missing.erase(pair);
    rows.push_back(best);
  }
  return rows;
}

std::shared_ptr<const Grammar> grammar() {
  static const Result<Tokenizer> tokenizer = Tokenizer::create(byte_level_fixture());
  static const Result<GrammarEnvironment> environment = GrammarEnvironment::create(*tokenizer);
  static const auto compiled = environment->compile({GrammarKind::kRegex, "([a-f]+ ?){4,30}"});
  return *compiled;
}

SamplingParams sampling_of(const Row& row) {
  SamplingParams sampling;
  sampling.temperature = std::array{0.0f, 0.8f, 1.3f}[row[kTemperature]];
  if (row[kPenalty] == 1) sampling.repetition_penalty = 1.3f;
  if (row[kPenalty] == 2) sampling.frequency_penalty = 0.6f;
  if (row[kPenalty] == 3) sampling.presence_penalty = 0.6f;
  if (row[kPenalty] == 4) sampling.frequency_penalty = sampling.presence_penalty = -0.4f;
  if (row[kBias] == 1) sampling.logit_bias = {{5, 2.0f}, {97, 1.5f}, {6, -2.0f}};
  if (row[kFilter] == 1) sampling.min_p = 0.05f;
  if (row[kFilter] == 2) sampling.top_k = 40;
  if (row[kFilter] == 3) sampling.top_p = 0.9f;
  sampling.logprobs =
      std::array{LogprobMode::kNone, LogprobMode::kRaw, LogprobMode::kProcessed}[row[kLogprobs]];
  sampling.top_logprobs = row[kLogprobs] == 0 ? 0 : 3;
  return sampling;
}

std::vector<Request> requests_of(const Row& row) {
  std::vector<Request> requests;
  for (const int length : {3, 32, 70, 110}) {
    Request request;
    const auto index = static_cast<uint32_t>(requests.size());
    request.prompt = random_tokens(length, kVocabSize, index);
    request.max_tokens = 40;
    request.ignore_eos = true;
    request.sampling = sampling_of(row);
    request.sampling.seed = 50 + index;
    if (row[kGrammar] == 1) request.grammar = grammar();
    if (row[kChoices] == 1) request.n = 3;
    if (row[kStops] == 1) request.stop_strings = {"zzzz", "qx"};
    requests.push_back(std::move(request));
  }
  return requests;
}

EngineOptions options_of(const Row& row) {
  EngineOptions options = tiny_options();
  options.eos_ids = {kFixtureEnd};
  if (row[kMemory] == 1) options.kv_tokens = 7 * 32;
  return options;
}

EngineOptions drafting(EngineOptions options, const Row& row) {
  SpeculationOptions& speculation = options.speculation;
  speculation.forced = true;
  speculation.max_draft = 6;
  speculation.history_tokens = 1 << 14;
  speculation.trees = row[kTree] == 1;
  const int drafter = row[kDrafter];
  speculation.history = drafter == 0 || drafter == 4;
  speculation.prediction = drafter == 1 || drafter == 4;
  if (drafter == 2) speculation.draft_model = &shallow_model();
  if (drafter >= 3) speculation.eagle3 = &tiny_head();
  return options;
}

std::string to_text(const Row& row) {
  std::string text;
  for (const int level : row) text += std::to_string(level) + " ";
  return text;
}

TEST(DraftPairs, EveryPairGivesTheBitsOfThePlainRun) {
  const Isa isa = available_isas().back();
  SpeculationStats all;
  int64_t preemptions = 0;
  const std::vector<Row> rows = pairwise_rows();
  EXPECT_LT(rows.size(), 60u);
  for (const Row& row : rows) {
    const std::vector<Request> requests = requests_of(row);
    RecordedEngine plain(tiny_model(), isa, /*num_threads=*/2, options_of(row));
    const std::vector<Answers> expected = plain.run(requests);
    RecordedEngine recorded(tiny_model(), isa, /*num_threads=*/2, drafting(options_of(row), row));
    // The second time history knows the answers.
    for (int time = 0; time < 2; ++time) {
      const std::vector<Answers> answers =
          recorded.run(predicted(requests, expected, /*wrong_every=*/5));
      for (size_t i = 0; i < requests.size(); ++i) {
        ASSERT_EQ(answers[i].choices, expected[i].choices)
            << "row " << to_text(row) << ", request " << i << ", time " << time;
      }
    }
    const EngineStats stats = recorded.stats();
    EXPECT_EQ(stats.kv_pages_in_use, 0);
    preemptions += stats.preemptions;
    for (int source = 0; source < kNumDraftSources; ++source) {
      all.by_source[source].add(stats.speculation.by_source[source]);
    }
  }
  EXPECT_GT(preemptions, 0);
  for (int source = 0; source < kNumDraftSources; ++source) {
    const DraftTokens& tokens = all.by_source[source];
    EXPECT_GT(tokens.accepted, 0) << draft_source_name(static_cast<DraftSource>(source));
    EXPECT_GT(tokens.drafted, tokens.accepted);
  }
}

}  // namespace
}  // namespace forerun
