#include "online/replay.h"

#include <gtest/gtest.h>

#include "engine/engine_fixture.h"
#include "online/trace_capture.h"

namespace forerun {
namespace {

constexpr int kDepth = 8;  // of what a model drafts when it is forced to

// Answers requests with a head that always drafts, and records them.
class ReplayedTraffic : public testing::Test {
 protected:
  ReplayedTraffic() : ring_(*TraceRing::create(1 << 24)) {
    capture_.emplace(tiny_model().descriptor().d_model, /*weights=*/1, ring_,
                     TraceCapture::Options{.most_share = 1.0});
    EngineOptions options = tiny_options();
    options.keep_finals = true;
    options.max_sequences = 8;
    options.speculation.eagle3 = &tiny_head();
    options.speculation.forced = true;
    options.speculation.trees = false;
    options.on_sequence_end = [this](const SequenceEnd& end) { capture_->record(end); };
    engine_ = *Engine::create(tiny_model(), kernels_, team_, std::move(options));
  }

  void answer(float temperature, int count) {
    for (int i = 0; i < count; ++i) {
      Request request;
      request.prompt = random_tokens(20 + 5 * i, 320, /*stream=*/static_cast<uint32_t>(i));
      request.max_tokens = 30 + i;
      request.sampling.temperature = temperature;
      request.sampling.seed = 100 + static_cast<uint64_t>(i);
      request.ignore_eos = true;
      request.conversation = i;
      ASSERT_TRUE(engine_->add(std::move(request)).ok());
      // Two at a time: the living are drafted for once the head has read all of their prompts.
      if (i % 2 == 0) continue;
      while (engine_->step()) {
      }
    }
    while (engine_->step()) {
    }
    read_records();
  }

  void read_records() {
    for (; !ring_.front().empty(); ring_.pop()) {
      const std::span<const uint8_t> block = ring_.front();
      std::vector<uint64_t>& bytes = memory_.emplace_back(block.size() / sizeof(uint64_t));
      std::memcpy(bytes.data(), block.data(), block.size());
      records_.push_back(
          *parse_trace({reinterpret_cast<const uint8_t*>(bytes.data()), block.size()}));
    }
  }

  ReplayScore replay(int depth = kDepth) {
    Replay replay(tiny_model(), tiny_head(), kernels_, team_);
    ReplayScore sum;
    for (const ReplayScore& one : replay.score(records_, depth)) sum.add(one);
    return sum;
  }

  const KernelTable& kernels_ = kernel_table(available_isas().back());
  Team team_{2};
  TraceRing ring_;
  std::optional<TraceCapture> capture_;
  std::unique_ptr<Engine> engine_;
  std::vector<std::vector<uint64_t>> memory_;
  std::vector<TraceRecord> records_;
};

// Replay and reality are one: at no temperature does it differ in a single token.
TEST_F(ReplayedTraffic, IsDraftedForAsTheLivingWas) {
  for (const float temperature : {1.0f, 4.0f, 0.0f}) {
    records_.clear();
    const SpeculationStats before = engine_->stats().speculation;
    answer(temperature, /*count=*/20);
    const SpeculationStats after = engine_->stats().speculation;
    ASSERT_EQ(records_.size(), 20u);
    const ReplayScore score = replay();
    const int64_t accepted = after.accepted_tokens - before.accepted_tokens;
    EXPECT_EQ(score.tokens - score.rounds, accepted) << temperature;
    EXPECT_GT(accepted, temperature > 1.0f ? 20 : -1);
    for (int i = 0; i < kDepth; ++i) {
      EXPECT_EQ(score.accepted_at[i], after.accepted_at[i] - before.accepted_at[i]) << i;
    }
    // The first token of each output is the target's.
    EXPECT_EQ(score.tokens, 20 * 30 + 190 - 20);
  }
}

// At every place where the living was drafted for, replay finds the same of its first token.
TEST_F(ReplayedTraffic, FindsTheFirstDraftsThatTheLivingHad) {
  for (const float temperature : {1.0f, 4.0f}) {
    records_.clear();
    answer(temperature, /*count=*/20);
    const auto firsts = Replay(tiny_model(), tiny_head(), kernels_, team_).score_firsts(records_);
    int64_t drafted = 0;
    for (size_t i = 0; i < records_.size(); ++i) {
      const std::span<const FirstDraft> living = records_[i].first_drafts;
      ASSERT_EQ(firsts[i].size(), records_[i].tokens.size());
      for (size_t place = 0; place < living.size(); ++place) {
        if (living[place] == FirstDraft::kNone) continue;
        EXPECT_EQ(living[place], firsts[i][place]) << i << ", " << place;
        ++drafted;
      }
      // Not the living, which saw several tokens come at once.
      for (int64_t place = records_[i].header.prompt_tokens + 1; place < std::ssize(firsts[i]) - 1;
           ++place) {
        EXPECT_NE(firsts[i][place], FirstDraft::kNone) << i << ", " << place;
      }
    }
    EXPECT_GT(drafted, 300);
  }
}

// What was drafted behind a token does not depend on how far drafts went before.
TEST_F(ReplayedTraffic, FirstTokensAreAsOftenRightAtAnyDepth) {
  answer(/*temperature=*/4.0f, /*count=*/20);
  const ReplayScore one = replay(/*depth=*/1);
  EXPECT_EQ(one.accepted_at[0], one.tokens - one.rounds);
  EXPECT_EQ(one.accepted_at[1], 0);
  EXPECT_GE(replay().acceptance_length(), one.acceptance_length());
}

// Only the newest states were recorded: it begins where they do.
TEST_F(ReplayedTraffic, BeginsWithTheFirstState) {
  capture_.emplace(tiny_model().descriptor().d_model, /*weights=*/1, ring_,
                   TraceCapture::Options{.max_positions = 16, .most_share = 1.0});
  answer(/*temperature=*/1.0f, /*count=*/3);
  for (const ReplayScore& score :
       Replay(tiny_model(), tiny_head(), kernels_, team_).score(records_, kDepth)) {
    EXPECT_EQ(score.tokens, 15);
  }
}

}  // namespace
}  // namespace forerun
