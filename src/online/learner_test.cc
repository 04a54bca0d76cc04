// The loop over a living engine: records on their way, a trainer that is a shell script, heads in
// and out while requests run.
#include "online/learner.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "engine/engine_fixture.h"
#include "formats/temporary_folder.h"
#include "models/tiny_head.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

constexpr auto kPatience = std::chrono::seconds(20);

class Loop : public testing::Test {
 protected:
  // A trainer that does what the script says: its standard input and output are the loop's.
  std::string make_trainer(const std::string& script) {
    folder_.write("trainer.sh", "#!/bin/sh\n" + script);
    const std::string path = folder_.file("trainer.sh");
    chmod(path.c_str(), 0700);
    return path;
  }

  void start(const std::string& script) {
    LearnerOptions options;
    options.folder = folder_.file("store");
    options.trainer = make_trainer(script);
    options.trains = !script.empty();
    options.spare_threads = spare_threads_;
    options.ring_bytes = ring_bytes_;
    options.engine_threads = team_.size();
    options.look_seconds = 0.05;
    options.least_gain = -1.0;
    EngineOptions engine = tiny_options();
    engine.speculation.forced = true;
    engine.speculation.trees = false;
    engine.max_sequences = 8;
    Result<std::unique_ptr<Learner>> learner =
        Learner::create(std::move(options), tiny_model(), kernels_, engine);
    ASSERT_TRUE(learner.ok()) << learner.error().message;
    learner_ = *std::move(learner);
    engine_ = *Engine::create(tiny_model(), kernels_, team_, std::move(engine));
    learner_->listen([this](const Json& event) {
      const std::lock_guard lock(mutex_);
      events_.push_back(event);
    });
    learner_->start(*engine_);
  }

  void TearDown() override {
    if (learner_) learner_->end();
  }

  void answer(int count, bool store = true) {
    for (int i = 0; i < count; ++i) {
      Request request;
      const auto which = static_cast<uint32_t>(num_requests_++);
      request.prompt = random_tokens(20, 320, which);
      request.max_tokens = 40;
      request.sampling.temperature = 3.0f;
      request.sampling.seed = which;
      request.ignore_eos = true;
      if (store) request.conversation = which;
      ASSERT_TRUE(engine_->add(std::move(request)).ok());
    }
    while (engine_->step()) {
    }
  }

  template <typename Holds>
  ::testing::AssertionResult comes(Holds holds) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!holds()) {
      if (std::chrono::steady_clock::now() > end) return ::testing::AssertionFailure() << told();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return ::testing::AssertionSuccess();
  }

  std::vector<Json> of_kind(const std::string& kind) {
    const std::lock_guard lock(mutex_);
    std::vector<Json> found;
    for (const Json& event : events_) {
      if (event.at("kind") == kind) found.push_back(event);
    }
    return found;
  }

  std::string told() {
    const std::lock_guard lock(mutex_);
    return Json(events_).dump(1);
  }

  // The tiny head in a folder, as people bring one.
  std::string make_head(const std::string& name) {
    fs::create_directory(folder_.file(name));
    folder_.write(name + "/config.json", tiny_head_config().dump());
    const std::vector<uint8_t> bytes = make_tiny_head(tiny_head_config()).encode();
    folder_.write(name + "/model.safetensors", std::string(bytes.begin(), bytes.end()));
    return folder_.file(name);
  }

  TemporaryFolder folder_;
  const KernelTable& kernels_ = kernel_table(available_isas().back());
  Team team_{2};
  std::unique_ptr<Learner> learner_;
  std::unique_ptr<Engine> engine_;
  std::mutex mutex_;
  std::vector<Json> events_;
  int num_requests_ = 0;
  int spare_threads_ = 0;
  int64_t ring_bytes_ = LearnerOptions().ring_bytes;
};

constexpr char kListens[] = "exec cat > /dev/null\n";

TEST_F(Loop, RecordsWhatIsAnsweredAndCountsWhatIsNot) {
  start(kListens);
  answer(25);  // fewer than after which the rate is looked at
  answer(3, /*store=*/false);
  EXPECT_TRUE(comes([&] { return learner_->is_idle(); }));
  EXPECT_TRUE(comes([&] { return learner_->status().records.held_out > 0; }));
  const LearningStatus status = learner_->status();
  EXPECT_EQ(status.records.kept, 25);
  // Told with an end whose turn it was to tell.
  EXPECT_TRUE(comes([&] {
    answer(1, /*store=*/false);
    return learner_->status().records.opted_out > 3;
  }));
  EXPECT_LT(status.records.held_out, 12);
  EXPECT_GT(status.capture_share, 0.0);
  EXPECT_TRUE(comes([&] { return learner_->status().trainer_up; }));
}

// A head of the store drafts, and what it drafts while it serves is what replay finds: on thousands
// of places nothing differs, or it would be rolled back.
TEST_F(Loop, AHeadThatIsActivatedDraftsAsReplayed) {
  start("");
  const std::string head = make_head("head");
  Result<HeadStore> store = HeadStore::open(folder_.file("store"), learner_->store().weights());
  ASSERT_TRUE(store->import_head(head).ok());
  ASSERT_TRUE(learner_->activate(1).ok());
  EXPECT_FALSE(learner_->activate(2).ok());
  ASSERT_TRUE(comes([&] { return of_kind("activated").size() == 1; }));
  for (int round = 0; round < 4; ++round) {
    answer(32);
    ASSERT_TRUE(comes([&] { return learner_->is_idle(); }));
  }
  EXPECT_EQ(engine_->stats().head_version, 1);
  const auto source = static_cast<size_t>(DraftSource::kEagle3);
  EXPECT_GT(engine_->stats().speculation.by_source[source].drafted, 2000);
  EXPECT_EQ(of_kind("disagreement").size(), 0u) << told();
  ASSERT_TRUE(learner_->roll_back().ok());
  ASSERT_TRUE(comes([&] { return of_kind("activated").size() == 2; }));
  answer(2);
  EXPECT_EQ(engine_->stats().head_version, 0);
}

TEST_F(Loop, FollowsAnotherProcessThatChangesTheStore) {
  start("");
  Result<HeadStore> store = HeadStore::open(folder_.file("store"), learner_->store().weights());
  ASSERT_TRUE(store->import_head(make_head("head")).ok());
  ASSERT_TRUE(store->activate(1).ok());
  EXPECT_TRUE(comes([&] { return learner_->status().head_version == 1; }));
}

TEST_F(Loop, RefusesCandidatesThatAreNoHeads) {
  const std::string broken = folder_.file("broken");
  fs::create_directory(broken);
  start("echo '{\"event\": \"candidate\", \"folder\": \"" + broken +
        "\", \"step\": 8, \"trained_tokens\": 100}'\n"
        "echo 'no JSON'; echo '{\"event\": \"candidate\"}'; echo '{\"event\": \"error\", "
        "\"error\": \"the disk is full\"}'\n" +
        kListens);
  EXPECT_TRUE(comes([&] { return learner_->status().verdicts.refused == 1; }));
  ASSERT_EQ(of_kind("verdict").size(), 1u);
  EXPECT_EQ(of_kind("verdict")[0].at("step"), 8);
  EXPECT_TRUE(comes([&] { return of_kind("error").size() == 2; }));
  EXPECT_FALSE(fs::exists(broken));
  answer(4);
}

TEST_F(Loop, StartsATrainerAnewThatEnds) {
  start("exit 3\n");
  EXPECT_TRUE(comes([&] { return learner_->status().trainer_starts >= 2; }));
  bool tells = false;
  for (const Json& event : of_kind("trainer")) {
    tells = tells || event.value("reason", "") == "exit status 3";
  }
  EXPECT_TRUE(tells) << told();
  answer(4);
  EXPECT_TRUE(comes([&] { return learner_->status().starved == Starved::kLearning; }));
}

TEST_F(Loop, TellsWhatFindsNoRoom) {
  ring_bytes_ = 1 << 16;
  start(kListens);  // it reads no record
  for (int i = 0; i < 20 && of_kind("dropped").empty(); ++i) answer(16);
  ASSERT_TRUE(comes([&] { return !of_kind("dropped").empty(); }));
  EXPECT_GT(of_kind("dropped")[0].at("answers"), 0);
  EXPECT_GT(learner_->status().records.dropped, 0);
}

// A head that somebody has brought is what training goes on from, where a trainer has nothing yet.
TEST_F(Loop, TrainsOnFromTheHeadThatDrafts) {
  start("");
  Result<HeadStore> store = HeadStore::open(folder_.file("store"), learner_->store().weights());
  ASSERT_TRUE(store->import_head(make_head("head")).ok());
  ASSERT_TRUE(store->activate(1).ok());
  for (const std::string resumed : {"true", "false"}) {
    learner_->end();
    engine_.reset();
    learner_.reset();
    const std::string heard = folder_.file("heard-" + resumed);
    start("echo '{\"event\": \"ready\", \"step\": 0, \"resumed\": " + resumed + "}'\n" +
          "echo '{\"event\": \"error\", \"error\": \"after " + resumed + "\"}'\n" +
          "read line; echo \"$line\" > " + heard + "\n" + kListens);
    // What is told comes in its order.
    ASSERT_TRUE(comes([&] {
      const std::vector<Json> errors = of_kind("error");
      return !errors.empty() && errors.back().at("error") == "after " + resumed;
    }));
    learner_->set_enabled(false);
    ASSERT_TRUE(comes([&] { return read_json_file(heard).ok(); }));
    const Json line = *read_json_file(heard);
    const std::string head = resumed == "false" ? learner_->store().head_folder(1) : "none";
    EXPECT_EQ(line.value("head", "none"), head) << line;
  }
}

// A candidate that was on its way when the trainer was told to go on from another head.
TEST_F(Loop, TakesNoCandidateOfAnotherLine) {
  start("");
  Result<HeadStore> store = HeadStore::open(folder_.file("store"), learner_->store().weights());
  ASSERT_TRUE(store->import_head(make_head("head")).ok());
  ASSERT_TRUE(store->activate(1).ok());
  const std::string head = learner_->store().head_folder(1);
  learner_->end();
  engine_.reset();
  learner_.reset();
  const std::string stale = folder_.file("stale");
  const std::string later = folder_.file("later");
  fs::create_directory(stale);
  fs::create_directory(later);
  const auto candidate = [](const std::string& folder) {
    return "echo '{\"event\": \"candidate\", \"folder\": \"" + folder +
           "\", \"step\": 8, \"trained_tokens\": 100}'\n";
  };
  start("echo '{\"event\": \"ready\", \"step\": 0, \"resumed\": false}'\nread line\n" +
        candidate(stale) + "echo '{\"event\": \"begun\", \"head\": \"" + head + "\"}'\n" +
        candidate(later) + kListens);
  EXPECT_TRUE(comes([&] { return learner_->status().verdicts.refused > 0; }));
  EXPECT_EQ(learner_->status().verdicts.refused, 1) << told();
  EXPECT_FALSE(fs::exists(stale));
}

TEST_F(Loop, RemovesTrialsThatDidNotEnd) {
  const std::string left = folder_.file("store") + "/trainer/candidate-000007-on-trial";
  fs::create_directories(left);
  start(kListens);
  EXPECT_TRUE(comes([&] { return !fs::exists(left); }));
}

TEST_F(Loop, SaysWhereThereIsNoTrainer) {
  start("exit 0\n");
  fs::remove(folder_.file("trainer.sh"));
  EXPECT_TRUE(comes([&] {
    for (const Json& event : of_kind("trainer")) {
      if (event.value("reason", "").find("No such file") != std::string::npos) return true;
    }
    return false;
  }));
}

// The trainer is told, and hears of nothing more while learning is off.
TEST_F(Loop, StopsAndResumes) {
  const std::string heard = folder_.file("heard");
  start("exec cat > " + heard + "\n");
  ASSERT_TRUE(comes([&] { return learner_->status().trainer_up; }));
  learner_->set_enabled(false);
  ASSERT_TRUE(comes([&] { return of_kind("learning").size() == 1; }));
  answer(20);
  ASSERT_TRUE(comes([&] { return learner_->is_idle(); }));
  EXPECT_FALSE(learner_->status().enabled);
  EXPECT_EQ(learner_->status().records.held_out, 0);
  learner_->set_enabled(true);
  ASSERT_TRUE(comes([&] { return of_kind("learning").size() == 2; }));
  learner_->end();
  std::ifstream file(heard);
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, "{\"command\":\"pause\"}");
  std::getline(file, line);
  EXPECT_EQ(line, "{\"command\":\"resume\"}");
}

// Its processors come from the engine while requests run, and go back when nothing trains. What
// they would bring is as the machine is today: here they are taken whatever it is.
TEST_F(Loop, LearningTakesProcessorsAndGivesThemBack) {
  const std::string heard = folder_.file("heard");
  spare_threads_ = 1;
  start("exec cat > " + heard + "\n");
  ASSERT_EQ(engine_->threads(), 2);
  EXPECT_TRUE(comes([&] {
    answer(4);
    return engine_->stats().threads == 1;
  }));
  ASSERT_TRUE(comes([&] { return !of_kind("share").empty(); }));
  const Json taken = of_kind("share")[0];
  EXPECT_EQ(taken.at("threads"), 1);
  EXPECT_EQ(taken.at("of"), 2);
  EXPECT_TRUE(taken.at("reason").get<std::string>().starts_with("learning takes 1 of 2 threads:"));
  EXPECT_TRUE(comes([&] { return learner_->status().share.threads == 1; }));
  // Nothing trains any more: at once.
  learner_->set_enabled(false);
  ASSERT_TRUE(comes([&] { return of_kind("share").size() == 2; })) << told();
  EXPECT_EQ(of_kind("share")[1].at("threads"), 0);
  answer(1);
  EXPECT_EQ(engine_->stats().threads, 2);
  learner_->end();
  std::ifstream file(heard);
  const std::string lines((std::istreambuf_iterator<char>(file)), {});
  EXPECT_NE(lines.find("{\"command\":\"threads\",\"threads\":1}"), std::string::npos) << lines;
}

TEST_F(Loop, WithoutSpareThreadsNobodyDecides) {
  start(kListens);
  answer(8);
  ASSERT_TRUE(comes([&] { return learner_->is_idle(); }));
  EXPECT_EQ(learner_->status().share.threads, 0);
  EXPECT_EQ(engine_->stats().threads, 2);
  EXPECT_EQ(of_kind("share").size(), 0u);
}

TEST_F(Loop, WritesTracesWhereAskedTo) {
  LearnerOptions options;
  options.folder = folder_.file("store");
  options.trains = false;
  options.spill.emplace(*TraceFileWriter::open(folder_.file("traces"), 1 << 24));
  EngineOptions engine = tiny_options();
  learner_ = *Learner::create(std::move(options), tiny_model(), kernels_, engine);
  engine_ = *Engine::create(tiny_model(), kernels_, team_, std::move(engine));
  learner_->start(*engine_);
  answer(6);
  ASSERT_TRUE(comes([&] { return learner_->is_idle(); }));
  learner_->end();
  learner_.reset();
  TraceFileReader reader = *TraceFileReader::open(folder_.file("traces"));
  int count = 0;
  while (reader.next()) ++count;
  EXPECT_EQ(count, 6);
}

}  // namespace
}  // namespace forerun
