#include "online/trace_capture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "engine/engine_fixture.h"
#include "online/trace_record.h"

namespace forerun {
namespace {

constexpr uint64_t kWeights = 99;

// An engine over the tiny model whose sequences are recorded.
class Capture : public testing::Test {
 protected:
  Capture() : ring_(*TraceRing::create(1 << 22)) {}

  void start(const TraceCapture::Options& options, bool drafts = false) {
    capture_.emplace(tiny_model().descriptor().d_model, kWeights, ring_, options);
    EngineOptions engine = tiny_options();
    engine.keep_finals = true;
    if (drafts) {
      engine.max_rejected_rows = 4096;
      engine.speculation.eagle3 = &tiny_head();
      engine.speculation.forced = true;
    }
    engine.on_sequence_end = [this](const SequenceEnd& end) {
      last_states_.assign(end.states.at(end.num_states - 1),
                          end.states.at(end.num_states - 1) + kNumTaps * width());
      last_finals_.assign(end.finals.at(end.num_states - 1),
                          end.finals.at(end.num_states - 1) + width());
      tokens_.assign(end.tokens.begin(), end.tokens.end());
      copy_rejected(end.rejected);
      capture_->record(end);
    };
    engine_ = *Engine::create(tiny_model(), kernel_table(available_isas().back()), team_,
                              std::move(engine));
  }

  void answer(std::optional<uint64_t> conversation, int64_t max_tokens = 20) {
    Request request;
    request.prompt = random_tokens(50, 320, /*stream=*/3);
    request.max_tokens = max_tokens;
    request.sampling.seed = 11;
    request.sampling.top_k = 40;
    request.ignore_eos = true;
    request.conversation = conversation;
    ASSERT_TRUE(engine_->add(std::move(request)).ok());
    while (engine_->step()) {
    }
  }

  void copy_rejected(const RejectedRows* rejected) {
    rejected_.clear();
    rejected_finals_.clear();
    for (int64_t i = 0; rejected != nullptr && i < rejected->size(); ++i) {
      rejected_.push_back(rejected->row(i));
      rejected_finals_.insert(rejected_finals_.end(), rejected->final_state(i),
                              rejected->final_state(i) + width());
    }
  }

  static int64_t width() { return tiny_model().descriptor().d_model; }

  Team team_{1};
  TraceRing ring_;
  std::optional<TraceCapture> capture_;
  std::unique_ptr<Engine> engine_;
  std::vector<int32_t> tokens_;
  std::vector<uint16_t> last_states_;
  std::vector<uint16_t> last_finals_;
  std::vector<RejectedRow> rejected_;
  std::vector<uint16_t> rejected_finals_;
};

TEST_F(Capture, RecordsTheNewestPositionsOfWhatEnds) {
  start({.max_positions = 32, .most_share = 1.0});
  answer(/*conversation=*/5);
  const Result<TraceRecord> record = parse_trace(ring_.front());
  ASSERT_TRUE(record.ok()) << record.error().message;
  const TraceHeader& header = record->header;
  EXPECT_EQ(header.weights, kWeights);
  EXPECT_EQ(header.conversation, 5u);
  EXPECT_EQ(header.seed, 11u);
  EXPECT_EQ(header.top_k, 40);
  EXPECT_EQ(header.prompt_tokens, 50);
  EXPECT_EQ(header.num_tokens, 70);
  EXPECT_EQ(header.num_states, 32);
  EXPECT_EQ(header.first_state, 69 - 32);
  EXPECT_TRUE(std::ranges::equal(record->tokens, tokens_));
  EXPECT_TRUE(std::ranges::equal(record->states_at(68), last_states_));
  EXPECT_TRUE(std::ranges::equal(record->finals.last(width()), last_finals_));
  EXPECT_EQ(capture_->stats().recorded, 1);
  EXPECT_EQ(capture_->stats().positions, 32);
}

TEST_F(Capture, RecordsWhatWasDraftedInVain) {
  start({.max_positions = 32, .most_share = 1.0}, /*drafts=*/true);
  answer(/*conversation=*/5, /*max_tokens=*/50);
  const Result<TraceRecord> record = parse_trace(ring_.front());
  ASSERT_TRUE(record.ok()) << record.error().message;
  const auto newer = std::ranges::find_if(rejected_, [&](const RejectedRow& row) {
    return row.position >= record->header.first_state;
  });
  const auto older = newer - rejected_.begin();
  ASSERT_GT(older, 0) << "some hang from positions that are not recorded";
  ASSERT_GT(rejected_.end() - newer, 50);
  ASSERT_EQ(record->branches.size(), static_cast<size_t>(rejected_.end() - newer));
  for (size_t i = 0; i < record->branches.size(); ++i) {
    const TraceBranchRow& row = record->branches[i];
    const RejectedRow& kept = newer[static_cast<int64_t>(i)];
    EXPECT_EQ(row.position, kept.position);
    EXPECT_EQ(row.depth, kept.depth);
    EXPECT_EQ(row.token, kept.token);
    EXPECT_EQ(row.parent,
              kept.parent_distance == 0 ? -1 : static_cast<int32_t>(i) - kept.parent_distance);
  }
  EXPECT_TRUE(std::ranges::equal(record->branch_finals,
                                 std::span(rejected_finals_).subspan(older * width())));
}

TEST_F(Capture, LeavesOutWhoWantsNoneOfIt) {
  start({.most_share = 1.0});
  answer(/*conversation=*/std::nullopt);
  EXPECT_TRUE(ring_.front().empty());
  EXPECT_EQ(capture_->stats().refused, 1);
}

TEST_F(Capture, CountsWhatTheRingHasNoRoomFor) {
  start({.most_share = 1.0});
  while (ring_.reserve(1 << 12)) ring_.publish();
  answer(/*conversation=*/5);
  EXPECT_EQ(capture_->stats().dropped, 1);
  EXPECT_EQ(capture_->stats().recorded, 0);
}

// All turns of a conversation, or none.
TEST_F(Capture, SamplesConversations) {
  start({.rate = 0.5, .most_share = 1.0});
  std::set<uint64_t> recorded;
  for (int turn = 0; turn < 2; ++turn) {
    for (uint64_t conversation = 0; conversation < 40; ++conversation) {
      answer(conversation, /*max_tokens=*/2);
      for (; !ring_.front().empty(); ring_.pop()) {
        recorded.insert(parse_trace(ring_.front())->header.conversation);
      }
    }
  }
  EXPECT_EQ(capture_->stats().recorded, 2 * std::ssize(recorded));
  EXPECT_GT(recorded.size(), 10u);
  EXPECT_LT(recorded.size(), 30u);
  EXPECT_EQ(capture_->stats().left_out, 80 - capture_->stats().recorded);
}

TEST_F(Capture, RecordsLessWhenItTakesTooLong) {
  start({.most_share = 0.0});
  for (uint64_t conversation = 0; conversation < 80; ++conversation) {
    answer(conversation, /*max_tokens=*/1);
  }
  EXPECT_LT(capture_->stats().rate, 0.5);
}

}  // namespace
}  // namespace forerun
