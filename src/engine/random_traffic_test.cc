// Whole lives of an engine made at random: options, arrivals, cancellations, callbacks that add.
// Each answer has to be the one its request gets alone, or the beginning of it when cancelled.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "engine/engine_fixture.h"

namespace forerun {
namespace {

// Sanitizers make a life many times as long.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint32_t kNumLives = 15;
#else
constexpr uint32_t kNumLives = 100;
#endif

class RandomTraffic {
 public:
  explicit RandomTraffic(uint32_t seed)
      : random_(seed),
        requests_(mixed_requests(tiny_model().descriptor().vocab_size)),
        recorded_(tiny_model(), available_isas().back(), number(1, 2), random_options()) {}

  void run() {
    const int arrivals = number(15, 30);
    for (int i = 0; i < arrivals; ++i) {
      add();
      const int steps = number(0, 3) == 0 ? number(0, 20) : 0;
      for (int s = 0; s < steps; ++s) {
        if (number(0, 9) == 0) cancel_one();
        if (number(0, 49) == 0) recorded_.engine().flush_prefix_cache();
        recorded_.engine().step();
      }
    }
    recorded_.finish_all();
  }

  // Calls check(answers, index of the request).
  template <typename Check>
  void for_each_answer(Check check) const {
    for (const auto& [id, index] : added_) check(recorded_.answers(id), index);
  }
  EngineStats stats() const { return recorded_.stats(); }

 private:
  int number(int low, int high) { return std::uniform_int_distribution<>(low, high)(random_); }

  EngineOptions random_options() {
    EngineOptions options = tiny_options();
    options.kv_tokens = 32 * number(11, 40);
    options.max_sequences = number(1, 20);
    options.max_step_rows = std::max(options.max_sequences, number(1, 200));
    if (number(0, 1) == 0) options.max_step_ms = 0.01 * number(1, 200);
    return options;
  }

  void add() {
    const int index = number(0, static_cast<int>(requests_.size()) - 1);
    Request request = requests_[index];
    request.use_prefix_cache = number(0, 3) > 0;
    request.salt = static_cast<uint64_t>(number(0, 1));
    if (number(0, 7) == 0) {
      request.on_finish = [this](const FinishEvent&) {
        add();
        cancel_one();
      };
    }
    added_[recorded_.add(request)] = index;
  }

  void cancel_one() {
    if (added_.empty()) return;
    auto at = added_.begin();
    std::advance(at, number(0, static_cast<int>(added_.size()) - 1));
    recorded_.engine().cancel(at->first);
  }

  std::mt19937 random_;
  std::vector<Request> requests_;
  std::map<RequestId, int> added_;
  RecordedEngine recorded_;
};

TEST(RandomTraffic, GivesEveryRequestTheAnswerItGetsAlone) {
  const std::vector<Request> requests = mixed_requests(tiny_model().descriptor().vocab_size);
  RecordedEngine plain(tiny_model(), available_isas().back(), /*num_threads=*/1, tiny_options());
  std::vector<Answers> expected;
  for (const Request& request : requests) expected.push_back(plain.run({request})[0]);

  int64_t preemptions = 0;
  int64_t cancelled = 0;
  for (uint32_t seed = 0; seed < kNumLives; ++seed) {
    RandomTraffic traffic(seed);
    traffic.run();
    traffic.for_each_answer([&](const Answers& answers, int index) {
      ASSERT_EQ(answers.finished, static_cast<int>(answers.choices.size())) << "seed " << seed;
      for (size_t c = 0; c < answers.choices.size(); ++c) {
        const Answer& answer = answers.choices[c];
        const Answer& whole = expected[index].choices[c];
        if (answer.reason != FinishReason::kCancelled) {
          ASSERT_EQ(answer, whole) << "seed " << seed << ", request " << index;
          continue;
        }
        ++cancelled;
        ASSERT_LE(answer.tokens.size(), whole.tokens.size()) << "seed " << seed;
        ASSERT_TRUE(std::equal(answer.tokens.begin(), answer.tokens.end(), whole.tokens.begin()))
            << "seed " << seed << ", request " << index;
      }
    });
    preemptions += traffic.stats().preemptions;
    EXPECT_EQ(traffic.stats().kv_pages_in_use, 0) << "seed " << seed;
    EXPECT_EQ(traffic.stats().running + traffic.stats().waiting, 0);
  }
  EXPECT_GT(preemptions, kNumLives / 5);
  EXPECT_GT(cancelled, kNumLives / 5);
}

}  // namespace
}  // namespace forerun
