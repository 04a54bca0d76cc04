#include "engine/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/engine_fixture.h"

namespace forerun {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

RecordedEngine make_engine(const EngineOptions& options = tiny_options()) {
  return {tiny_model(), available_isas().back(), /*num_threads=*/2, options};
}

// Greedy, a prompt of its own per stream, never stopped by the model.
Request plain_request(int prompt_tokens, int64_t max_tokens, uint32_t stream = 0) {
  Request request;
  request.prompt = random_tokens(prompt_tokens, tiny_model().descriptor().vocab_size, stream);
  request.max_tokens = max_tokens;
  request.sampling.temperature = 0.0f;
  request.ignore_eos = true;
  return request;
}

SamplingParams at_temperature_one(uint64_t seed) {
  SamplingParams params;
  params.seed = seed;
  return params;
}

// --- ends ------------------------------------------------------------------------------------

TEST(Engine, StopsAtMaxTokens) {
  RecordedEngine recorded = make_engine();
  const Answer answer = recorded.run({plain_request(40, 7)})[0].choices[0];
  EXPECT_EQ(answer.reason, FinishReason::kLength);
  EXPECT_EQ(answer.tokens.size(), 7u);
  EXPECT_EQ(answer.completion_tokens, 7);
  EXPECT_EQ(answer.prompt_tokens, 40);
}

TEST(Engine, StopsWhereTheContextEnds) {
  RecordedEngine recorded = make_engine();
  ASSERT_EQ(recorded.engine().context_length(), 512);
  for (const int64_t wish : {int64_t{0}, int64_t{100}, std::numeric_limits<int64_t>::max()}) {
    for (const int prompt : {505, 511}) {
      const Answer answer = recorded.run({plain_request(prompt, wish)})[0].choices[0];
      EXPECT_EQ(answer.reason, FinishReason::kLength);
      EXPECT_EQ(answer.completion_tokens, 512 - prompt);
    }
  }
}

TEST(Engine, StopsWhereMemoryEnds) {
  EngineOptions options = tiny_options();
  options.kv_tokens = 3 * 32 + 31;
  RecordedEngine recorded = make_engine(options);
  ASSERT_EQ(recorded.engine().context_length(), 96);
  const Answer answer = recorded.run({plain_request(60, 0)})[0].choices[0];
  EXPECT_EQ(answer.reason, FinishReason::kLength);
  EXPECT_EQ(answer.completion_tokens, 36);
}

TEST(Engine, StopsAtIdsStringsAndTheEndOfSequence) {
  RecordedEngine recorded = make_engine();
  Request request = plain_request(20, 60);
  request.sampling = at_temperature_one(4);
  const std::vector<int32_t> ids = recorded.run({request})[0].choices[0].token_ids();
  const auto first = [&](int32_t id) {
    return std::find(ids.begin(), ids.end(), id) - ids.begin();
  };

  Request by_id = request;
  by_id.stop_ids = {ids[30], ids[5]};
  const Answer at_id = recorded.run({by_id})[0].choices[0];
  EXPECT_EQ(at_id.reason, FinishReason::kStop);
  EXPECT_EQ(at_id.stop_id, ids[5]);
  EXPECT_EQ(at_id.completion_tokens, first(ids[5]) + 1);
  EXPECT_EQ(at_id.stop_string, -1);

  std::string text;
  const EngineOptions options = tiny_options();
  for (int i = 0; i < 10; ++i) text += options.token_bytes[ids[i]];
  Request by_string = request;
  by_string.stop_strings = {"never this", text.substr(text.size() - 4)};
  const Answer at_string = recorded.run({by_string})[0].choices[0];
  EXPECT_EQ(at_string.reason, FinishReason::kStop);
  EXPECT_EQ(at_string.stop_string, 1);
  EXPECT_EQ(at_string.text_bytes, text.find(by_string.stop_strings[1]));
  EXPECT_FALSE(at_string.stop_id.has_value());

  EngineOptions ends_there = tiny_options();
  ends_there.eos_ids = {ids[7]};
  RecordedEngine other = make_engine(ends_there);
  request.ignore_eos = false;
  const Answer at_end = other.run({request})[0].choices[0];
  EXPECT_EQ(at_end.reason, FinishReason::kStop);
  EXPECT_EQ(at_end.stop_id, ids[7]);
  EXPECT_EQ(at_end.completion_tokens, first(ids[7]) + 1);
  request.ignore_eos = true;
  EXPECT_EQ(other.run({request})[0].choices[0].reason, FinishReason::kLength);
}

TEST(Engine, ReturnsTheSeedGivenOrDrawn) {
  RecordedEngine recorded = make_engine();
  Request request = plain_request(10, 20);
  request.sampling = at_temperature_one(std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(recorded.run({request})[0].choices[0].seed, std::numeric_limits<uint64_t>::max());
  request.sampling.seed = 0;
  EXPECT_EQ(recorded.run({request})[0].choices[0].seed, 0u);
  request.sampling.seed.reset();
  const Answer drawn = recorded.run({request})[0].choices[0];
  const Answer again = recorded.run({request})[0].choices[0];
  EXPECT_NE(drawn.seed, again.seed);
  EXPECT_NE(drawn.token_ids(), again.token_ids());
  request.sampling.seed = drawn.seed;
  EXPECT_EQ(recorded.run({request})[0].choices[0], drawn);
}

// --- faulty input ----------------------------------------------------------------------------

struct Fault {
  std::string name;
  std::function<void(Request&)> make;
  std::vector<std::string> words;  // all in the message
};

std::vector<Fault> faults() {
  const auto sampling = [](auto member, auto value) {
    return [member, value](Request& r) { r.sampling.*member = value; };
  };
  using P = SamplingParams;
  constexpr float kHuge = std::numeric_limits<float>::max();
  constexpr int32_t kLeast = std::numeric_limits<int32_t>::min();
  constexpr int32_t kMost = std::numeric_limits<int32_t>::max();
  std::vector<Fault> list = {
      {"empty prompt", [](Request& r) { r.prompt.clear(); }, {"prompt", "at least one"}},
      {"prompt of the context", [](Request& r) { r.prompt.assign(512, 1); }, {"prompt", "512"}},
      {"prompt beyond", [](Request& r) { r.prompt.assign(100'000, 1); }, {"100000", "512"}},
      {"negative id", [](Request& r) { r.prompt[3] = -1; }, {"prompt token 3", "-1", "319"}},
      {"huge id", [](Request& r) { r.prompt[0] = kMost; }, {"prompt token 0", "319"}},
      {"id of vocab size", [](Request& r) { r.prompt[0] = 320; }, {"320", "319"}},
      {"negative max_tokens", [](Request& r) { r.max_tokens = -1; }, {"max_tokens", "-1"}},
      {"least max_tokens",
       [](Request& r) { r.max_tokens = std::numeric_limits<int64_t>::min(); },
       {"max_tokens", "negative"}},
      {"no choice", [](Request& r) { r.n = 0; }, {"n is 0", "128"}},
      {"negative n", [](Request& r) { r.n = kLeast; }, {"n is -2147483648", "128"}},
      {"huge n", [](Request& r) { r.n = kMost; }, {"n is 2147483647", "128"}},
      {"n over the limit", [](Request& r) { r.n = 129; }, {"n is 129", "128"}},
      {"empty stop", [](Request& r) { r.stop_strings = {"a", ""}; }, {"stop", "1 to 1024"}},
      {"long stop", [](Request& r) { r.stop_strings = {std::string(1025, 'a')}; }, {"1025"}},
      {"many stops", [](Request& r) { r.stop_strings.assign(65, "a"); }, {"65", "64"}},
      {"negative stop id", [](Request& r) { r.stop_ids = {1, -3}; }, {"stop id", "-3", "319"}},
      {"huge stop id", [](Request& r) { r.stop_ids = {320}; }, {"stop id", "320", "319"}},
      {"many stop ids", [](Request& r) { r.stop_ids.assign(1025, 1); }, {"1025", "1024"}},
      {"top_k", sampling(&P::top_k, -2), {"top_k", "-2", "-1"}},
      {"least top_k", sampling(&P::top_k, kLeast), {"top_k", "-1"}},
      {"top_logprobs", sampling(&P::top_logprobs, 21), {"top_logprobs", "21", "20"}},
      {"negative top_logprobs", sampling(&P::top_logprobs, -1), {"top_logprobs", "-1", "20"}},
      {"bias of id -1",
       [](Request& r) { r.sampling.logit_bias = {{-1, 0.0f}}; },
       {"logit_bias", "-1", "319"}},
      {"bias of id 320",
       [](Request& r) { r.sampling.logit_bias = {{320, 0.0f}}; },
       {"logit_bias", "320", "319"}},
      {"many biases",
       [](Request& r) { r.sampling.logit_bias.assign(321, {1, 0.0f}); },
       {"logit_bias", "321", "320"}},
  };
  const auto number = [&](const std::string& field, float P::* member, std::vector<float> values,
                          const std::string& limit) {
    for (const float value : values) {
      list.push_back(
          {field + " " + std::to_string(value), sampling(member, value), {field, limit}});
    }
  };
  const std::vector<float> wild = {kNan, kInfinity, -kInfinity, kHuge, -kHuge, -0.5f};
  number("temperature", &P::temperature, wild, "100");
  number("top_p", &P::top_p, wild, "at most 1");
  number("top_p", &P::top_p, {0.0f, 1.0001f}, "above 0");
  number("min_p", &P::min_p, wild, "from 0 to 1");
  number("repetition_penalty", &P::repetition_penalty, wild, "0.01 to 100");
  number("repetition_penalty", &P::repetition_penalty, {0.0f}, "0.01");
  const std::vector<float> beyond = {kNan, kInfinity, -kInfinity, kHuge, -kHuge, 2.1f, -2.1f};
  number("frequency_penalty", &P::frequency_penalty, beyond, "-2 to 2");
  number("presence_penalty", &P::presence_penalty, beyond, "-2 to 2");
  for (const float value : {kNan, kInfinity, -kInfinity, 101.0f, -101.0f}) {
    list.push_back({"bias " + std::to_string(value),
                    [value](Request& r) { r.sampling.logit_bias = {{7, value}}; },
                    {"logit_bias", "token 7", "-100 to 100"}});
  }
  return list;
}

TEST(Engine, NamesTheFieldAndTheLimitOfEveryFault) {
  RecordedEngine recorded = make_engine();
  for (const Fault& fault : faults()) {
    Request request = plain_request(8, 4);
    fault.make(request);
    const Result<RequestId> id = recorded.engine().add(std::move(request));
    ASSERT_FALSE(id.ok()) << fault.name;
    for (const std::string& word : fault.words) {
      EXPECT_NE(id.error().message.find(word), std::string::npos)
          << fault.name << ": no '" << word << "' in: " << id.error().message;
    }
  }
  EXPECT_EQ(recorded.stats().waiting, 0);
  EXPECT_FALSE(recorded.engine().step());
}

TEST(Engine, NeedsAVocabularyForStopStrings) {
  EngineOptions options = tiny_options();
  options.token_bytes.pop_back();
  RecordedEngine recorded = make_engine(options);
  Request request = plain_request(8, 4);
  request.stop_strings = {"a"};
  const Result<RequestId> id = recorded.engine().add(std::move(request));
  ASSERT_FALSE(id.ok());
  EXPECT_NE(id.error().message.find("tokenizer"), std::string::npos);
}

TEST(Engine, NamesTheOptionThatCannotBeMet) {
  const std::vector<std::pair<std::function<void(EngineOptions&)>, std::string>> table = {
      {[](EngineOptions& o) { o.max_sequences = 0; }, "max-sequences is 0"},
      {[](EngineOptions& o) { o.max_sequences = 1025; }, "max-sequences is 1025"},
      {[](EngineOptions& o) { o.max_step_rows = 31; }, "max-step-rows is 31"},
      {[](EngineOptions& o) { o.max_step_rows = 8193; }, "max-step-rows is 8193"},
      {[](EngineOptions& o) { o.max_step_ms = -1.0; }, "max-step-ms"},
      {[](EngineOptions& o) { o.max_step_ms = std::nan(""); }, "max-step-ms"},
      {[](EngineOptions& o) { o.max_step_ms = 1e9; }, "max-step-ms"},
      {[](EngineOptions& o) { o.kv_tokens = 31; }, "kv-tokens is 31"},
      {[](EngineOptions& o) { o.kv_tokens = -32; }, "kv-tokens is -32"},
      {[](EngineOptions& o) { o.kv_tokens = std::numeric_limits<int64_t>::max(); }, "kv-tokens"},
  };
  Team team(1);
  for (const auto& [change, words] : table) {
    EngineOptions options = tiny_options();
    change(options);
    const auto engine =
        Engine::create(tiny_model(), kernel_table(available_isas().back()), team, options);
    ASSERT_FALSE(engine.ok()) << words;
    EXPECT_NE(engine.error().message.find(words), std::string::npos) << engine.error().message;
  }
}

TEST(Engine, RunsWithTheLeastOfEverything) {
  EngineOptions options = tiny_options();
  options.max_sequences = 1;
  options.max_step_rows = 1;
  options.kv_tokens = 32;
  RecordedEngine recorded = make_engine(options);
  const std::vector<Answers> answers =
      recorded.run({plain_request(31, 0, 1), plain_request(1, 5, 2), plain_request(20, 40, 3)});
  EXPECT_EQ(answers[0].choices[0].completion_tokens, 1);
  EXPECT_EQ(answers[1].choices[0].completion_tokens, 5);
  EXPECT_EQ(answers[2].choices[0].completion_tokens, 12);
}

// --- cancelling and callbacks ----------------------------------------------------------------

TEST(Engine, CancelsAtTheNextStepAndFreesTheMemory) {
  RecordedEngine recorded = make_engine();
  Engine& engine = recorded.engine();
  const RequestId decoding = recorded.add(plain_request(70, 100, 1));
  engine.step();
  engine.step();
  Request forked = plain_request(70, 100, 2);
  forked.n = 3;
  const RequestId prefilling = recorded.add(forked);
  const int held = engine.stats().kv_pages_in_use;
  EXPECT_EQ(held, 3);
  engine.cancel(decoding);
  engine.cancel(prefilling);
  engine.cancel(prefilling);
  engine.cancel(12345);
  EXPECT_EQ(recorded.answers(decoding).finished, 0) << "cancelled before the next step";
  EXPECT_FALSE(engine.step());
  EXPECT_EQ(recorded.answers(decoding).finished, 1);
  EXPECT_EQ(recorded.answers(decoding).choices[0].reason, FinishReason::kCancelled);
  EXPECT_EQ(recorded.answers(decoding).choices[0].completion_tokens, 2);
  EXPECT_EQ(recorded.answers(prefilling).finished, 3);
  for (const Answer& answer : recorded.answers(prefilling).choices) {
    EXPECT_EQ(answer.reason, FinishReason::kCancelled);
    EXPECT_EQ(answer.completion_tokens, 0);
    EXPECT_EQ(answer.prompt_tokens, 70);
  }
  EXPECT_EQ(engine.stats().kv_pages_in_use, 0);
  EXPECT_EQ(engine.stats().running + engine.stats().waiting, 0);
  engine.cancel(decoding);
  EXPECT_FALSE(engine.step());
  EXPECT_EQ(recorded.answers(decoding).finished, 1);
}

TEST(Engine, CallbacksMayCancelAndAdd) {
  RecordedEngine recorded = make_engine();
  Engine& engine = recorded.engine();
  const std::vector<int32_t> expected =
      recorded.run({plain_request(33, 30, 1)})[0].choices[0].token_ids();

  std::vector<RequestId> added;
  Request neighbour = plain_request(50, 200, 2);
  // The end of a cancelled request brings a hundred more: every list of the engine has to grow.
  neighbour.on_finish = [&](const FinishEvent& event) {
    EXPECT_EQ(event.reason, FinishReason::kCancelled);
    for (int i = 0; i < 100; ++i) {
      added.push_back(recorded.add(plain_request(3, 2, 3)));
      if (i % 2 == 1) engine.cancel(added.back());
    }
  };
  const RequestId cancelled = recorded.add(neighbour);
  Request request = plain_request(33, 30, 1);
  int tokens = 0;
  request.on_token = [&](const TokenEvent&) {
    if (++tokens == 5) engine.cancel(cancelled);
    if (tokens == 10) added.push_back(recorded.add(plain_request(40, 3, 4)));
  };
  request.on_finish = [&](const FinishEvent&) {
    added.push_back(recorded.add(plain_request(40, 3, 5)));
  };
  const RequestId id = recorded.add(request);
  recorded.finish_all();
  EXPECT_EQ(recorded.answers(id).choices[0].token_ids(), expected);
  ASSERT_EQ(added.size(), 102u);
  for (size_t i = 0; i < added.size(); ++i) {
    const Answers& answers = recorded.answers(added[i]);
    ASSERT_EQ(answers.finished, 1);
    const bool asked_for = i < 100 && i % 2 == 1;
    EXPECT_EQ(answers.choices[0].reason == FinishReason::kCancelled, asked_for) << i;
  }
  EXPECT_EQ(engine.stats().kv_pages_in_use, 0);
}

TEST(Engine, ARequestMayCancelItself) {
  RecordedEngine recorded = make_engine();
  Request request = plain_request(10, 50);
  request.n = 2;
  RequestId id = 0;
  int tokens = 0;
  request.on_token = [&](const TokenEvent&) {
    if (++tokens == 6) recorded.engine().cancel(id);
  };
  request.on_finish = [&](const FinishEvent& event) { recorded.engine().cancel(event.request); };
  id = recorded.add(request);
  recorded.finish_all();
  EXPECT_EQ(recorded.answers(id).finished, 2);
  EXPECT_EQ(recorded.answers(id).choices[0].completion_tokens, 3);
  EXPECT_EQ(recorded.answers(id).choices[1].completion_tokens, 3);
}

// --- memory and order ------------------------------------------------------------------------

TEST(Engine, RefusesWhatCanNeverFitAndQueuesTheRest) {
  EngineOptions options = tiny_options();
  options.kv_tokens = 4 * 32;
  RecordedEngine recorded = make_engine(options);
  Request beyond = plain_request(128, 1);
  const Result<RequestId> refused = recorded.engine().add(std::move(beyond));
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("128"), std::string::npos);

  std::vector<RequestId> order;
  std::vector<Request> requests;
  for (uint32_t i = 0; i < 6; ++i) {
    requests.push_back(plain_request(90, 10, i));
    requests.back().on_finish = [&](const FinishEvent& e) { order.push_back(e.request); };
  }
  std::vector<RequestId> ids;
  for (const Request& request : requests) ids.push_back(recorded.add(request));
  recorded.engine().step();
  EXPECT_EQ(recorded.stats().running, 1);
  EXPECT_EQ(recorded.stats().waiting, 5);
  recorded.finish_all();
  EXPECT_EQ(order, ids) << "first come, first served";
}

TEST(Engine, PreemptsTheNewestAndFinishesEverything) {
  EngineOptions options = tiny_options();
  options.kv_tokens = 8 * 32;
  RecordedEngine recorded = make_engine(options);
  std::vector<RequestId> order;
  for (uint32_t i = 0; i < 5; ++i) {
    Request request = plain_request(30, 150, i);
    request.use_prefix_cache = false;
    request.on_finish = [&](const FinishEvent& e) { order.push_back(e.request); };
    recorded.add(request);
  }
  int steps = 0;
  while (recorded.engine().step()) {
    // Every step moves the oldest on, so that nothing can go in circles.
    ASSERT_LT(++steps, 5 * 180);
  }
  EXPECT_GT(recorded.stats().preemptions, 2);
  EXPECT_EQ(order.size(), 5u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end())) << "the oldest ends first";
  EXPECT_EQ(recorded.stats().kv_pages_in_use, 0);
}

// The newest is the first to need a page: it goes, and the others decode in the same step.
TEST(Engine, EveryStepMovesTheOldestOn) {
  EngineOptions options = tiny_options();
  options.kv_tokens = 5 * 32;
  RecordedEngine recorded = make_engine(options);
  for (const int prompt : {30, 29, 28}) {
    Request request = plain_request(prompt, 64, static_cast<uint32_t>(prompt));
    request.use_prefix_cache = false;
    recorded.add(request);
  }
  int64_t generated = 0;
  while (recorded.engine().step()) {
    ASSERT_GT(recorded.stats().generated_tokens, generated) << "a step that moved nothing on";
    generated = recorded.stats().generated_tokens;
  }
  EXPECT_GT(recorded.stats().preemptions, 0);
}

TEST(Engine, ComputesAPromptOnceForAllChoices) {
  RecordedEngine recorded = make_engine();
  Request request = plain_request(100, 20);
  request.sampling = at_temperature_one(5);
  request.n = 5;
  const Answers answers = recorded.run({request})[0];
  EXPECT_EQ(recorded.stats().prompt_tokens, 100);
  EXPECT_EQ(recorded.stats().generated_tokens, 100);
  for (int i = 1; i < 5; ++i) {
    EXPECT_NE(answers.choices[i].tokens, answers.choices[0].tokens);
  }
}

TEST(Engine, FindsPrefixesOfTheSameOwnerOnly) {
  RecordedEngine recorded = make_engine();
  const auto cached = [&](uint64_t salt, bool use, int length) {
    Request request = plain_request(length, 2);
    request.salt = salt;
    request.use_prefix_cache = use;
    return recorded.run({request})[0].cached_tokens;
  };
  EXPECT_EQ(cached(0, false, 96), 0);
  EXPECT_EQ(cached(0, true, 96), 0) << "what may not use the cache leaves nothing in it";
  EXPECT_EQ(cached(0, true, 96), 64) << "one token at least is computed";
  EXPECT_EQ(cached(0, true, 97), 96);
  EXPECT_EQ(cached(1, true, 97), 0);
  EXPECT_EQ(cached(1, true, 97), 96);
  EXPECT_EQ(cached(0, false, 97), 0);
  recorded.engine().flush_prefix_cache();
  EXPECT_EQ(cached(0, true, 97), 0);
  EXPECT_EQ(cached(1, true, 97), 0);
}

// A preempted prompt finds its own pages again; they were not there when it came.
TEST(Engine, CountsAsCachedOnlyWhatWasThereBefore) {
  EngineOptions options = tiny_options();
  options.kv_tokens = 12 * 32;
  options.max_step_ms = 1e-6;  // prompts move by one token while something decodes
  RecordedEngine recorded = make_engine(options);
  recorded.add(plain_request(30, 200, 1));
  recorded.engine().step();
  const RequestId late = recorded.add(plain_request(300, 2, 2));
  recorded.finish_all();
  EXPECT_GT(recorded.stats().preemptions, 0);
  EXPECT_EQ(recorded.answers(late).cached_tokens, 0);
}

// Sixteen requests with one long beginning need its pages once.
TEST(Engine, AdmitsByThePagesARequestAdds) {
  EngineOptions options = tiny_options();
  options.kv_tokens = 32 * 32;
  RecordedEngine recorded = make_engine(options);
  const std::vector<int32_t> beginning = plain_request(300, 1, 9).prompt;
  const auto with_beginning = [&](uint32_t stream) {
    Request request = plain_request(20, 30, stream);
    request.prompt.insert(request.prompt.begin(), beginning.begin(), beginning.end());
    return request;
  };
  recorded.add(with_beginning(0));
  recorded.engine().step();
  for (uint32_t i = 1; i < 8; ++i) recorded.add(with_beginning(i));
  recorded.engine().step();
  EXPECT_EQ(recorded.stats().running, 8);
  recorded.finish_all();
  EXPECT_EQ(recorded.stats().preemptions, 0);
}

TEST(Engine, IdlesWithoutWork) {
  RecordedEngine recorded = make_engine();
  const int64_t steps = recorded.stats().steps;
  EXPECT_FALSE(recorded.engine().step());
  EXPECT_EQ(recorded.stats().steps, steps);
  recorded.run({plain_request(5, 3)});
  EXPECT_FALSE(recorded.engine().step());
}

// --- what the model gives --------------------------------------------------------------------

// A model in whose embedding one token's row is NaN; `type` says how its matrices are stored.
TinyModel poisoned_model(DType type, int32_t token) {
  TinyModelConfig config = TinyModel::default_config();
  config.matrix_type = type;
  TinyModel tiny(config);
  const TensorView& embedding = tiny.model->weights().embedding;
  const int64_t stride = row_bytes(embedding.dtype, config.d_model);
  auto* row = const_cast<uint8_t*>(embedding.data) + token * stride;
  if (type == DType::kF32) {
    std::fill_n(reinterpret_cast<float*>(row), config.d_model, kNan);
  } else {
    row[0] = 0xff;  // the first block's scale, f16
    row[1] = 0x7f;
  }
  return tiny;
}

TEST(Engine, NanLogitsEndOneRequestAndLeaveTheOthers) {
  for (const DType type : {DType::kF32, DType::kQ8_0}) {
    for (const Isa isa : available_isas()) {
      constexpr int32_t kPoison = 13;
      const TinyModel tiny = poisoned_model(type, kPoison);
      RecordedEngine recorded(*tiny.model, isa, /*num_threads=*/2, tiny_options());
      std::vector<Request> healthy;
      for (uint32_t i = 0; i < 4; ++i) {
        Request request = plain_request(20 + 30 * static_cast<int>(i), 40, i);
        std::replace(request.prompt.begin(), request.prompt.end(), kPoison, 14);
        request.sampling.logit_bias = {{kPoison, -100.0f}};
        request.sampling.seed = i;
        healthy.push_back(request);
      }
      const std::vector<Answers> expected = recorded.run(healthy);

      Request sick = plain_request(50, 40, 9);
      sick.prompt.back() = kPoison;
      sick.sampling = at_temperature_one(1);
      sick.sampling.logprobs = LogprobMode::kRaw;
      sick.n = 2;
      std::vector<Request> together = healthy;
      together.insert(together.begin() + 2, sick);
      const std::vector<Answers> answers = recorded.run(together);
      for (const Answer& answer : answers[2].choices) {
        EXPECT_EQ(answer.reason, FinishReason::kError);
        EXPECT_NE(answer.error.find("NaN"), std::string::npos) << answer.error;
        EXPECT_TRUE(answer.tokens.empty());
      }
      for (const size_t i : {0, 1, 3, 4}) {
        const size_t e = i < 2 ? i : i - 1;
        EXPECT_EQ(answers[i].choices, expected[e].choices);
      }
      // Its pages, used again, spoil nothing.
      recorded.engine().flush_prefix_cache();
      for (size_t i = 0; i < healthy.size(); ++i) {
        EXPECT_EQ(recorded.run(healthy)[i].choices, expected[i].choices);
      }
      EXPECT_EQ(recorded.stats().kv_pages_in_use, 0);
    }
  }
}

}  // namespace
}  // namespace forerun
