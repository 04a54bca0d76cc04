// Which head drafts, decided on simulated traffic: heads of known worth by kind of traffic, and the
// store they come to.
#include "online/head_keeper.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "base/philox.h"
#include "formats/temporary_folder.h"

namespace forerun {
namespace {

constexpr uint64_t kWeights = 77;
constexpr int64_t kTokens = 120;
constexpr int64_t kPrompt = 20;
constexpr int64_t kWidth = 4;
constexpr double kDraftedRound = 1.15;  // against a round without drafts

double uniform(uint64_t a, uint32_t b, uint32_t c) {
  const auto bits =
      philox({b, c, 0, 0}, {static_cast<uint32_t>(a), static_cast<uint32_t>(a >> 32)});
  return (bits[0] + 0.5) * 0x1p-32;
}

// Chances, by the kind of traffic, that the head is right; as a config.json tells them.
using Worth = std::array<double, 3>;

class SimulatedHead final : public ScoredHead {
 public:
  explicit SimulatedHead(const Json& config)
      : worth_(config.at("worth").get<Worth>()), id_(config.at("id").get<uint32_t>()) {}

  AnswerScore tune(std::span<const TraceRecord> records, const DecodingCost& cost) override {
    AnswerScore sum;
    for (const AnswerScore& one : score(records, cost)) add(sum, one);
    return sum;
  }

  // Conversations are easy or hard for all heads alike, and a little by chance.
  std::vector<AnswerScore> score(std::span<const TraceRecord> records,
                                 const DecodingCost& /*cost*/) override {
    std::vector<AnswerScore> scores;
    for (const TraceRecord& record : records) {
      const uint64_t who = record.header.conversation;
      const double ease = 0.9 + 0.2 * uniform(who, 1, 0) + 0.06 * (uniform(who, 2, id_) - 0.5);
      const double length = 1.0 + 2.0 * worth_[record.header.choice] * ease;
      AnswerScore score{.tokens = kTokens - kPrompt};
      score.rounds = std::max<int64_t>(1, std::llround(score.tokens / length));
      score.plain_seconds = static_cast<double>(score.tokens);
      score.seconds = static_cast<double>(score.rounds) * kDraftedRound;
      scores.push_back(score);
    }
    return scores;
  }

  std::vector<std::vector<FirstDraft>> score_firsts(std::span<const TraceRecord> records) override {
    std::vector<std::vector<FirstDraft>> all;
    for (const TraceRecord& record : records) all.push_back(firsts(record.header));
    return all;
  }

  std::vector<FirstDraft> firsts(const TraceHeader& header) const {
    std::vector<FirstDraft> found(kTokens, FirstDraft::kNone);
    for (int64_t place = kPrompt + 1; place < kTokens; ++place) {
      const bool right = uniform(header.conversation, 1000 + static_cast<uint32_t>(place), id_) <
                         worth_[header.choice];
      found[place] = right ? FirstDraft::kRight : FirstDraft::kWrong;
    }
    return found;
  }

 private:
  Worth worth_;
  uint32_t id_;
};

class SimulatedLoader final : public HeadLoader {
 public:
  explicit SimulatedLoader(std::vector<std::string>& log) : log_(log) {}

  Result<std::shared_ptr<ScoredHead>> load(const std::string& folder) override {
    log_.push_back("load " + folder);
    const Result<Json> config = read_json_file(folder + "/config.json");
    if (!config.ok()) return config.error();
    if (config->contains("broken")) return Error{folder + ": a tensor is not finite"};
    return std::shared_ptr<ScoredHead>(std::make_shared<SimulatedHead>(*config));
  }

 private:
  std::vector<std::string>& log_;
};

class Keeper : public testing::Test {
 protected:
  Keeper() : store_(*HeadStore::open(folder_.file("store"), kWeights)) { restart(); }

  void restart() {
    keeper_ = std::make_unique<HeadKeeper>(
        store_, loader_,
        HeadKeeperActions{
            .draft =
                [this](int64_t version, const std::shared_ptr<ScoredHead>& head) {
                  drafting_ = version;
                  head_ = head;
                  log_.push_back("draft " + std::to_string(version));
                },
            .go_on_from = [this](const std::string& folder) { gone_on_from_.push_back(folder); },
            .tell = [this](const Json& event) { events_.push_back(event); },
            .cost = [] { return DecodingCost(); }},
        /*seed=*/5, recalls_);
    keeper_->begin();
  }

  // Traffic changes, is learned, and comes back.
  void return_to_earlier_traffic() {
    offer({0.5, 0.2});
    serve(300, 0);
    ASSERT_EQ(drafting_, 1);
    offer({0.2, 0.5});
    serve(64, 0);
    ASSERT_EQ(drafting_, 1) << "worse on what there is";
    serve(60, 1);
    EXPECT_FALSE(told("drift").empty());
    offer({0.2, 0.5});
    serve(300, 1);
    ASSERT_EQ(drafting_, 2);
    const size_t alarms = told("drift").size();
    serve(60, 0);
    ASSERT_GT(told("drift").size(), alarms);
  }

  // Two candidates follow the first head, by what was held out: nothing has come to watch them on.
  void pass_before_watched(const Worth& second, const Worth& third) {
    serve(700, 0);
    offer({0.3, 0.3});
    serve(700, 0);
    ASSERT_EQ(drafting_, 1);
    offer(second);
    while (keeper_->work(/*flush=*/true)) {
    }
    ASSERT_EQ(drafting_, 2);
    offer(third);
    while (keeper_->work(/*flush=*/true)) {
    }
    ASSERT_EQ(drafting_, 3);
  }

  // Served by the head that drafts; `broken`: by one that drafts otherwise than it should.
  void serve(int count, int32_t kind, bool broken = false) {
    serve_batches(count, kind, broken);
    while (keeper_->work(/*flush=*/true)) {
    }
  }

  // The last of them may be waiting for a batch to be full.
  void serve_batches(int count, int32_t kind, bool broken = false) {
    for (int i = 0; i < count; ++i) {
      keeper_->add(record(kind, broken));
      while (keeper_->work(/*flush=*/false)) {
      }
    }
  }

  std::vector<uint64_t> record(int32_t kind, bool broken) {
    TraceHeader header;
    header.weights = kWeights;
    header.conversation = next_conversation_++;
    header.head = static_cast<uint64_t>(drafting_);
    header.num_tokens = kTokens;
    header.prompt_tokens = kPrompt;
    header.num_states = kTokens - 1;
    header.d_model = kWidth;
    header.choice = kind;
    header.num_marks = head_ == nullptr ? 0 : kTokens;
    const TraceLayout layout = trace_layout(kTokens, header.num_states, kWidth, header.num_marks);
    header.bytes = static_cast<uint64_t>(layout.end);
    std::vector<uint64_t> words(header.bytes / 8, 0);
    auto* bytes = reinterpret_cast<uint8_t*>(words.data());
    std::memcpy(bytes, &header, sizeof(header));
    if (head_ != nullptr) {
      auto firsts = static_cast<const SimulatedHead&>(*head_).firsts(header);
      for (int64_t i = 0; broken && i < kTokens; i += 10) firsts[i] = FirstDraft::kWrong;
      std::memcpy(bytes + layout.first_drafts, firsts.data(), firsts.size());
    }
    // What prompts end with tells the kinds apart.
    auto* finals = reinterpret_cast<uint16_t*>(bytes + layout.finals);
    finals[(kPrompt - 1) * kWidth + kind] = 0x3f80;  // 1
    return words;
  }

  std::string make_candidate(const Json& config) {
    const std::string name = "candidate-" + std::to_string(++num_candidates_);
    std::filesystem::create_directory(folder_.file(name));
    folder_.write(name + "/config.json", config.dump());
    folder_.write(name + "/model.safetensors", "weights");
    return folder_.file(name);
  }

  std::string offer(const Worth& worth) {
    const std::string folder =
        make_candidate({{"worth", worth}, {"id", static_cast<uint32_t>(num_candidates_)}});
    keeper_->offer({.folder = folder, .step = 10 * num_candidates_, .trained_tokens = 1000});
    return folder;
  }

  std::vector<Json> told(const std::string& kind) const {
    std::vector<Json> found;
    for (const Json& event : events_) {
      if (event.at("kind") == kind) found.push_back(event);
    }
    return found;
  }

  LearningStatus status() const {
    LearningStatus status;
    keeper_->tell_status(status);
    return status;
  }

  TemporaryFolder folder_;
  HeadStore store_;
  std::vector<std::string> log_;  // of heads that are loaded, and that draft
  SimulatedLoader loader_{log_};
  bool recalls_ = true;
  std::unique_ptr<HeadKeeper> keeper_;
  int64_t drafting_ = -1;
  std::shared_ptr<ScoredHead> head_;
  std::vector<std::string> gone_on_from_;
  std::vector<Json> events_;
  uint64_t next_conversation_ = 1000;
  int num_candidates_ = 0;
};

TEST_F(Keeper, LetsAGoodFirstHeadDraft) {
  serve(200, 0);
  const std::string folder = offer({0.4, 0.4});
  serve(64, 0);
  EXPECT_EQ(drafting_, 1);
  EXPECT_EQ(*store_.current(), 1);
  EXPECT_FALSE(std::filesystem::exists(folder)) << "the store has it";
  ASSERT_EQ(told("verdict").size(), 1u);
  const Json verdict = told("verdict")[0];
  EXPECT_TRUE(verdict.at("passed").get<bool>());
  EXPECT_GE(verdict.at("conversations"), 64);
  EXPECT_NEAR(verdict.at("acceptance_length"), 1.8, 0.1);
  EXPECT_NEAR(verdict.at("mean"), std::log(1.8 / kDraftedRound), 0.05);
  EXPECT_NEAR(status().estimated_speedup, 1.8 / kDraftedRound, 0.1);
  EXPECT_EQ(store_.entry(1)->parent, 0);
  EXPECT_EQ(store_.entry(1)->traffic.size(), static_cast<size_t>(kWidth));
}

// 64 conversations suffice, held out or new: nobody waits for 512.
TEST_F(Keeper, JudgesByWhatComesAfterTheCandidate) {
  offer({0.4, 0.4});
  serve(60, 0);
  EXPECT_EQ(told("verdict").size(), 0u);
  serve(20, 0);
  EXPECT_EQ(told("verdict").size(), 1u);
  EXPECT_EQ(drafting_, 1);
}

TEST_F(Keeper, RefusesWhatIsNoBetter) {
  offer({0.05, 0.05});  // a round with drafts takes more than that brings
  serve(80, 0);
  EXPECT_EQ(drafting_, -1) << "never told";
  EXPECT_EQ(status().verdicts.failed, 1);
  offer({0.4, 0.4});
  serve(80, 0);
  EXPECT_EQ(drafting_, 1);
  const std::string same = offer({0.4, 0.4});
  serve(80, 0);
  EXPECT_EQ(drafting_, 1);
  EXPECT_FALSE(std::filesystem::exists(same));
  EXPECT_EQ(status().verdicts.failed, 2);
}

TEST_F(Keeper, RefusesWhatIsNoHead) {
  keeper_->offer({.folder = make_candidate({{"broken", true}})});
  keeper_->offer({.folder = make_candidate({{"broken", true}})});
  serve(16, 0);
  EXPECT_EQ(status().verdicts.refused, 1) << "the first gave way";
  EXPECT_NE(told("verdict")[0].at("reason").get<std::string>().find("finite"), std::string::npos);
  EXPECT_EQ(drafting_, -1);
}

TEST_F(Keeper, ABetterOneFollowsAndStays) {
  offer({0.3, 0.3});
  serve(80, 0);
  offer({0.5, 0.5});
  serve(200, 0);
  EXPECT_EQ(drafting_, 2);
  EXPECT_EQ(store_.entry(2)->parent, 1);
  EXPECT_EQ(status().swaps.kept, 2);
  EXPECT_EQ(status().swaps.rolled_back, 0);
}

// A watch that decides for a head is a test of its own; also by the store's memory.
TEST_F(Keeper, AProvenHeadGivesTheGateItsLevelBack) {
  offer({0.05, 0.05});
  serve(80, 0);
  offer({0.4, 0.4});
  serve(300, 0);
  ASSERT_EQ(told("watch").size(), 1u);
  EXPECT_TRUE(told("watch")[0].at("proven").get<bool>());
  for (const bool is_new : {false, true}) {
    if (is_new) restart();
    offer({0.4, 0.4});
    serve(80, 0);
  }
  ASSERT_EQ(told("verdict").size(), 4u);
  // Of one look, which has half of a candidate's.
  EXPECT_EQ(told("verdict")[1].at("alpha"), 0.05 / 6 / 2);
  EXPECT_EQ(told("verdict")[2].at("alpha"), 0.05 / 2 / 2);
  EXPECT_EQ(told("verdict")[3].at("alpha"), 0.05 / 6 / 2);
}

// A gain that 64 conversations do not prove.
TEST_F(Keeper, GoesOnMeasuringWhatItIsNotSureOf) {
  offer({0.4, 0.4});
  serve(300, 0);
  ASSERT_EQ(drafting_, 1);
  offer({0.4085, 0.4085});
  serve(300, 0);
  ASSERT_EQ(told("verdict").size(), 2u);
  const Json verdict = told("verdict").back();
  EXPECT_GE(verdict.at("conversations"), 128);
  EXPECT_TRUE(verdict.at("passed").get<bool>()) << verdict;
  EXPECT_EQ(drafting_, 2);
}

// What is measured on gives way to what is newer, with one more look.
TEST_F(Keeper, LooksALastTimeWhereAnotherWaits) {
  offer({0.4, 0.4});
  serve(300, 0);
  offer({0.4085, 0.4085});
  serve(80, 0);
  ASSERT_EQ(told("verdict").size(), 1u) << "not decided";
  offer({0.6, 0.6});
  serve(1, 0);
  ASSERT_EQ(told("verdict").size(), 2u);
  EXPECT_EQ(told("verdict")[1].at("step"), 20);
  EXPECT_LT(told("verdict")[1].at("conversations"), 128);
  serve(64, 0);
  EXPECT_EQ(told("verdict").size(), 3u);
  EXPECT_EQ(store_.entry(drafting_)->metrics.at("step"), 30);
}

// Good on what it was judged by, bad on what comes: the watch brings the old one back, and training
// goes on from that.
TEST_F(Keeper, RollsBackWhatIsWorseLive) {
  serve(300, 0);
  offer({0.4, 0.4});
  serve(150, 0);
  ASSERT_EQ(drafting_, 1);
  // On kind 0 better, on kind 1 far worse; what is held out is of kind 0 as yet.
  serve(600, 0);
  offer({0.5, 0.1});
  while (keeper_->work(/*flush=*/true)) {
  }
  ASSERT_EQ(drafting_, 2) << "there were 64 held out";
  serve(60, 1);
  EXPECT_EQ(drafting_, 1);
  EXPECT_EQ(*store_.current(), 1);
  ASSERT_FALSE(gone_on_from_.empty());
  EXPECT_EQ(gone_on_from_.back(), store_.head_folder(1));
}

// The reference drafts both kinds alike, so that nothing but the head's rate tells.
TEST_F(Keeper, RecallsWhereOnlyTheHeadIsWorse) {
  offer({0.3, 0.3});
  serve(200, 0);
  offer({0.6, 0.05});
  serve(400, 0);
  ASSERT_EQ(drafting_, 2);
  serve(60, 1);
  ASSERT_EQ(told("drift").size(), 1u);
  EXPECT_EQ(told("drift")[0].at("of"), "head");
  ASSERT_EQ(told("recall").size(), 1u);
  EXPECT_EQ(drafting_, 1);
}

// What is better at once does not wait for what is better still.
TEST_F(Keeper, TheReferenceDraftsWhileOthersAreLookedAt) {
  offer({0.3, 0.3});
  serve(300, 0);
  offer({0.2, 0.6});
  serve(64, 0);
  ASSERT_EQ(drafting_, 1);
  serve(60, 1);
  offer({0.2, 0.6});
  serve(300, 1);
  ASSERT_EQ(drafting_, 2);
  serve(60, 0);
  offer({0.6, 0.05});
  serve(300, 0);
  ASSERT_EQ(drafting_, 3);
  // What was loaded of late would not be loaded again.
  restart();
  serve(100, 0);
  log_.clear();
  serve(60, 1);
  const std::vector<std::string> wanted = {"draft 1", "load " + store_.head_folder(2), "draft 2"};
  EXPECT_EQ(log_, wanted);
  const Json recall = told("recall").back();
  EXPECT_EQ(recall.at("version"), 2);
  EXPECT_TRUE(recall.at("recalled").get<bool>());
  EXPECT_EQ(recall.at("scores").size(), 3u);
  EXPECT_EQ(drafting_, 2);
}

// At the alarm neither is better, and behind it one is by too little for another alarm.
TEST_F(Keeper, WatchesWhatStaysAgainstTheReference) {
  offer({0.3, 0.36, 0.36});
  serve(200, 0);
  offer({0.6, 0.36, 0.335});
  serve(400, 0);
  ASSERT_EQ(drafting_, 2);
  serve(32, 1);
  ASSERT_EQ(told("drift").size(), 1u);
  ASSERT_EQ(told("recall").size(), 1u);
  EXPECT_FALSE(told("recall")[0].at("recalled").get<bool>());
  EXPECT_EQ(drafting_, 2);
  const int64_t rolled_back = status().swaps.rolled_back;
  serve(100, 2);
  EXPECT_EQ(told("drift").size(), 1u);
  EXPECT_EQ(drafting_, 1);
  const Json watch = told("watch").back();
  EXPECT_EQ(watch.at("verdict"), "roll_back");
  EXPECT_EQ(watch.at("why"), "drift");
  EXPECT_EQ(watch.at("against"), 1);
  EXPECT_EQ(status().swaps.recalled, 1);
  EXPECT_EQ(status().swaps.rolled_back, rolled_back);
  ASSERT_FALSE(gone_on_from_.empty());
  EXPECT_EQ(gone_on_from_.back(), store_.head_folder(1));
}

// A batch whose last answers raise an alarm says nothing of what comes behind it.
TEST_F(Keeper, AWatchBeginsBehindTheAlarm) {
  offer({0.3, 0.1});
  serve(200, 0);
  offer({0.6, 0.15});
  serve(400, 0);
  ASSERT_EQ(drafting_, 2);
  serve_batches(8, 0);
  const size_t before = told("watch").size();
  serve(100, 1);
  ASSERT_EQ(told("drift").size(), 1u);
  ASSERT_EQ(told("watch").size(), before + 1);
  const Json watch = told("watch").back();
  EXPECT_EQ(watch.at("why"), "drift");
  EXPECT_TRUE(watch.at("proven").get<bool>());
  EXPECT_GE(watch.at("conversations"), 24) << "of the new traffic alone it takes so many";
}

// As in another process: with both kinds of traffic seen, only the first head tells drift.
TEST_F(Keeper, TheReferenceOutlivesTheProcess) {
  offer({0.3, 0.3});
  serve(200, 0);
  offer({0.6, 0.05});
  serve(400, 0);
  ASSERT_EQ(drafting_, 2);
  restart();
  EXPECT_EQ(*store_.reference(), 1);
  serve(100, 0);
  serve(60, 1);
  ASSERT_EQ(told("drift").size(), 1u);
  EXPECT_EQ(told("drift")[0].at("of"), "head");
  EXPECT_EQ(drafting_, 1);
}

TEST_F(Keeper, NoticesTrafficThatChangesRightAfterASwap) {
  offer({0.3, 0.3});
  serve(300, 0);
  offer({0.6, 0.4});
  for (int i = 0; i < 300 && drafting_ != 2; ++i) serve(1, 0);
  ASSERT_EQ(drafting_, 2);
  serve(60, 1);
  EXPECT_EQ(told("drift").size(), 1u);
}

TEST_F(Keeper, RecallsNoneWhereItShallNot) {
  recalls_ = false;
  restart();
  return_to_earlier_traffic();
  EXPECT_EQ(drafting_, 2);
  EXPECT_TRUE(told("recall").empty());
}

// The head is good, its copy in the engine is not.
TEST_F(Keeper, RollsBackWhatDraftsOtherwiseThanReplayed) {
  offer({0.4, 0.4});
  serve(200, 0);
  ASSERT_EQ(drafting_, 1);
  ASSERT_TRUE(told("disagreement").empty());
  serve(60, 0, /*broken=*/true);
  ASSERT_EQ(told("disagreement").size(), 1u);
  EXPECT_LT(told("disagreement")[0].at("live"), told("disagreement")[0].at("replayed"));
  EXPECT_EQ(drafting_, 0);
  EXPECT_EQ(head_, nullptr);
}

// Replay says nothing against it.
TEST_F(Keeper, DoesNotRecallWhatDraftedOtherwiseThanReplayed) {
  offer({0.3, 0.1});
  serve(300, 0);
  offer({0.6, 0.05});
  serve(400, 0);
  ASSERT_EQ(drafting_, 2);
  serve(32, 0, /*broken=*/true);
  ASSERT_EQ(told("disagreement").size(), 1u);
  ASSERT_EQ(drafting_, 1);
  restart();
  serve(100, 0);
  serve(60, 1);
  ASSERT_EQ(told("drift").size(), 1u);
  serve(60, 0);
  ASSERT_EQ(told("drift").size(), 2u);
  EXPECT_EQ(drafting_, 1);
}

// The one between has proven nothing.
TEST_F(Keeper, WhatDraftsOtherwiseGoesBackToWhatItIsWatchedAgainst) {
  pass_before_watched({0.33, 0.33}, {0.36, 0.36});
  serve(32, 0, /*broken=*/true);
  ASSERT_EQ(told("disagreement").size(), 1u);
  EXPECT_EQ(drafting_, 1);
}

// A store may have lost it.
TEST_F(Keeper, WithoutAParentNoneDrafts) {
  offer({0.3, 0.3});
  serve(300, 0);
  offer({0.6, 0.6});
  serve(400, 0);
  ASSERT_EQ(drafting_, 2);
  std::filesystem::remove_all(store_.head_folder(1));
  ASSERT_TRUE(keeper_->roll_back("rollback").ok());
  EXPECT_EQ(drafting_, 0);
}

TEST_F(Keeper, RecallsTheHeadThatSuitedSuchTraffic) {
  return_to_earlier_traffic();
  EXPECT_EQ(drafting_, 1);
  const Json recall = told("recall").back();
  EXPECT_EQ(recall.at("version"), 1);
  EXPECT_TRUE(recall.at("recalled").get<bool>());
  EXPECT_EQ(gone_on_from_.back(), store_.head_folder(1));
}

TEST_F(Keeper, QuietTrafficRaisesNoAlarm) {
  offer({0.4, 0.4});
  serve(2000, 0);
  EXPECT_TRUE(told("drift").empty());
  EXPECT_TRUE(told("disagreement").empty());
}

// Eight answers to each question are no eight conversations.
TEST_F(Keeper, CountsAConversationOnce) {
  offer({0.4, 0.4});
  while (keeper_->work(/*flush=*/true)) {
  }
  for (int question = 0; question < 40; ++question) {
    const uint64_t conversation = next_conversation_;
    for (int i = 0; i < 8; ++i) {
      next_conversation_ = conversation;
      serve(1, 0);
    }
  }
  EXPECT_EQ(told("verdict").size(), 0u) << "40 conversations of 320 answers";
  serve(64, 0);
  EXPECT_EQ(told("verdict").size(), 1u);
}

// What came before the candidate may have been trained on, though it is looked at only now.
TEST_F(Keeper, MeasuresOnNothingThatMayHaveBeenTrainedOn) {
  for (int i = 0; i < 15; ++i) keeper_->add(record(0, /*broken=*/false));
  offer({0.4, 0.4});
  while (keeper_->work(/*flush=*/false)) {
  }
  int64_t held_out = 0;
  for (uint64_t one = 1000; one < next_conversation_; ++one) held_out += is_held_out(one) ? 1 : 0;
  serve(static_cast<int>(62 - held_out), 0);
  EXPECT_EQ(told("verdict").size(), 0u);
  serve(16, 0);
  ASSERT_EQ(told("verdict").size(), 1u);
}

// Pairs with another incumbent are no evidence against this one.
TEST_F(Keeper, ATrialBeginsAnewWhenAnotherHeadDrafts) {
  offer({0.4, 0.4});
  serve(80, 0);
  ASSERT_EQ(drafting_, 1);
  const std::string child = offer({0.3, 0.3});
  serve(32, 0);
  ASSERT_TRUE(keeper_->activate(0, "user").ok());
  EXPECT_FALSE(std::filesystem::exists(child + "-on-trial")) << "of a line that was left";
  serve(64, 0);
  EXPECT_EQ(told("verdict").size(), 1u);
  ASSERT_TRUE(keeper_->activate(1, "user").ok());
  ASSERT_FALSE(gone_on_from_.empty());
  EXPECT_EQ(gone_on_from_.back(), store_.head_folder(1));
}

// A store that cannot be read or written is told of once, not twice a second.
TEST_F(Keeper, FollowsAStoreThatNamesNoHeadOnce) {
  serve(16, 0);
  HeadEntry entry;
  entry.weights = kWeights;
  ASSERT_TRUE(store_.publish(make_candidate({{"broken", true}}), entry).ok());
  ASSERT_TRUE(store_.activate(1).ok());
  for (int i = 0; i < 10; ++i) keeper_->follow_store();
  EXPECT_EQ(told("error").size(), 1u);
  EXPECT_EQ(drafting_, -1);
}

// What neither of two heads decided goes back to the one before both.
TEST_F(Keeper, AnUnprovenHeadIsNotWhatIsGoneBackTo) {
  pass_before_watched({0.5, 0.05}, {0.6, 0.06});
  serve(60, 1);
  EXPECT_EQ(drafting_, 1);
}

TEST_F(Keeper, GoesOnWithTheStoresHead) {
  offer({0.4, 0.4});
  serve(80, 0);
  ASSERT_EQ(drafting_, 1);
  drafting_ = -1;
  restart();
  EXPECT_EQ(drafting_, 1);
  EXPECT_EQ(events_.back().at("why"), "start");
}

TEST_F(Keeper, ObeysPeopleAndFollowsTheStore) {
  offer({0.4, 0.4});
  serve(80, 0);
  ASSERT_TRUE(keeper_->activate(0, "user").ok());
  EXPECT_EQ(drafting_, 0);
  EXPECT_FALSE(keeper_->activate(9, "user").ok());
  ASSERT_TRUE(store_.activate(1).ok());
  keeper_->follow_store();
  EXPECT_EQ(drafting_, 1);
  ASSERT_TRUE(keeper_->roll_back("rollback").ok());
  EXPECT_EQ(drafting_, 0);
  EXPECT_EQ(*store_.current(), 0);
}

}  // namespace
}  // namespace forerun
