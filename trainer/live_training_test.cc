#include "live_training.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "aten.h"
#include "head_files.h"
#include "threads.h"
#include "trainer_fixture.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;
using Change = std::function<void(TraceHeader&)>;

// Tokens of responses are those of one of three rings (TraceFolder::next_token), 16 tokens each.
constexpr int32_t kFirstRing = 1;
constexpr int32_t kSecondRing = 2;
constexpr int64_t kTokens = 24;  // of a record
constexpr int64_t kPredictions =
    24 - 8;  // response tokens: the last has no slot, the first one has

const Change kHeldOut = [](TraceHeader& header) { header.conversation = TraceFolder::kHeldOut; };

class LiveTrainingTest : public testing::Test {
 protected:
  LiveTrainingTest() {
    set_num_threads(1);
    options.out = traces.file("out");
    options.draft_vocab = TraceFolder::kVocabSize;
    options.vocab_records = 8;
    options.loss.steps = 3;
    options.batch = 8;
    options.reuse = 2.0;
    options.adam = {.learning_rate = 3e-3, .warmup_steps = 10};
  }
  void begin() {
    events.clear();
    auto begun = LiveTraining::begin(
        options, target, [&](const Json& event) { events.push_back(event); },
        [&] { return now += tick; });
    ASSERT_TRUE(begun.ok()) << begun.error().message;
    training = std::make_unique<LiveTraining>(*std::move(begun));
  }
  void push(int count, int32_t first_token = kFirstRing, const Change& change = nullptr) {
    for (int i = 0; i < count; ++i)
      training->take(traces.make_record(first_token, kTokens, change));
  }
  // With a NaN among its states.
  std::vector<uint8_t> make_broken() const {
    std::vector<uint8_t> broken = traces.make_record(kFirstRing, kTokens);
    const TraceLayout layout = trace_layout(kTokens, kTokens - 1, TraceFolder::kWidth);
    std::memset(broken.data() + layout.states + 64, 0xff, 2);
    return broken;
  }
  void command(const Json& json) { training->obey(json.dump()); }
  // Until nothing is to be done; how many steps.
  int work() {
    int steps = 0;
    while (training->advance()) ++steps;
    return steps;
  }
  std::vector<Json> told(const std::string& event) const {
    std::vector<Json> found;
    for (const Json& one : events) {
      if (one["event"] == event) found.push_back(one);
    }
    return found;
  }
  // Null: there was none.
  Json last(const std::string& event) const {
    const std::vector<Json> found = told(event);
    return found.empty() ? Json() : found.back();
  }
  // The last line about steps, which is told by now.
  Json last_step() {
    now += 1.0;
    training->advance();
    return last("step");
  }
  std::vector<std::string> candidates() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(options.out)) {
      const std::string name = entry.path().filename().string();
      if (name != "state") names.push_back(name);
    }
    std::ranges::sort(names);
    return names;
  }

  TraceFolder traces;
  LearningTarget target = traces.target();
  LiveOptions options;
  std::vector<Json> events;
  double now = 0.0;
  double tick = 0.0;  // by which each look moves the clock
  std::unique_ptr<LiveTraining> training;
};

TEST_F(LiveTrainingTest, BeginsWhenTheVocabularyCanBeChosen) {
  options.draft_vocab = 20;
  begin();
  EXPECT_EQ(events, std::vector<Json>(
                        {{{"event", "ready"}, {"step", 0}, {"resumed", false}, {"dtype", "f32"}}}));
  push(7);
  EXPECT_EQ(work(), 0);
  push(1);
  // Eight new ones; then all eight once more.
  EXPECT_EQ(work(), 2);
  const Json expected = {
      {"event", "vocabulary"}, {"generation", 1}, {"kept", 0}, {"new", 20}, {"outside_share", 0.0}};
  EXPECT_EQ(told("vocabulary"), std::vector({expected}));
  const Json step = last_step();
  EXPECT_EQ(step["step"], 2);
  EXPECT_EQ(step["records"], 8);
  EXPECT_EQ(step["buffered"], 8);
  EXPECT_EQ(step["accuracies"].size(), 3u);
  EXPECT_GE(step["acceptance_length"], 1.0);
  ASSERT_TRUE(training->finish().ok());
  const auto state = load_state(options.out + "/state", target, options.adam, false);
  for (const int32_t token : {0, 1, 2, 3, 4, 5, 6, 7, 42}) {  // ring and lowest ids
    EXPECT_GE(state->vocabulary.draft_id(token), 0) << token;
  }
}

TEST_F(LiveTrainingTest, Learns) {
  begin();
  for (int i = 0; i < 40; ++i) {
    push(8);
    work();
  }
  EXPECT_GT(last_step()["acceptance_length"], 3.5);
}

TEST_F(LiveTrainingTest, TrainsOnRecordsAsOftenAsItIsTold) {
  const auto times = [&](double reuse, double fresh_share) {
    fs::remove_all(options.out);
    options.reuse = reuse;
    options.fresh_share = fresh_share;
    begin();
    for (int i = 0; i < 20; ++i) {
      push(4);
      work();
    }
    const auto tokens = last_step()["trained_tokens"].get<double>();
    return tokens / static_cast<double>(80 * kPredictions);
  };
  EXPECT_EQ(times(2.0, 0.5), 2.0);
  EXPECT_EQ(times(1.0, 0.5), 1.0);
  EXPECT_EQ(times(1.0, 1.0), 1.0);
  EXPECT_EQ(times(3.0, 0.25), 3.0);
  EXPECT_EQ(times(0.5, 0.5), 0.5);
}

TEST_F(LiveTrainingTest, WaitsForABatchsShare) {
  begin();
  push(8);
  work();
  push(3);
  EXPECT_EQ(work(), 0);
  push(1);
  EXPECT_EQ(work(), 1);
  // Quiet: nothing is trained however long it lasts, and that it lasted is told.
  training->add_idle(2.5);
  now += 100.0;
  EXPECT_EQ(work(), 0);
  const size_t lines = told("step").size();
  now += 100.0;
  EXPECT_EQ(work(), 0);
  EXPECT_EQ(told("step").size(), lines);
  training->add_idle(3.0);
  push(4);
  EXPECT_EQ(work(), 1);
  EXPECT_EQ(last_step()["idle_seconds"], 3.0);
}

TEST_F(LiveTrainingTest, DoesNotFallBehind) {
  begin();
  push(1000);
  int steps = 0;
  while (told("candidate").empty() && training->advance()) ++steps;
  // The newest 64 are the fresh ones.
  EXPECT_EQ(told("candidate").at(0)["last_record"], 1000 - 64 + 52);
  options.keep_bytes = 64 * 23 * (4 * TraceFolder::kWidth * 2 + 8);
  options.out = traces.file("bounded");
  begin();
  push(1000);
  // What lies there is not trained on for all that has come and gone.
  EXPECT_LE(work(), 2 * 64 / 8);
  EXPECT_LE(last_step()["buffered"], 64);
}

TEST_F(LiveTrainingTest, NeverTrainsOnWhatIsHeldOut) {
  const auto weights = [&](bool with_held_out) {
    options.out = traces.file(with_held_out ? "with" : "without");
    begin();
    for (int i = 0; i < 60; ++i) {
      push(1);
      if (with_held_out) push(1, kSecondRing, kHeldOut);
      work();
    }
    const Json candidate = told("candidate").at(0);
    EXPECT_EQ(last_step()["held_out"], with_held_out ? 60 : 0);
    return read_file(candidate["folder"].get<std::string>() + "/model.safetensors");
  };
  options.draft_vocab = 20;
  EXPECT_EQ(weights(true), weights(false));

  options.out = traces.file("nothing");
  begin();
  push(100, kFirstRing, kHeldOut);
  EXPECT_EQ(work(), 0);
  EXPECT_TRUE(told("vocabulary").empty());
}

TEST_F(LiveTrainingTest, RefusesWhatDoesNotFit) {
  begin();
  push(2, kFirstRing, [](TraceHeader& header) { header.weights = 1; });
  push(1, kFirstRing, [](TraceHeader& header) { header.magic = 1; });
  training->take({});
  push(8);
  work();
  const Json step = last_step();
  EXPECT_EQ(step["refused"], 4);
  ASSERT_EQ(told("error").size(), 1u) << "the first is told";
  EXPECT_NE(told("error")[0]["error"].get<std::string>().find("weights"), std::string::npos);
  EXPECT_EQ(step["records"], 12);
  EXPECT_EQ(step["buffered"], 8);
}

TEST_F(LiveTrainingTest, TellsOfBranches) {
  for (const double discard : {0.0, 0.5}) {
    options.out = traces.file(discard > 0.0 ? "with" : "without");
    options.loss.discard = discard;
    begin();
    for (const auto& record : traces.make_records_with_branches(8)) training->take(record);
    work();
    const Json step = last_step();
    ASSERT_TRUE(step.is_object());
    EXPECT_EQ(step.contains("branch_loss"), discard > 0.0) << step;
    EXPECT_EQ(step.value("branch_rows", 0), discard > 0.0 ? 2 * 8 * 16 : 0) << step;
  }
}

TEST_F(LiveTrainingTest, Pauses) {
  begin();
  push(8);
  command({{"command", "pause"}});
  EXPECT_EQ(work(), 0);
  push(8);
  EXPECT_EQ(work(), 0);
  command({{"command", "resume"}});
  EXPECT_EQ(work(), 4);
  EXPECT_EQ(last_step()["records"], 16);
}

TEST_F(LiveTrainingTest, ComputesByAsManyThreadsAsItIsTold) {
  begin();
  push(8);
  ASSERT_EQ(at::get_num_threads(), 1);
  command({{"command", "threads"}, {"threads", 2}});
  EXPECT_EQ(at::get_num_threads(), 2);
  EXPECT_EQ(work(), 2);
  command({{"command", "threads"}, {"threads", 1}});
  EXPECT_EQ(at::get_num_threads(), 1);
  EXPECT_TRUE(told("error").empty());
  for (const Json& wrong : {Json(0), Json(-1), Json(1025), Json(1.5), Json("2"), Json()}) {
    command({{"command", "threads"}, {"threads", wrong}});
  }
  command({{"command", "threads"}});
  ASSERT_EQ(told("error").size(), 7u);
  EXPECT_EQ(told("error")[0]["error"], "threads is '0'; it must be between 1 and 1024");
  EXPECT_EQ(at::get_num_threads(), 1);
}

TEST_F(LiveTrainingTest, SaysWhichCommandsThereAreNot) {
  begin();
  for (const char* line : {"", "{", "[1]", "null", "{\"command\":3}", "{\"command\":\"dance\"}",
                           "{\"command\":\"begin_from\"}", "\xff\x01"}) {
    const size_t before = told("error").size();
    training->obey(line);
    ASSERT_EQ(told("error").size(), before + 1) << line;
  }
  EXPECT_EQ(told("error").at(1)["error"], "a command is not a JSON object: '{'");
  EXPECT_EQ(told("error").at(5)["error"], "there is no such command: '{\"command\":\"dance\"}'");
  EXPECT_FALSE(training->is_stopped());
  command({{"command", "stop"}});
  EXPECT_TRUE(training->is_stopped());
}

TEST_F(LiveTrainingTest, PutsOutCandidates) {
  options.cadence = 60;
  options.fresh_share = 1.0;
  options.batch = 4;
  begin();
  std::vector<std::string> folders;
  for (int i = 0; i < 60; ++i) {
    push(4);
    work();
  }
  const std::vector<Json> candidates = told("candidate");
  ASSERT_EQ(candidates.size(), 4u);  // behind 52, 112, 172 and 232 records
  int64_t last_record = 0;
  for (const Json& candidate : candidates) {
    EXPECT_EQ(candidate["first_record"], last_record + 1);
    last_record = candidate["last_record"];
    EXPECT_EQ(last_record, candidate["records"]);
    EXPECT_EQ(candidate["vocabulary"], 1);
    EXPECT_EQ(candidate["folder"], options.out + "/candidate-" + to_string(candidate["step"]));
  }
  EXPECT_EQ(candidates[0]["last_record"], 52);
  EXPECT_EQ(last_record, 232);
  // Told before: the step that it is of.
  const auto it = std::ranges::find(events, candidates[1]);
  EXPECT_EQ((it - 1)->at("event"), "step");
  EXPECT_EQ((it - 1)->at("step"), candidates[1]["step"]);
  EXPECT_EQ((it - 1)->at("trained_tokens"), candidates[1]["trained_tokens"]);

  EXPECT_EQ(this->candidates().size(), 2u);
  for (const size_t i : {2, 3}) {
    const auto head = load_head(candidates[i]["folder"], target);
    ASSERT_TRUE(head.ok()) << head.error().message;
    EXPECT_EQ(head->vocabulary.size(), TraceFolder::kVocabSize);
  }
  EXPECT_EQ(fs::status(options.out).permissions(), fs::perms::owner_all);
}

TEST_F(LiveTrainingTest, RemovesNothingButItsOwnCandidates) {
  options.cadence = 4;
  begin();
  for (const char* name :
       {"candidate-1.partial", "candidate-1", "candidate-x", "candidate-2-kept"}) {
    fs::create_directory(options.out + "/" + name);
  }
  for (int i = 0; i < 10; ++i) {
    push(4);
    work();
  }
  const std::vector<std::string> names = candidates();
  EXPECT_EQ(names.size(), 4u);
  EXPECT_TRUE(std::ranges::count(names, "candidate-x") == 1);
  EXPECT_TRUE(std::ranges::count(names, "candidate-2-kept") == 1);
}

TEST_F(LiveTrainingTest, ChangesTheVocabularyWithTheTraffic) {
  options.draft_vocab = 16;
  begin();
  push(16);
  work();
  const auto push_second = [&](int count) {
    for (int i = 0; i < count; ++i) {
      push(1, kSecondRing);
      work();
    }
  };
  push_second(VocabularyWatch::kLeastRecords - 1);
  EXPECT_EQ(told("vocabulary").size(), 1u);
  const Json before = last_step();
  push_second(VocabularyWatch::kLeastRecords / 2);
  ASSERT_EQ(told("vocabulary").size(), 2u);
  const Json expected = {{"event", "vocabulary"},
                         {"generation", 2},
                         {"kept", 0},
                         {"new", 16},
                         {"outside_share", told("vocabulary").at(1)["outside_share"]}};
  EXPECT_EQ(told("vocabulary").at(1), expected);
  EXPECT_GT(expected["outside_share"], 0.9);
  push_second(150);
  EXPECT_EQ(told("vocabulary").size(), 2u);
  // What comes is predicted now, which it could not be.
  EXPECT_LT(before["acceptance_length"], 2.0);
  EXPECT_GT(last_step()["acceptance_length"], 3.0);
  const Json candidate = last("candidate");
  EXPECT_EQ(candidate["vocabulary"], 2);
  EXPECT_EQ(candidate["outside_share"], 0.0);
  const auto head = load_head(candidate["folder"], target);
  for (const int32_t token : head->vocabulary.token_of()) EXPECT_EQ(token % 3, 2) << token;
}

TEST_F(LiveTrainingTest, GoesOnWhereItWasKilled) {
  begin();
  for (int i = 0; i < 20; ++i) {
    push(4);
    work();
  }
  const Json candidate = last("candidate");
  const Json last = last_step();
  EXPECT_GT(last["step"], candidate["step"]);
  begin();  // the other one saved nothing
  const Json ready = {
      {"event", "ready"}, {"step", candidate["step"]}, {"resumed", true}, {"dtype", "f32"}};
  EXPECT_EQ(events, std::vector({ready}));
  push(4);
  EXPECT_EQ(work(), 1 + 1);  // four new ones, the same again
  const Json step = last_step();
  EXPECT_EQ(step["step"], candidate["step"].get<int>() + 2);
  EXPECT_EQ(step["records"], candidate["records"].get<int>() + 4);
  EXPECT_EQ(step["trained_tokens"],
            candidate["trained_tokens"].get<int64_t>() + 2 * 4 * kPredictions);
  // Stopped, nothing is lost.
  ASSERT_TRUE(training->finish().ok());
  begin();
  EXPECT_EQ(events[0]["step"], step["step"]);
  for (int i = 0; i < 24; ++i) {
    push(4);
    work();
  }
  EXPECT_EQ(told("candidate").at(0)["first_record"], candidate["last_record"].get<int>() + 1);
}

TEST_F(LiveTrainingTest, SavesEveryMinuteOfTraining) {
  options.cadence = 10'000;
  tick = 11.0;
  begin();
  const std::string state = options.out + "/state";
  push(40);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(training->advance());
  EXPECT_FALSE(fs::exists(state));
  training->advance();
  EXPECT_TRUE(fs::exists(state));
}

TEST_F(LiveTrainingTest, TellsOfStepsOnceASecond) {
  tick = 0.125;
  begin();
  push(64);
  const int steps = work();
  const std::vector<Json> lines = told("step");
  EXPECT_GE(steps, 12);
  ASSERT_GE(lines.size(), 3u);
  EXPECT_LE(lines.size(), 6u);
  EXPECT_EQ(lines[0]["seconds"], 0.125);
}

TEST_F(LiveTrainingTest, BeginsFromAHead) {
  options.draft_vocab = 20;
  begin();
  for (int i = 0; i < 20; ++i) {
    push(4);
    work();
  }
  const Json candidate = last("candidate");
  const std::string folder = traces.file("champion");
  fs::rename(candidate["folder"].get<std::string>(), folder);
  const Json before = last_step();
  events.clear();
  command({{"command", "begin_from"}, {"head", folder}});
  const Json begun = {{"event", "begun"}, {"head", folder}, {"step", before["step"]}};
  EXPECT_EQ(events, std::vector({begun}));  // the vocabulary is the same
  const auto saved = load_state(options.out + "/state", target, options.adam, false);
  const auto head = load_head(folder, target);
  for (const HeadTensor& row : kHeadTensors) {
    EXPECT_TRUE((saved->head.*row.tensor).equal(head->head.*row.tensor)) << row.name;
  }
  EXPECT_EQ(saved->adam.num_steps, 0);
  push(4);
  EXPECT_EQ(work(), 1);  // with four of those that were there
  const Json step = last_step();
  EXPECT_EQ(step["step"], before["step"].get<int>() + 1);
  EXPECT_EQ(step["buffered"], before["buffered"].get<int>() + 4);
  // A candidate comes behind a hundred new records, whatever there was before.
  for (int i = 0; i < 23; ++i) {
    push(4);
    work();
  }
  EXPECT_TRUE(told("candidate").empty());
  push(4);
  work();
  EXPECT_EQ(last("candidate")["first_record"], 81);
  EXPECT_EQ(last("candidate")["last_record"], 180);

  // Another vocabulary, of another size.
  options.out = traces.file("other");
  options.draft_vocab = 30;
  begin();
  push(8);
  work();
  command({{"command", "begin_from"}, {"head", folder}});
  ASSERT_EQ(told("vocabulary").size(), 2u);
  EXPECT_EQ(told("vocabulary").at(1)["generation"], 2);
  EXPECT_EQ(told("vocabulary").at(1)["kept"], 20);
  EXPECT_EQ(told("vocabulary").at(1)["new"], 0);
  push(8);
  EXPECT_EQ(work(), 2);

  // No head: training goes on.
  command({{"command", "begin_from"}, {"head", traces.file("nowhere")}});
  EXPECT_EQ(told("error").size(), 1u);
  push(4);
  EXPECT_EQ(work(), 1);
}

TEST_F(LiveTrainingTest, SaysWhereItCannotBeginFromAHead) {
  begin();
  events.clear();
  const std::string folder = traces.file("nowhere");
  command({{"command", "begin_from"}, {"head", folder}});
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0]["event"], "error");
  EXPECT_EQ(events[1], Json({{"event", "not_begun"}, {"head", folder}}));
}

TEST_F(LiveTrainingTest, BeginsWithAHeadThatIsThere) {
  begin();
  push(56);
  work();
  options.init = told("candidate").at(0)["folder"];
  options.out = traces.file("second");
  begin();
  EXPECT_EQ(events[0]["resumed"], false);
  push(4);  // no vocabulary is to be chosen
  EXPECT_EQ(work(), 2);
  ASSERT_TRUE(training->finish().ok());
  options.init = traces.file("nowhere");
  begin();  // there is a state
  EXPECT_EQ(events[0]["resumed"], true);
  options.out = traces.file("third");
  EXPECT_FALSE(LiveTraining::begin(options, target, [](const Json&) {}, [] { return 0.0; }).ok());
}

TEST_F(LiveTrainingTest, SetsAsideAStateThatDoesNotFit) {
  begin();
  push(56);
  work();
  const fs::path left = told("candidate").at(0)["folder"].get<std::string>();
  fs::resize_file(options.out + "/state", 100);  // nobody's, damaged
  begin();
  EXPECT_EQ(told("error").size(), 1u);
  EXPECT_EQ(told("ready").at(0)["resumed"], false);
  EXPECT_EQ(told("ready").at(0)["step"], 0);
  EXPECT_EQ(fs::file_size(options.out + "/state.unusable"), 100u);
  EXPECT_FALSE(fs::exists(left));
  push(56);
  work();
  ASSERT_TRUE(training->finish().ok());
  begin();
  EXPECT_EQ(told("ready").at(0)["resumed"], true);
}

TEST_F(LiveTrainingTest, PassesOverWhatIsNotFinite) {
  begin();
  const std::vector<uint8_t> broken = make_broken();
  push(7);
  training->take(broken);
  EXPECT_EQ(work(), 1);
  EXPECT_EQ(told("error").size(), 1u);
  push(8);
  work();
  EXPECT_EQ(last_step()["skipped"], 1);
}

// A head whose values are finite and whose losses are not: nobody could train that on.
TEST_F(LiveTrainingTest, BeginsAnewWhereTheHeadIsAtFault) {
  begin();
  push(56);
  work();
  auto head = load_head(told("candidate").at(0)["folder"], target);
  ASSERT_TRUE(head.ok());
  head->head.fc.fill_(1e38);
  head->head.o.fill_(1e38);
  const std::string folder = traces.file("overflowing");
  ASSERT_TRUE(publish_head(folder, head->head, head->vocabulary, target).ok());
  command({{"command", "begin_from"}, {"head", folder}});
  const int64_t before = last("begun")["step"];
  const size_t candidates = told("candidate").size();
  for (int i = 0; i < 40; ++i) {
    push(8);
    work();
  }
  EXPECT_EQ(told("error").size(), 2u) << "the first batch, and that it begins anew";
  EXPECT_GT(last_step()["step"], before + 10);
  EXPECT_GT(told("candidate").size(), candidates);
}

// A record that was never trained on, since 64 newer ones came, spoils one batch of older ones: the
// one it is drawn for at last.
TEST_F(LiveTrainingTest, DrawsOthersEveryTime) {
  options.fresh_share = 1.0;
  options.reuse = 8.0;
  begin();
  push(8);
  work();
  training->take(make_broken());
  push(64);
  work();
  EXPECT_EQ(last_step()["skipped"], 1);
  EXPECT_EQ(last_step()["buffered"], 65);
}

TEST_F(LiveTrainingTest, SaysWhatItCannotWrite) {
  traces.write("file", "");
  options.out = traces.file("file/out");
  auto begun = LiveTraining::begin(options, target, [](const Json&) {}, [] { return 0.0; });
  ASSERT_FALSE(begun.ok());
  EXPECT_EQ(begun.error().message, "cannot create " + options.out + ": Not a directory");
  options.out = traces.file("out");
  begin();
  fs::remove_all(options.out);
  push(56);
  work();
  EXPECT_EQ(told("error").size(), 1u);
  EXPECT_TRUE(told("candidate").empty());
  EXPECT_FALSE(training->finish().ok());
  traces.write("out", "");
}

}  // namespace
}  // namespace forerun
