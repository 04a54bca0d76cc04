#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "formats/temporary_folder.h"
#include "online/learning.h"

namespace forerun {

// A loop that learns nothing, over a store of two heads of which the second drafts: tells what a
// test makes up and keeps what it is told.
class FakeLearning final : public Learning {
 public:
  static constexpr uint64_t kWeights = 0xfeed;

  FakeLearning() : store_(*HeadStore::open(folder_.file("store"), kWeights)) {
    publish(/*parent=*/0);
    publish(/*parent=*/1);
    EXPECT_TRUE(store_.activate(2).ok());
    told.head_version = 2;
    told.acceptance_length = 1.74;
    told.starved = Starved::kNobody;
  }

  LearningStatus status() const override {
    const std::lock_guard lock(mutex_);
    return told;
  }
  const HeadStore& store() const override { return store_; }
  void set_enabled(bool enabled) override {
    const std::lock_guard lock(mutex_);
    told.enabled = enabled;
  }
  Status activate(int64_t version) override {
    if (version == 0) return Error{"versions begin at 1"};
    asked.push_back(version);
    return {};
  }
  Status roll_back() override {
    if (asked.empty()) return Error{"no head drafts that another came before"};
    asked.push_back(-1);
    return {};
  }
  void listen(std::function<void(const Json&)> listener) override { tell = std::move(listener); }

  HeadStore& writable() { return store_; }

  LearningStatus told;
  std::vector<int64_t> asked;  // versions to activate; -1: to roll back
  std::function<void(const Json&)> tell;

 private:
  void publish(int64_t parent) {
    std::filesystem::create_directory(folder_.file("made"));
    folder_.write("made/config.json", "{}");
    folder_.write("made/model.safetensors", "weights");
    HeadEntry entry;
    entry.parent = parent;
    entry.weights = kWeights;
    EXPECT_TRUE(store_.publish(folder_.file("made"), entry).ok());
  }

  const TemporaryFolder folder_;
  mutable std::mutex mutex_;
  HeadStore store_;
};

}  // namespace forerun
