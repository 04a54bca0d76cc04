#include <gtest/gtest.h>

#include <algorithm>

#include "engine/engine_fixture.h"
#include "engine/state.h"
#include "tensor/float16.h"

namespace forerun {
namespace {

using States = std::vector<uint16_t>;  // [tokens, kNumTaps, d_model], or finals [tokens, d_model]

struct Kept {
  States states;
  States finals;
};

// Deep enough for three different layers.
const Model& deeper_model() {
  static const TinyModel tiny([] {
    TinyModelConfig config = TinyModel::default_config();
    config.num_layers = 5;
    return config;
  }());
  return *tiny.model;
}

// What the decoder alone gives for a text, in one step.
Kept expected_states(const std::vector<int32_t>& tokens) {
  const Model& model = deeper_model();
  const int64_t d = model.descriptor().d_model;
  Team team(1);
  const KernelTable& kernels = kernel_table(available_isas().back());
  Decoder decoder(model.descriptor(), model.weights(), kernels, team,
                  {.max_rows = 512, .max_logit_rows = 1});
  KvPool pool(kv_shape(model.descriptor(), kernels.kv_type), 16);
  std::vector<int32_t> pages;
  for (int i = 0; i < 16; ++i) pages.push_back(i);
  const auto rows = static_cast<int>(tokens.size());
  std::vector<std::vector<float>> states(kNumTaps, std::vector<float>(rows * d));
  StateTap tap;
  tap.layers = tap_layers(model.descriptor().num_layers);
  for (int i = 0; i < kNumTaps; ++i) tap.entering[i] = states[i].data();
  std::vector<float> finals(rows * d);
  tap.final_normed = finals.data();
  const RowGroup group{rows, 0, pages, nullptr};
  decoder.step({tokens, {&group, 1}, {}, &tap}, pool);
  Kept kept;
  for (int row = 0; row < rows; ++row) {
    for (const std::vector<float>& layer : states) {
      for (int64_t i = 0; i < d; ++i) kept.states.push_back(f32_to_bf16(layer[row * d + i]));
    }
  }
  for (const float value : finals) kept.finals.push_back(f32_to_bf16(value));
  return kept;
}

class KeepStates : public testing::Test {
 protected:
  static EngineOptions keeping() {
    EngineOptions options = tiny_options();
    options.keep_states = true;
    options.max_step_rows = 48;
    options.max_sequences = 8;
    return options;
  }

  KeepStates()
      : state_(deeper_model(), kernel_table(available_isas().back()), team_, keeping(),
               /*num_pages=*/11) {}

  void queue(int prompt_tokens, int64_t max_tokens, int n, uint32_t stream) {
    Request request;
    request.prompt = random_tokens(prompt_tokens, 320, stream);
    request.max_tokens = max_tokens;
    request.sampling.seed = stream;
    request.n = n;
    request.ignore_eos = true;
    queue_request(state_, std::move(request));
  }

  // Every running sequence's states, at every position it has computed.
  void check_all() {
    const size_t size = kNumTaps * deeper_model().descriptor().d_model;
    for (const Sequence* sequence : state_.running) {
      const auto computed = sequence->tokens.begin() + sequence->kv.num_tokens;
      const States expected = expected_states({sequence->tokens.begin(), computed}).states;
      for (int64_t p = 0; p < sequence->kv.num_tokens; ++p) {
        ASSERT_TRUE(std::equal(expected.begin() + p * size, expected.begin() + (p + 1) * size,
                               kept_states(state_, *sequence, p)))
            << "position " << p << " of " << sequence->tokens.size();
        ++checked_;
      }
    }
  }

  Team team_{2};
  EngineState state_;
  int64_t checked_ = 0;
};

TEST_F(KeepStates, ThroughChunksForksPrefixHitsAndPreemption) {
  queue(100, 40, 3, 1);
  queue(90, 60, 1, 2);
  queue(100, 30, 1, 1);
  queue(150, 40, 1, 3);
  for (int step = 0; run_step(state_); ++step) {
    if (step % 9 < 4) check_all();
    if (step == 20) queue(100, 20, 1, 1);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(state_.stats.preemptions, 0);
  EXPECT_GT(state_.cache.prefix_hits(), 0);
  EXPECT_GT(checked_, 2000);
}

// What ends is told with its states, whatever way they came about: drafted, forked, cached.
TEST(SequenceEnds, TellTheirStates) {
  Team team(2);
  EngineOptions options = tiny_options();
  options.keep_finals = true;
  options.max_step_rows = 48;
  options.max_sequences = 8;
  options.speculation.history = true;
  options.speculation.forced = true;
  const auto d_model = static_cast<size_t>(deeper_model().descriptor().d_model);
  std::vector<std::vector<int32_t>> ended;
  options.on_sequence_end = [&](const SequenceEnd& end) {
    ended.emplace_back(end.tokens.begin(), end.tokens.end());
    EXPECT_EQ(end.reason, FinishReason::kLength);
    EXPECT_EQ(end.seed, 7u);
    ASSERT_EQ(end.num_states, std::ssize(end.tokens) - 1);
    const Kept expected = expected_states({end.tokens.begin(), end.tokens.end() - 1});
    for (int64_t p = 0; p < end.num_states; ++p) {
      const auto states = expected.states.begin() + p * kNumTaps * d_model;
      const auto finals = expected.finals.begin() + p * d_model;
      ASSERT_TRUE(std::equal(states, states + kNumTaps * d_model, end.states.at(p))) << p;
      ASSERT_TRUE(std::equal(finals, finals + d_model, end.finals.at(p))) << p;
    }
  };
  auto engine = Engine::create(deeper_model(), kernel_table(available_isas().back()), team,
                               std::move(options));
  ASSERT_TRUE(engine.ok()) << engine.error().message;
  std::vector<std::vector<int32_t>> outputs(3);
  for (int round = 0; round < 3; ++round) {
    Request request;
    request.prompt = random_tokens(70, 320, /*stream=*/5);
    outputs[round] = request.prompt;
    request.max_tokens = 30;
    request.sampling.seed = 7;
    request.ignore_eos = true;
    request.n = round == 2 ? 2 : 1;
    request.on_token = [&, round](const TokenEvent& event) {
      if (event.choice == 0) outputs[round].push_back(event.token_id);
    };
    ASSERT_TRUE((*engine)->add(std::move(request)).ok());
    while ((*engine)->step()) {
    }
  }
  EXPECT_GT((*engine)->stats().prefix_hits, 0);
  EXPECT_GT((*engine)->stats().speculation.accepted_tokens, 0);
  ASSERT_EQ(ended.size(), 4u);
  EXPECT_EQ(ended[0], outputs[0]);
  EXPECT_EQ(ended[1], outputs[1]);
}

TEST(KeepStatesOff, TakesNoMemory) {
  Team team(1);
  EngineState state(tiny_model(), kernel_table(available_isas().back()), team, tiny_options(),
                    /*num_pages=*/4);
  EXPECT_TRUE(state.cache.pool().shape().side_arrays.empty());
  EXPECT_EQ(state.tap_memory[0].size_bytes(), 0u);
}

}  // namespace
}  // namespace forerun
