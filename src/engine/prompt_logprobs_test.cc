// Log-probs of prompt tokens, and requests that want nothing else.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/engine_fixture.h"

namespace forerun {
namespace {

RecordedEngine make_engine(const EngineOptions& options = tiny_options()) {
  return {tiny_model(), available_isas().back(), /*num_threads=*/2, options};
}

Request prompt_of(int tokens, uint32_t stream = 0) {
  Request request;
  request.prompt = random_tokens(tokens, tiny_model().descriptor().vocab_size, stream);
  request.sampling.temperature = 0.0f;
  request.ignore_eos = true;
  request.max_tokens = 1;
  return request;
}

Request scored_prompt(int tokens, PromptLogprobs logprobs) {
  Request request = prompt_of(tokens);
  request.prompt_logprobs = logprobs;
  request.prompt_only = true;
  return request;
}

// Promise 1: a token's log-prob is the same, to the bit, whether it was sampled or is given.
TEST(PromptLogprobs, AreThoseOfTheTokensWhenTheyWereSampled) {
  RecordedEngine recorded = make_engine();
  Request writing = prompt_of(30);
  writing.max_tokens = 150;
  writing.sampling = SamplingParams();
  writing.sampling.seed = 7;
  writing.sampling.logprobs = LogprobMode::kRaw;
  writing.sampling.top_logprobs = 4;
  const Answer written = recorded.run({writing})[0].choices[0];
  ASSERT_EQ(written.tokens.size(), 150u);

  Request reading = writing;
  const std::vector<int32_t> ids = written.token_ids();
  reading.prompt.insert(reading.prompt.end(), ids.begin(), ids.end());
  reading.prompt_logprobs = {.first = 30, .top = 4};
  reading.prompt_only = true;
  const Answer read = recorded.run({reading})[0].choices[0];
  EXPECT_EQ(read.prompt, written.tokens);
  EXPECT_TRUE(read.tokens.empty());
  EXPECT_EQ(read.reason, FinishReason::kLength);
  EXPECT_EQ(read.completion_tokens, 0);
  EXPECT_EQ(read.prompt_tokens, 180);
}

TEST(PromptLogprobs, ComeInOrderFromTheFirstPositionAskedFor) {
  RecordedEngine recorded = make_engine();
  std::vector<int64_t> positions;
  Request request = scored_prompt(200, {.first = 70});
  request.on_prompt_token = [&](const PromptTokenEvent& event) {
    EXPECT_EQ(event.token_id, random_tokens(200, 320, 0)[event.position]);
    EXPECT_TRUE(event.top.empty());
    positions.push_back(event.position);
  };
  recorded.run({request});
  ASSERT_EQ(positions.size(), 130u);
  for (size_t i = 0; i < positions.size(); ++i) {
    EXPECT_EQ(positions[i], 70 + static_cast<int64_t>(i));
  }
}

TEST(PromptLogprobs, SumToOneOverWhatMayFollow) {
  RecordedEngine recorded = make_engine();
  double sum = 0.0;
  std::vector<Request> requests;
  for (int32_t id = 0; id < 320; ++id) {
    Request request = scored_prompt(9, {.first = 8});
    request.prompt.back() = id;
    request.on_prompt_token = [&](const PromptTokenEvent& event) {
      sum += std::exp(event.logprob);
    };
    requests.push_back(request);
  }
  recorded.run(requests);
  EXPECT_NEAR(sum, 1.0, 1e-5);
}

// All positions of a prompt, none, and prompts that fill the context.
TEST(PromptLogprobs, OfPromptsOfAnyLength) {
  RecordedEngine recorded = make_engine();
  for (const int tokens : {1, 2, 64, 65, 66, 129, 512}) {
    for (const int first : {1, tokens - 1, tokens}) {
      if (first < 1) continue;
      const Answers answers = recorded.run({scored_prompt(tokens, {.first = first})})[0];
      EXPECT_EQ(answers.finished, 1);
      EXPECT_EQ(answers.choices[0].prompt.size(), static_cast<size_t>(tokens - first))
          << tokens << " tokens from " << first;
    }
  }
}

TEST(PromptLogprobs, ComeBeforeTheAnswerAndFromOneChoice) {
  RecordedEngine recorded = make_engine();
  Request request = prompt_of(100);
  request.prompt_logprobs = {.first = 10};
  request.max_tokens = 3;
  request.n = 3;
  bool answered = false;
  int told = 0;
  request.on_token = [&](const TokenEvent&) { answered = true; };
  request.on_prompt_token = [&](const PromptTokenEvent&) {
    EXPECT_FALSE(answered);
    ++told;
  };
  const Answers answers = recorded.run({request})[0];
  EXPECT_EQ(told, 90);
  for (const Answer& choice : answers.choices) EXPECT_EQ(choice.tokens.size(), 3u);
}

TEST(PromptLogprobs, AreToldOnceWhenPreempted) {
  EngineOptions options = tiny_options();
  options.kv_tokens = 11 * 32;
  options.max_step_ms = 1e-6;  // beside what decodes, a row a step
  RecordedEngine tight = make_engine(options);
  Request older = prompt_of(60);
  older.sampling.seed = 1;
  older.max_tokens = 100;
  Request newer = prompt_of(250, /*stream=*/1);
  newer.sampling.seed = 2;
  newer.prompt_logprobs = {.first = 1, .top = 2};
  int64_t told_before = 0;  // when the older one takes its memory
  older.on_token = [&](const TokenEvent&) {
    if (tight.stats().preemptions == 0) told_before = tight.answers(2).choices[0].prompt.size();
  };
  const std::vector<Answers> told = tight.run({older, newer});
  ASSERT_EQ(tight.stats().preemptions, 1);
  EXPECT_GT(told_before, 10);
  EXPECT_LT(told_before, 249);
  EXPECT_EQ(told[1].choices[0].prompt.size(), 249u);
  EXPECT_EQ(told[1].choices, make_engine().run({newer})[0].choices);
}

TEST(PromptLogprobs, EndWithAnErrorWhereLogitsAreNoNumbers) {
  TinyModelConfig config = TinyModel::default_config();
  config.matrix_type = DType::kF32;
  TinyModel tiny(config);
  // Position 5 reads an embedding that is no number; those before do not see it.
  constexpr int32_t kPoison = 17;
  auto* embedding =
      reinterpret_cast<float*>(const_cast<uint8_t*>(tiny.model->weights().embedding.data));
  std::fill_n(embedding + kPoison * config.d_model, config.d_model,
              std::numeric_limits<float>::quiet_NaN());
  RecordedEngine recorded(*tiny.model, available_isas().back(), 2, tiny_options());
  Request request = scored_prompt(30, {.first = 1});
  for (int32_t& id : request.prompt) id = id == kPoison ? 18 : id;
  request.prompt[5] = kPoison;
  const Answer answer = recorded.run({request})[0].choices[0];
  EXPECT_EQ(answer.reason, FinishReason::kError);
  EXPECT_EQ(answer.error, "the model's logits hold NaN or +infinity");
  EXPECT_EQ(answer.prompt.size(), 5u);
}

TEST(PromptLogprobs, MayBeCancelled) {
  RecordedEngine recorded = make_engine();
  Request request = scored_prompt(500, {.first = 1});
  int told = 0;
  request.on_prompt_token = [&](const PromptTokenEvent& event) {
    if (++told == 10) recorded.engine().cancel(event.request);
  };
  const Answer answer = recorded.run({request})[0].choices[0];
  EXPECT_EQ(answer.reason, FinishReason::kCancelled);
  EXPECT_EQ(told, 64) << "the step's, and no more";
}

TEST(PromptOnly, ReadsWithoutAnswering) {
  RecordedEngine recorded = make_engine();
  Request request = prompt_of(512);
  request.prompt_only = true;
  const Answer answer = recorded.run({request})[0].choices[0];
  EXPECT_EQ(answer.reason, FinishReason::kLength);
  EXPECT_TRUE(answer.tokens.empty());
  EXPECT_EQ(recorded.stats().generated_tokens, 0);
  // What it read is there for others.
  request.prompt_only = false;
  request.prompt.resize(300);
  EXPECT_EQ(recorded.run({request})[0].cached_tokens, 288);
}

TEST(PromptOnly, SmallMemoryIsEnough) {
  EngineOptions options = tiny_options();
  options.kv_tokens = 64;
  RecordedEngine recorded = make_engine(options);
  std::vector<Request> requests(5, scored_prompt(64, {.first = 1}));
  for (const Answers& answers : recorded.run(requests)) {
    EXPECT_EQ(answers.choices[0].prompt.size(), 63u);
  }
}

TEST(PromptLogprobs, RequestsThatCannotBe) {
  RecordedEngine recorded = make_engine();
  const auto refusal = [&](const Request& request) {
    const Result<RequestId> id = recorded.engine().add(request);
    return id.ok() ? std::string() : id.error().message;
  };
  const std::string place = "; they may from 1 to 20, the number of prompt tokens";
  EXPECT_EQ(refusal(scored_prompt(20, {.first = 0})),
            "prompt_logprobs begin at position 0" + place);
  EXPECT_EQ(refusal(scored_prompt(20, {.first = 21})),
            "prompt_logprobs begin at position 21" + place);
  EXPECT_EQ(refusal(scored_prompt(20, {.top = 21})),
            "prompt_logprobs asks for the top 21 tokens; it must be from 0 to 20");
  EXPECT_EQ(refusal(scored_prompt(513, {})),
            "prompt has 513 tokens; the model and its memory hold 512");
  Request two = scored_prompt(20, {});
  two.n = 2;
  EXPECT_EQ(refusal(two), "n is 2; a request that ends with its prompt has one choice");
}

}  // namespace
}  // namespace forerun
