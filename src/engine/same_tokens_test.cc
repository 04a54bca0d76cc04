// Promise 1: what a request is answered depends on the request, the model and the instruction set,
// and on nothing else. Every case runs the same sixteen requests in another way and wants the bits
// of the plainest: each alone, one thread, no prefix cache.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "engine/engine_fixture.h"

namespace forerun {
namespace {

std::vector<Answer> choices_of(const std::vector<Answers>& answers) {
  std::vector<Answer> choices;
  for (const Answers& one : answers) {
    choices.insert(choices.end(), one.choices.begin(), one.choices.end());
  }
  return choices;
}

std::vector<Request> tiny_requests() {
  return mixed_requests(tiny_model().descriptor().vocab_size);
}

std::vector<Answers> run_alone(const Model& model, Isa isa, std::vector<Request> requests,
                               const EngineOptions& options = tiny_options()) {
  RecordedEngine recorded(model, isa, /*num_threads=*/1, options);
  std::vector<Answers> answers;
  for (Request& request : requests) {
    request.use_prefix_cache = false;
    answers.push_back(recorded.run({request})[0]);
  }
  return answers;
}

const std::vector<Answers>& alone(Isa isa) {
  static std::map<Isa, std::vector<Answers>> found;
  if (!found.contains(isa)) found[isa] = run_alone(tiny_model(), isa, tiny_requests());
  return found[isa];
}

class SameTokens : public testing::TestWithParam<Isa> {
 protected:
  // Wants the answers of the requests run alone.
  void expect_same(const std::vector<Answers>& answers, const std::string& what) {
    const std::vector<Answers>& expected = alone(GetParam());
    ASSERT_EQ(answers.size(), expected.size()) << what;
    for (size_t i = 0; i < answers.size(); ++i) {
      ASSERT_EQ(answers[i].finished, static_cast<int>(answers[i].choices.size())) << what;
      ASSERT_EQ(answers[i].choices, expected[i].choices) << what << ", request " << i;
    }
  }

  void expect_same_with(int num_threads, const EngineOptions& options, const std::string& what) {
    RecordedEngine recorded(tiny_model(), GetParam(), num_threads, options);
    expect_same(recorded.run(tiny_requests()), what);
  }
};
INSTANTIATE_TEST_SUITE_P(Isa, SameTokens, testing::ValuesIn(available_isas()),
                         [](const auto& info) { return std::string(isa_name(info.param)); });

// What the other cases compare would prove little if the requests all went alike.
TEST_P(SameTokens, RequestsAreMixedEnough) {
  const std::vector<Answer> all = choices_of(alone(GetParam()));
  const auto count = [&](auto holds) { return std::count_if(all.begin(), all.end(), holds); };
  EXPECT_GT(count([](const Answer& a) { return a.reason == FinishReason::kLength; }), 8);
  EXPECT_GT(count([](const Answer& a) { return a.stop_id.has_value(); }), 0);
  EXPECT_GT(count([](const Answer& a) { return a.stop_string >= 0; }), 0);
  EXPECT_EQ(count([](const Answer& a) { return a.tokens.empty(); }), 0);
  EXPECT_GT(count([](const Answer& a) { return a.tokens[0].logprob_bits != 0; }), 5);
  EXPECT_GT(count([](const Answer& a) { return a.tokens[0].top.size() > 1; }), 3);
  EXPECT_EQ(count([](const Answer& a) { return a.prompt.size() > 20; }), 3);
  std::set<int32_t> ids;
  for (const Answer& answer : all) {
    for (const AnsweredToken& token : answer.tokens) ids.insert(token.token_id);
  }
  EXPECT_GT(ids.size(), 150u);
  // Sampled choices differ by their index, greedy ones do not.
  const std::vector<Answers>& requests = alone(GetParam());
  EXPECT_NE(requests[8].choices[0].tokens, requests[8].choices[1].tokens);
  EXPECT_NE(requests[8].choices[1].tokens, requests[8].choices[2].tokens);
  EXPECT_EQ(requests[13].choices[0].tokens, requests[13].choices[1].tokens);
}

TEST_P(SameTokens, InABatchWithAnyTeam) {
  for (const int num_threads : {1, 2, 3}) {
    expect_same_with(num_threads, tiny_options(), std::to_string(num_threads) + " threads");
  }
}

TEST_P(SameTokens, WithAnyPrefillChunk) {
  for (const int rows : {1, 7, 32, 33, 150}) {
    EngineOptions options = tiny_options();
    options.max_sequences = std::min(rows, 32);
    options.max_step_rows = rows;
    expect_same_with(/*num_threads=*/2, options, std::to_string(rows) + " rows a step");
  }
}

TEST_P(SameTokens, WithAnyStepBudget) {
  for (const double ms : {1e-6, 0.2, 1.0, 60'000.0}) {
    EngineOptions options = tiny_options();
    options.max_step_ms = ms;
    expect_same_with(/*num_threads=*/2, options, std::to_string(ms) + " ms a step");
  }
}

TEST_P(SameTokens, WithPrefixHits) {
  RecordedEngine recorded(tiny_model(), GetParam(), /*num_threads=*/2, tiny_options());
  expect_same(recorded.run(tiny_requests()), "first run");
  const std::vector<Answers> again = recorded.run(tiny_requests());
  expect_same(again, "second run");
  for (size_t i = 0; i < again.size(); ++i) {
    const int64_t prompt = again[i].choices[0].prompt_tokens;
    const bool told = tiny_requests()[i].prompt_logprobs.has_value();
    EXPECT_EQ(again[i].cached_tokens, told ? 0 : (prompt - 1) / 32 * 32) << "request " << i;
  }
  recorded.engine().flush_prefix_cache();
  expect_same(recorded.run(tiny_requests()), "after a flush");
}

TEST_P(SameTokens, WhenPreempted) {
  std::vector<Request> requests = tiny_requests();
  for (Request& request : requests) {
    request.max_tokens += 70;
    request.ignore_eos = true;
  }
  const std::vector<Answer> expected = choices_of(run_alone(tiny_model(), GetParam(), requests));
  int64_t preemptions = 0;
  for (const int pages : {14, 17, 30}) {
    // The longest request takes 14 pages.
    EngineOptions options = tiny_options();
    options.kv_tokens = pages * 32;
    RecordedEngine recorded(tiny_model(), GetParam(), /*num_threads=*/2, options);
    for (Request& request : requests) request.use_prefix_cache = pages != 17;
    EXPECT_EQ(choices_of(recorded.run(requests)), expected) << pages << " pages";
    EXPECT_EQ(recorded.stats().kv_pages_in_use, 0);
    preemptions += recorded.stats().preemptions;
  }
  EXPECT_GT(preemptions, 15);
}

TEST_P(SameTokens, WithFewPlaces) {
  for (const int places : {1, 2, 3}) {
    EngineOptions options = tiny_options();
    options.max_sequences = places;
    expect_same_with(/*num_threads=*/2, options, std::to_string(places) + " places");
  }
}

TEST_P(SameTokens, WhileNeighboursAreCancelled) {
  for (int survivor = 0; survivor < 16; survivor += 3) {
    RecordedEngine recorded(tiny_model(), GetParam(), /*num_threads=*/2, tiny_options());
    std::vector<RequestId> ids;
    for (const Request& request : tiny_requests()) ids.push_back(recorded.add(request));
    for (int i = 0; i < 16; ++i) {
      recorded.engine().step();
      if (i != survivor) recorded.engine().cancel(ids[i]);
    }
    recorded.finish_all();
    for (int i = 0; i < 16; ++i) {
      const Answers& expected = alone(GetParam())[i];
      for (size_t c = 0; c < expected.choices.size(); ++c) {
        const Answer& whole = expected.choices[c];
        const Answer& answer = recorded.answers(ids[i]).choices[c];
        if (answer.reason != FinishReason::kCancelled) {
          EXPECT_EQ(answer, whole) << "request " << i;
          continue;
        }
        EXPECT_NE(i, survivor);
        ASSERT_LE(answer.tokens.size(), whole.tokens.size());
        EXPECT_TRUE(std::equal(answer.tokens.begin(), answer.tokens.end(), whole.tokens.begin()))
            << "request " << i << " cancelled after " << answer.tokens.size();
      }
    }
  }
}

TEST_P(SameTokens, WhenRequestsComeOneByOne) {
  RecordedEngine recorded(tiny_model(), GetParam(), /*num_threads=*/2, tiny_options());
  std::vector<RequestId> ids;
  for (const Request& request : tiny_requests()) {
    ids.push_back(recorded.add(request));
    recorded.engine().step();
    recorded.engine().step();
  }
  recorded.finish_all();
  std::vector<Answers> answers;
  for (const RequestId id : ids) answers.push_back(recorded.answers(id));
  expect_same(answers, "one every two steps");
}

// The first choices of n are those of fewer.
TEST_P(SameTokens, WhateverNIs) {
  RecordedEngine recorded(tiny_model(), GetParam(), /*num_threads=*/2, tiny_options());
  for (const size_t i : {8, 12}) {
    Request request = tiny_requests()[i];
    request.n = 6;
    const Answers six = recorded.run({request})[0];
    const std::vector<Answer>& fewer = alone(GetParam())[i].choices;
    EXPECT_TRUE(std::equal(fewer.begin(), fewer.end(), six.choices.begin())) << "request " << i;
  }
}

// Other ways to store weights take other kernels.
TEST_P(SameTokens, WithEveryWeightFormat) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0}) {
    TinyModelConfig config = TinyModel::default_config();
    config.matrix_type = dtype;
    const TinyModel tiny(config);
    const std::vector<Answers> expected = run_alone(*tiny.model, GetParam(), tiny_requests());
    EngineOptions options = tiny_options();
    options.max_step_rows = 40;
    RecordedEngine recorded(*tiny.model, GetParam(), /*num_threads=*/2, options);
    EXPECT_EQ(choices_of(recorded.run(tiny_requests())), choices_of(expected))
        << traits(dtype).name;
  }
}

// Layers that see the last positions only, beside one that sees all.
TEST_P(SameTokens, WithWindowsAndNorms) {
  const std::vector<Answers> expected = run_alone(windowed_model(), GetParam(), tiny_requests());
  std::set<int32_t> ids;
  for (const Answer& answer : choices_of(expected)) {
    for (const AnsweredToken& token : answer.tokens) ids.insert(token.token_id);
  }
  EXPECT_GT(ids.size(), 100u) << "answers too alike to tell anything";
  for (const int rows : {512, 40, 1}) {
    EngineOptions options = tiny_options();
    options.max_step_rows = rows;
    options.max_sequences = std::min(rows, 32);
    RecordedEngine recorded(windowed_model(), GetParam(), /*num_threads=*/2, options);
    EXPECT_EQ(choices_of(recorded.run(tiny_requests())), choices_of(expected))
        << rows << " rows a step";
    EXPECT_EQ(choices_of(recorded.run(tiny_requests())), choices_of(expected))
        << rows << " rows a step, with prefix hits";
  }
}

// Every way to store keys and values, through batches, chunks, prefix hits and preemption.
TEST_P(SameTokens, WithEveryTypeOfKeysAndValues) {
  std::set<std::string> fingerprints;
  for (const KvType type : kKvTypes) {
    EngineOptions options = tiny_options();
    options.kv_type = type;
    const std::vector<Answer> expected =
        choices_of(run_alone(tiny_model(), GetParam(), tiny_requests(), options));
    for (const int pages : {64, 14}) {
      options.kv_tokens = pages * 32;
      options.max_step_rows = pages == 64 ? options.max_step_rows : 40;
      RecordedEngine recorded(tiny_model(), GetParam(), /*num_threads=*/2, options);
      EXPECT_EQ(choices_of(recorded.run(tiny_requests())), expected)
          << kv_type_name(type) << ", " << pages << " pages";
      EXPECT_EQ(choices_of(recorded.run(tiny_requests())), expected)
          << kv_type_name(type) << ", " << pages << " pages, again";
      fingerprints.insert(recorded.engine().fingerprint());
    }
  }
  EXPECT_EQ(fingerprints.size(), std::size(kKvTypes));
}

// The real model, whose vocabulary is sampled by the whole team: fewer tokens, the instruction set
// that FORERUN_ISA names.
TEST(SameTokensOnSmollm2, HoweverItIsRun) {
  Team team(2);
  const Smollm2 smollm2 = load_smollm2(team);
  if (smollm2.model == nullptr) {
    if (std::getenv("CI") != nullptr) FAIL() << smollm2.missing;
    GTEST_SKIP() << smollm2.missing;
  }
  const Isa isa = *choose_isa();
  std::vector<Request> requests = mixed_requests(smollm2.model->descriptor().vocab_size);
  // Plain loops take 0.1 s a token.
  if (isa == Isa::kGeneric) requests.resize(5);
  for (Request& request : requests) request.max_tokens = 8;
  EngineOptions options;
  options.eos_ids = {2};
  options.kv_tokens = 4096;
  options.token_bytes.assign(smollm2.model->descriptor().vocab_size, "ab");
  std::vector<Answers> expected;
  {
    RecordedEngine recorded(*smollm2.model, isa, /*num_threads=*/1, options);
    for (Request request : requests) {
      request.use_prefix_cache = false;
      expected.push_back(recorded.run({request})[0]);
    }
  }
  RecordedEngine batch(*smollm2.model, isa, /*num_threads=*/2, options);
  EXPECT_EQ(choices_of(batch.run(requests)), choices_of(expected)) << "in a batch";
  EXPECT_EQ(choices_of(batch.run(requests)), choices_of(expected)) << "with prefix hits";
  if (isa == Isa::kGeneric) return;
  options.max_sequences = 17;
  options.max_step_rows = 17;
  RecordedEngine chunked(*smollm2.model, isa, /*num_threads=*/2, options);
  EXPECT_EQ(choices_of(chunked.run(requests)), choices_of(expected)) << "in small chunks";
}

TEST(SameTokensOnSmollm2, WhenPreempted) {
  Team team(2);
  const Smollm2 smollm2 = load_smollm2(team);
  if (smollm2.model == nullptr) {
    if (std::getenv("CI") != nullptr) FAIL() << smollm2.missing;
    GTEST_SKIP() << smollm2.missing;
  }
  const Isa isa = *choose_isa();
  std::vector<Request> requests;
  for (const uint32_t index : {0u, 1u, 2u}) {
    Request request;
    const int length = 31 - static_cast<int>(index);
    request.prompt = random_tokens(length, smollm2.model->descriptor().vocab_size, index);
    request.max_tokens = 8;
    request.sampling.seed = index;
    request.sampling.temperature = index == 0 ? 0.0f : 1.0f;
    request.ignore_eos = true;
    request.use_prefix_cache = index == 1;
    requests.push_back(request);
  }
  EngineOptions options;
  std::vector<Answers> expected;
  RecordedEngine alone(*smollm2.model, isa, /*num_threads=*/1, options);
  for (const Request& request : requests) expected.push_back(alone.run({request})[0]);
  // Each takes two pages in the end.
  options.kv_tokens = 5 * 32;
  RecordedEngine tight(*smollm2.model, isa, /*num_threads=*/2, options);
  EXPECT_EQ(choices_of(tight.run(requests)), choices_of(expected));
  EXPECT_EQ(tight.stats().preemptions, 1);
}

}  // namespace
}  // namespace forerun
