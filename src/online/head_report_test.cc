#include "online/head_report.h"

#include <gtest/gtest.h>

#include "formats/temporary_folder.h"

namespace forerun {
namespace {

constexpr uint64_t kWeights = 0xfeed;

class HeadReport : public testing::Test {
 protected:
  HeadReport() : store_(*HeadStore::open(folder_.file("store"), kWeights)) {}

  void publish(int64_t parent) {
    std::filesystem::create_directory(folder_.file("made"));
    folder_.write("made/config.json", "{}");
    folder_.write("made/model.safetensors", "weights");
    HeadEntry entry;
    entry.parent = parent;
    entry.created_s = 1'700'000'000;
    entry.trained_tokens = 500;
    entry.first_conversation = 3;
    entry.last_conversation = 90;
    entry.weights = kWeights;
    entry.metrics = {{"loss", 0.5}};
    entry.traffic = {1.0f};
    const Result<int64_t> version = store_.publish(folder_.file("made"), entry);
    ASSERT_TRUE(version.ok()) << version.error().message;
    tell({{"kind", "published"}, {"version", *version}});
  }
  void tell(const Json& event) { ASSERT_TRUE(store_.append_event(event).ok()); }

  const TemporaryFolder folder_;
  HeadStore store_;
};

TEST_F(HeadReport, TellsAnEntryAndWhatEventsSayOfIt) {
  tell({{"kind", "verdict"}, {"passed", false}, {"step", 10}});
  tell({{"kind", "verdict"}, {"passed", true}, {"step", 20}});
  publish(0);
  tell({{"kind", "verdict"}, {"passed", false}, {"step", 30}});
  tell({{"kind", "watch"}, {"version", 1}, {"why", "gate"}, {"verdict", "keep"}});
  tell({{"kind", "watch"}, {"version", 1}, {"why", "drift"}, {"verdict", "roll_back"}});
  publish(1);  // by hand: no verdict is its own
  ASSERT_TRUE(store_.activate(2).ok());

  const Result<Json> all = report_heads(store_);
  ASSERT_TRUE(all.ok()) << all.error().message;
  EXPECT_EQ((*all)["current"], 2);
  ASSERT_EQ((*all)["heads"].size(), 2u);
  EXPECT_EQ((*all)["heads"][0]["verdict"]["step"], 20);
  EXPECT_EQ((*all)["heads"][0]["watch"], "keep");
  EXPECT_TRUE((*all)["heads"][1]["verdict"].is_null());
  EXPECT_TRUE((*all)["heads"][1]["watch"].is_null());

  const Result<Json> one = report_head(store_, 2);
  ASSERT_TRUE(one.ok()) << one.error().message;
  EXPECT_EQ(*one, (*all)["heads"][1]);
  EXPECT_EQ((*one)["parent"], 1);
  EXPECT_EQ((*one)["weights"], "000000000000feed");
  EXPECT_EQ((*one)["created"], 1'700'000'000);
  EXPECT_EQ((*one)["trained_tokens"], 500);
  EXPECT_EQ((*one)["first_conversation"], 3);
  EXPECT_EQ((*one)["last_conversation"], 90);
  EXPECT_EQ((*one)["metrics"], (Json{{"loss", 0.5}}));
  EXPECT_FALSE(one->contains("traffic"));
  EXPECT_FALSE(report_head(store_, 3).ok());
}

TEST_F(HeadReport, TakesAnyEventThatIsAnObject) {
  publish(0);
  tell({{"kind", 3}, {"version", "one"}});
  tell({{"kind", "verdict"}, {"passed", "yes"}});
  tell({{"kind", "published"}, {"version", "one"}});
  tell({{"kind", "watch"}});
  EXPECT_TRUE(report_heads(store_).ok());
}

}  // namespace
}  // namespace forerun
