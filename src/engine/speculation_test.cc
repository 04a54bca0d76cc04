// Drafts change nothing of what is answered: every case drafts for the same sixteen requests in
// another way, some of it right and some wrong, and wants the bits of the plain run.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/engine_fixture.h"

namespace forerun {
namespace {

constexpr int32_t kVocabSize = 320;
// The tokens of predictions that are made wrong.
constexpr size_t kWrongEvery = 7;

EngineOptions speculating(bool forced = true) {
  EngineOptions options = tiny_options();
  options.speculation.history = options.speculation.prediction = true;
  options.speculation.forced = forced;
  options.speculation.max_draft = 9;
  options.speculation.history_tokens = 1 << 14;
  return options;
}

// A model alone, and beside the other sources.
EngineOptions drafting_with(const Model* model, const Eagle3Head* head, bool alone = true) {
  EngineOptions options = speculating();
  options.speculation.history = options.speculation.prediction = !alone;
  options.speculation.draft_model = model;
  options.speculation.eagle3 = head;
  return options;
}

std::vector<Answer> choices_of(const std::vector<Answers>& answers) {
  std::vector<Answer> choices;
  for (const Answers& one : answers) {
    choices.insert(choices.end(), one.choices.begin(), one.choices.end());
  }
  return choices;
}

std::vector<Answers> run(const std::vector<Request>& requests, const EngineOptions& options,
                         Isa isa = available_isas().back(), const Model& model = tiny_model()) {
  RecordedEngine recorded(model, isa, /*num_threads=*/2, options);
  return recorded.run(requests);
}

Request long_request(uint32_t stream, int64_t max_tokens, uint64_t seed) {
  Request request;
  request.prompt = random_tokens(20, kVocabSize, stream);
  request.max_tokens = max_tokens;
  request.ignore_eos = true;
  request.sampling.seed = seed;
  return request;
}

void expect_both(const SpeculationStats& stats) {
  EXPECT_GT(stats.accepted_tokens, 60);
  EXPECT_GT(stats.draft_tokens - stats.accepted_tokens, 60);
}

class Speculation : public testing::TestWithParam<Isa> {
 protected:
  // Some run into the context's end. Plain loops take their time, and get the shorter half.
  std::vector<Request> requests() {
    std::vector<Request> requests = mixed_requests(kVocabSize);
    if (GetParam() == Isa::kGeneric) {
      requests.resize(9);
      return requests;
    }
    for (size_t i = 0; i < requests.size(); i += 5) requests[i].max_tokens = 0;
    return requests;
  }
  const std::vector<Answers>& plain() {
    static std::map<Isa, std::vector<Answers>> found;
    if (!found.contains(GetParam())) {
      found[GetParam()] = run(requests(), tiny_options(), GetParam());
    }
    return found[GetParam()];
  }
  void expect_same(const EngineOptions& options, const std::string& what) {
    RecordedEngine recorded(tiny_model(), GetParam(), /*num_threads=*/2, options);
    EXPECT_EQ(choices_of(recorded.run(predicted(requests(), plain(), kWrongEvery))),
              choices_of(plain()))
        << what;
    // What was said before is drafted from, too, and prefixes are found.
    EXPECT_EQ(choices_of(recorded.run(requests())), choices_of(plain())) << what << ", again";
    EXPECT_EQ(recorded.stats().kv_pages_in_use, 0);
    stats_ = recorded.stats();
  }

  EngineStats stats_;
};
INSTANTIATE_TEST_SUITE_P(Isa, Speculation, testing::ValuesIn(available_isas()),
                         [](const auto& info) { return std::string(isa_name(info.param)); });

TEST_P(Speculation, SameTokensInABatch) {
  expect_same(speculating(), "forced");
  expect_both(stats_.speculation);
  for (const DraftSource source : {DraftSource::kHistory, DraftSource::kPrediction}) {
    EXPECT_GT(stats_.speculation.by_source[static_cast<size_t>(source)].accepted, 10);
  }
  expect_same(speculating(/*forced=*/false), "by the policy");
}

TEST_P(Speculation, SameTokensWithChainsOnly) {
  for (const bool with_model : {false, true}) {
    EngineOptions options = with_model ? drafting_with(&shallow_model(), nullptr) : speculating();
    options.speculation.trees = false;
    expect_same(options, with_model ? "chains of a model" : "chains");
    EXPECT_GT(stats_.speculation.accepted_tokens, 20);
  }
}

TEST_P(Speculation, SameTokensAlone) {
  RecordedEngine recorded(tiny_model(), GetParam(), /*num_threads=*/2, speculating());
  std::vector<Answers> answers;
  for (const Request& request : predicted(requests(), plain(), kWrongEvery)) {
    answers.push_back(recorded.run({request})[0]);
  }
  EXPECT_EQ(choices_of(answers), choices_of(plain()));
  expect_both(recorded.stats().speculation);
  EXPECT_LT(recorded.stats().steps, recorded.stats().generated_tokens / 2);
}

TEST_P(Speculation, SameTokensInSmallSteps) {
  for (const int rows : {1, 20}) {
    EngineOptions options = speculating();
    options.max_step_rows = rows;
    options.max_sequences = std::min(rows, 16);
    expect_same(options, std::to_string(rows) + " rows a step");
  }
}

TEST_P(Speculation, SameTokensWhenPreempted) {
  const bool few = GetParam() == Isa::kGeneric;
  int64_t preemptions = 0;
  for (const int pages : {few ? 4 : 16, few ? 6 : 25}) {
    EngineOptions options = speculating();
    options.kv_tokens = pages * 32;
    expect_same(options, std::to_string(pages) + " pages");
    preemptions += stats_.preemptions;
  }
  EXPECT_GT(preemptions, 0);
}

TEST_P(Speculation, SameTokensWithOtherKeysAndStates) {
  EngineOptions options = speculating();
  options.keep_states = true;
  expect_same(options, "states kept");
}

// The model itself, drafting with each request's own parameters, penalties and noise, is never
// wrong, at any temperature: it is what its keys and values make it, and they are all there.
TEST_P(Speculation, AModelIsNeverWrongAboutItself) {
  EngineOptions by_itself = drafting_with(&tiny_model(), nullptr);
  by_itself.speculation.trees = false;
  expect_same(by_itself, "by itself");
  const SpeculationStats& stats = stats_.speculation;
  EXPECT_GT(stats.draft_tokens, 400);
  // But for grammars there are none, and what the end of an output cuts off is not counted wrong.
  EXPECT_EQ(stats.accepted_at[0], stats.drafts);
  expect_same(drafting_with(&tiny_model(), nullptr, /*alone=*/false), "beside others");
}

TEST_P(Speculation, SameTokensWithASmallerModel) {
  expect_same(drafting_with(&shallow_model(), nullptr), "a smaller model");
  const SpeculationStats& stats = stats_.speculation;
  EXPECT_GT(stats.accepted_tokens, 20);
  EXPECT_GT(stats.draft_tokens - stats.accepted_tokens, 60);
  EXPECT_EQ(stats.by_source[static_cast<size_t>(DraftSource::kDraftModel)].accepted,
            stats.accepted_tokens);
}

TEST_P(Speculation, SameTokensWithAHead) {
  expect_same(drafting_with(nullptr, &tiny_head()), "a head");
  EXPECT_GT(stats_.speculation.accepted_tokens, 0);
  EXPECT_GT(stats_.speculation.draft_tokens - stats_.speculation.accepted_tokens, 60);
  expect_same(drafting_with(nullptr, &tiny_head(), /*alone=*/false), "a head beside others");
}

TEST_P(Speculation, SameTokensWithModelsWhenPreempted) {
  const int pages = GetParam() == Isa::kGeneric ? 4 : 16;
  int64_t preemptions = 0;
  for (EngineOptions options :
       {drafting_with(&shallow_model(), nullptr), drafting_with(nullptr, &tiny_head(), false)}) {
    options.kv_tokens = pages * 32;
    expect_same(options, options.speculation.eagle3 != nullptr ? "a head" : "a smaller model");
    EXPECT_GT(stats_.speculation.accepted_tokens, 0);
    preemptions += stats_.preemptions;
  }
  EXPECT_GT(preemptions, 0);
}

TEST(SpeculationModels, FitTheModelTheyDraftFor) {
  TinyModelConfig config = TinyModel::default_config();
  config.vocab_size = 352;
  const TinyModel other(config);
  Team team(1);
  const auto fault = [&](const EngineOptions& options) {
    const auto engine =
        Engine::create(tiny_model(), kernel_table(available_isas().back()), team, options);
    return engine.ok() ? "" : engine.error().message;
  };
  EXPECT_EQ(fault(drafting_with(other.model.get(), nullptr)),
            "the draft model has 352 tokens; the model's vocabulary has 320");
  EXPECT_EQ(fault(drafting_with(&shallow_model(), &tiny_head())),
            "a draft model and an EAGLE-3 head cannot both draft");
}

TEST(SpeculationWindows, SameTokensWhereLayersSeeTheLastPositionsOnly) {
  const std::vector<Request> requests = mixed_requests(kVocabSize);
  const Isa isa = available_isas().back();
  const std::vector<Answers> plain = run(requests, tiny_options(), isa, windowed_model());
  RecordedEngine recorded(windowed_model(), isa, /*num_threads=*/2, speculating());
  EXPECT_EQ(choices_of(recorded.run(predicted(requests, plain, kWrongEvery))), choices_of(plain));
  EXPECT_EQ(choices_of(recorded.run(requests)), choices_of(plain)) << "from history";
  expect_both(recorded.stats().speculation);
}

// A draft that is right leaves in the prefix cache what the plain run leaves.
TEST(SpeculationCache, HoldsWhatWasAccepted) {
  const Request request = long_request(/*stream=*/1, /*max_tokens=*/100, /*seed=*/1);
  const std::vector<Answers> plain = run({request}, tiny_options());
  RecordedEngine recorded(tiny_model(), available_isas().back(), /*num_threads=*/2, speculating());
  recorded.run(predicted({request}, plain, kWrongEvery));
  Request next = request;
  const std::vector<int32_t> output = plain[0].choices[0].token_ids();
  next.prompt.insert(next.prompt.end(), output.begin(), output.end());
  EXPECT_EQ(recorded.run({next})[0].cached_tokens, 96) << "119 tokens were computed";
  EXPECT_EQ(choices_of(recorded.run({next})), choices_of(run({next}, tiny_options())));
}

// What lies behind the end of an output is not output, though the draft had it.
TEST(SpeculationEnds, NothingFollowsAnEnd) {
  const Request request = long_request(/*stream=*/2, /*max_tokens=*/60, /*seed=*/3);
  const std::vector<int32_t> whole = run({request}, tiny_options())[0].choices[0].token_ids();
  for (const size_t end : {1u, 7u, 8u, 30u}) {
    for (const bool by_string : {false, true}) {
      Request ending = request;
      EngineOptions plain = tiny_options();
      EngineOptions drafting = speculating();
      if (by_string) {
        for (EngineOptions* options : {&plain, &drafting}) {
          options->token_bytes.assign(kVocabSize, "a");
          options->token_bytes[whole[end]] = "xy";
        }
        ending.stop_strings = {"x"};
      } else {
        ending.stop_ids = {whole[end]};
      }
      const std::vector<Answers> expected = run({ending}, plain);
      ASSERT_LE(expected[0].choices[0].tokens.size(), end + 1);
      ending.prediction = whole;
      EXPECT_EQ(choices_of(run({ending}, drafting)), choices_of(expected)) << end;
    }
  }
}

TEST(SpeculationEnds, CountsComeWithTheFinish) {
  const Request request = long_request(/*stream=*/2, /*max_tokens=*/60, /*seed=*/3);
  const std::vector<Answers> plain = run({request}, tiny_options());
  DraftCounts counts;
  Request counted = predicted({request}, plain, kWrongEvery)[0];
  counted.on_finish = [&](const FinishEvent& event) { counts = event.drafts; };
  RecordedEngine recorded(tiny_model(), available_isas().back(), /*num_threads=*/2, speculating());
  recorded.run({counted});
  EXPECT_GT(counts.drafts, 5);
  EXPECT_GT(counts.all().accepted, 30);
  EXPECT_GT(counts.all().drafted, counts.all().accepted);
  EXPECT_EQ(recorded.stats().speculation.draft_tokens, counts.all().drafted);
  EXPECT_EQ(recorded.stats().speculation.accepted_tokens, counts.all().accepted);
}

TEST(SpeculationScopes, OneSaltDoesNotDraftForAnother) {
  const Request request = long_request(/*stream=*/4, /*max_tokens=*/100, /*seed=*/5);
  const auto accepted_of_second = [&](std::optional<uint64_t> first_salt, uint64_t second_salt) {
    RecordedEngine recorded(tiny_model(), available_isas().back(), 2, speculating());
    Request first = request;
    first.history_salt = first_salt;
    recorded.run({first});
    const int64_t before = recorded.stats().speculation.accepted_tokens;
    Request second = request;
    second.history_salt = second_salt;
    recorded.run({second});
    return recorded.stats().speculation.accepted_tokens - before;
  };
  const int64_t same = accepted_of_second(1, 1);
  EXPECT_GT(same, 80);
  EXPECT_LT(accepted_of_second(1, 2), same / 2);
  EXPECT_LT(accepted_of_second(std::nullopt, 1), same / 2);
}

TEST(SpeculationRequest, APredictionIsHeldToTheVocabulary) {
  Team team(1);
  Result<std::unique_ptr<Engine>> engine =
      Engine::create(tiny_model(), kernel_table(available_isas().back()), team, speculating());
  Request request;
  request.prompt = {1, 2, 3};
  request.prediction = {4, kVocabSize};
  const Result<RequestId> id = (*engine)->add(request);
  ASSERT_FALSE(id.ok());
  EXPECT_EQ(id.error().message, "prediction token 1 is 320; ids go from 0 to 319");
}

}  // namespace
}  // namespace forerun
