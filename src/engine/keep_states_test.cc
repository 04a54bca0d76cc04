#include <gtest/gtest.h>

#include <algorithm>

#include "engine/engine_fixture.h"
#include "engine/state.h"
#include "tensor/float16.h"

namespace forerun {
namespace {

using States = std::vector<uint16_t>;  // [tokens, kNumTaps, d_model]

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
States expected_states(const std::vector<int32_t>& tokens) {
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
  const RowGroup group{rows, 0, pages, nullptr};
  decoder.step({tokens, {&group, 1}, {}, &tap}, pool);
  States kept;
  for (int row = 0; row < rows; ++row) {
    for (const std::vector<float>& layer : states) {
      for (int64_t i = 0; i < d; ++i) kept.push_back(f32_to_bf16(layer[row * d + i]));
    }
  }
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
      const States expected = expected_states({sequence->tokens.begin(), computed});
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

TEST(KeepStatesOff, TakesNoMemory) {
  Team team(1);
  EngineState state(tiny_model(), kernel_table(available_isas().back()), team, tiny_options(),
                    /*num_pages=*/4);
  EXPECT_TRUE(state.cache.pool().shape().side_arrays.empty());
  EXPECT_EQ(state.tap_memory[0].size_bytes(), 0u);
}

}  // namespace
}  // namespace forerun
