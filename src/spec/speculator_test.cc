#include "spec/speculator.h"

#include <gtest/gtest.h>

#include "base/philox.h"

namespace forerun {
namespace {

using Tokens = std::vector<int32_t>;

constexpr StepTimes::Point kPoints[] = {{1, 4e-3}, {8, 4.4e-3}, {16, 8e-3}, {32, 16e-3}};
const StepCost kCost({.by_rows = kPoints});
const DraftBudget kOneSequence = {.tokens = 1.0,
                                  .decoding = {.rows = 1},
                                  .work = {.rows = 1},
                                  .max_seconds = 1.0,
                                  .max_rows = 64};

SpeculationOptions options(bool forced = false) {
  SpeculationOptions options;
  options.history = options.prediction = true;
  options.forced = forced;
  options.history_tokens = 1 << 14;
  return options;
}

// One sequence whose output is known.
class Replay {
 public:
  Replay(Speculator& speculator, const Tokens& prompt, Tokens output, const Tokens& prediction = {})
      : speculator_(speculator), tokens_(prompt), output_(std::move(output)) {
    DraftRequest request;
    request.id = ++requests_;
    request.prompt = prompt;
    request.prediction = prediction;
    place_ = speculator_.begin(request);
    take(1);
  }
  ~Replay() { speculator_.end(place_); }

  bool done() const { return next_ == output_.size(); }
  // A step: how many tokens it gave.
  int step(const StepCost& cost = kCost) {
    speculator_.draft({.place = place_,
                       .tokens = tokens_,
                       .max_tokens = static_cast<int>(output_.size() - next_) - 1});
    speculator_.choose(kOneSequence, cost);
    const std::span<const int32_t> draft = speculator_.draft_of(place_);
    drafted = Tokens(draft.begin(), draft.end());
    const std::span<const int32_t> its_parents = speculator_.parents_of(place_);
    parents = Tokens(its_parents.begin(), its_parents.end());
    int count = 0;
    int node = -1;
    for (int i = 0; i < static_cast<int>(drafted.size()); ++i) {
      const int parent = parents.empty() ? i - 1 : parents[i];
      if (parent != node || drafted[i] != output_[next_ + count]) continue;
      node = i;
      ++count;
    }
    return take(count + 1);
  }
  const DraftCounts& counts() const { return speculator_.counts(place_); }

  Tokens drafted;
  Tokens parents;  // empty for a chain

 private:
  int take(int count) {
    const Tokens came(output_.begin() + next_, output_.begin() + next_ + count);
    tokens_.insert(tokens_.end(), came.begin(), came.end());
    next_ += count;
    speculator_.learn(place_, came);
    return count;
  }

  static inline uint64_t requests_ = 0;

  Speculator& speculator_;
  Tokens tokens_;
  Tokens output_;
  size_t next_ = 0;
  int place_;
};

Tokens counting(int begin, int count) {
  Tokens tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(begin + i);
  return tokens;
}

int steps_of(Replay& replay) {
  int steps = 0;
  for (; !replay.done(); ++steps) replay.step();
  return steps;
}

TEST(Speculator, APredictionComesInFewSteps) {
  Speculator speculator(options(), 4);
  Replay replay(speculator, {1, 2}, counting(100, 100), counting(100, 100));
  EXPECT_LE(steps_of(replay), 15);
  EXPECT_EQ(speculator.stats().by_source[1].accepted, speculator.stats().accepted_tokens);
  EXPECT_EQ(replay.counts().all().drafted, speculator.stats().draft_tokens);
}

TEST(Speculator, RepetitionIsFoundInTheOutput) {
  Speculator speculator(options(), 4);
  Tokens output;
  for (int i = 0; i < 200; ++i) output.push_back(100 + i % 20);
  Replay replay(speculator, {1, 2}, output);
  EXPECT_LE(steps_of(replay), 60);
  EXPECT_GT(speculator.stats().by_source[0].accepted, 100);
}

TEST(Speculator, NothingIsDraftedOfWhatNeverCame) {
  Speculator speculator(options(), 4);
  Replay replay(speculator, {1, 2}, counting(100, 50));
  EXPECT_EQ(steps_of(replay), 49);
  EXPECT_EQ(speculator.stats().draft_tokens, 0);
}

// Of drafts that go wrong behind their first token little else is verified, and of those that go
// right all.
TEST(Speculator, DropsWhatGoesWrongAndKeepsWhatGoesRight) {
  Speculator speculator(options(), 4);
  int64_t verified = 0;
  int64_t accepted = 0;
  for (int request = 0; request < 40; ++request) {
    // What follows "7 8" in the prompt never follows it in the output.
    Tokens output;
    for (int i = 0; i < 30; ++i) output.insert(output.end(), {7, 8, 1000 + 100 * request + i});
    Replay replay(speculator, {7, 8, 9, 10, 11, 7, 8, 9, 10, 11}, output);
    steps_of(replay);
    if (request < 20) continue;
    verified += replay.counts().all().drafted;
    accepted += replay.counts().all().accepted;
  }
  EXPECT_GT(accepted, 20 * 25) << "8 behind 7";
  EXPECT_GT(static_cast<double>(accepted), 0.8 * static_cast<double>(verified));
  Replay replay(speculator, {1, 2}, counting(5000, 100), counting(5000, 100));
  EXPECT_LE(steps_of(replay), 20);
}

// What requests with predictions take, whose rows beside the first cost `row_cost` of a step each,
// over what they take without drafts. `cost` learns from them. `prediction_of(request, output)`
// makes the predictions. `off_steps`: the Speculator's count.
template <typename PredictionOf>
double cost_of_drafting(double row_cost, StepCost cost, int num_requests,
                        const PredictionOf& prediction_of, int64_t* off_steps = nullptr) {
  Speculator speculator(options(), 4);
  double seconds = 0.0;
  int tokens = 0;
  for (int request = 0; request < num_requests; ++request) {
    const Tokens output = counting(1000 * request, 100);
    Replay replay(speculator, {1, 2}, output, prediction_of(request, output));
    while (!replay.done()) {
      tokens += replay.step(cost);
      const double step = 1e-3 * (1.0 + row_cost * static_cast<double>(replay.drafted.size()));
      cost.observe({.rows = 1 + std::ssize(replay.drafted)}, step);
      speculator.settle(step);
      seconds += step;
    }
  }
  if (off_steps != nullptr) *off_steps = speculator.stats().off_steps;
  return seconds / (1e-3 * tokens);
}

// Of steps whose rows beside the first cost that much.
StepCost linear_cost(double row_cost) {
  const StepTimes::Point points[] = {
      {1, 1e-3}, {2, 1e-3 * (1.0 + row_cost)}, {32, 1e-3 * (1.0 + 31.0 * row_cost)}};
  return StepCost({.by_rows = points});
}

// Whatever share of the predictions is wrong, and whatever a row costs.
TEST(Speculator, NeverTakesLongerThanWithoutDrafts) {
  for (const double row_cost : {0.05, 0.4, 0.6, 0.8, 0.9}) {
    for (const int wrong_every : {2, 3, 5, 8, 20}) {
      const auto wrong_by_turns = [&](int request, Tokens prediction) {
        for (int i = request % wrong_every; i < 100; i += wrong_every) prediction[i] += 500;
        return prediction;
      };
      const double taken =
          cost_of_drafting(row_cost, linear_cost(row_cost), /*num_requests=*/40, wrong_by_turns);
      EXPECT_LT(taken, 1.01) << row_cost << " of a step a row, wrong every " << wrong_every;
      if (wrong_every == 20 && row_cost < 0.5) {
        EXPECT_LT(taken, 0.6);
      }
    }
  }
}

// And where rows beside others cost more than was predicted: what drafts promise is held against
// what they bring.
TEST(Speculator, FindsOutWhenRowsCostMoreThanPredicted) {
  for (const double row_cost : {0.4, 0.7, 0.9}) {
    for (const uint32_t right_of_ten : {4, 6, 7, 9}) {
      const auto wrong_at_random = [&](int request, Tokens prediction) {
        for (uint32_t i = 0; i < 100; ++i) {
          const uint32_t drawn = philox({i, static_cast<uint32_t>(request), 0, 0}, {5, 6})[0];
          if (drawn % 10 >= right_of_ten) prediction[i] += 500;
        }
        return prediction;
      };
      const double taken =
          cost_of_drafting(row_cost, linear_cost(0.4), /*num_requests=*/100, wrong_at_random);
      EXPECT_LT(taken, 1.01) << row_cost << " of a step a row, " << right_of_ten << " of ten right";
    }
  }
}

TEST(Speculator, CountsTheStepsThatItHoldsDraftsBackFrom) {
  const auto right = [](int, Tokens prediction) { return prediction; };
  const auto wrong = [](int, Tokens prediction) {
    for (size_t i = 0; i < prediction.size(); i += 2) prediction[i] += 500;
    return prediction;
  };
  constexpr int kRequests = 40;
  int64_t off_steps = 0;
  cost_of_drafting(0.1, linear_cost(0.1), kRequests, right, &off_steps);
  EXPECT_LT(off_steps, kRequests * 100 / 20) << "now and then, to measure";
  cost_of_drafting(2.0, linear_cost(0.1), kRequests, wrong, &off_steps);
  EXPECT_GT(off_steps, kRequests * 100 / 2);
}

TEST(Speculator, SourcesContinueEachOther) {
  Speculator speculator(options(/*forced=*/true), 4);
  // The prediction ends where the prompt goes on.
  Replay replay(speculator, {1, 2, 3, 50, 51, 52, 53}, {40, 41, 2, 3, 50, 51, 52, 53, 60},
                {40, 41, 2, 3});
  replay.step();
  EXPECT_EQ(replay.drafted, (Tokens{41, 2, 3, 50, 51, 52, 53}));
  EXPECT_GT(speculator.stats().by_source[0].accepted, 0);
  EXPECT_GT(speculator.stats().by_source[1].accepted, 0);
}

// What follows "7" in the prompt is 8 and 9 by turns; after either comes what the other had.
TEST(Speculator, VerifiesSecondChoicesBesideTheFirst) {
  const Tokens prompt = {7, 8, 20, 7, 9, 30, 7, 8, 21, 7, 9, 31, 7, 8, 22};
  for (const bool trees : {true, false}) {
    SpeculationOptions forced = options(/*forced=*/true);
    forced.trees = trees;
    Speculator speculator(forced, 4);
    Replay replay(speculator, prompt, {7, 9, 50, 7, 8, 51, 7, 9, 52, 7, 8, 53, 7, 9, 54});
    bool branched = false;
    while (!replay.done()) {
      replay.step();
      branched = branched || !replay.parents.empty();
    }
    EXPECT_EQ(branched, trees);
    const SpeculationStats& stats = speculator.stats();
    EXPECT_LE(stats.accepted_tokens, stats.draft_tokens);
    // Of five times behind a 7, one of both always comes.
    EXPECT_EQ(stats.accepted_at[0] >= 5, trees) << stats.accepted_at[0];
  }
}

TEST(Speculator, ATreesParentsComeBeforeTheirChildren) {
  Speculator speculator(options(/*forced=*/true), 4);
  Tokens prompt;
  for (int i = 0; i < 40; ++i) prompt.insert(prompt.end(), {7, 8 + i % 2, 10 + i % 3, 13 + i % 5});
  Replay replay(speculator, prompt, prompt);
  while (!replay.done()) {
    replay.step();
    for (int i = 0; i < static_cast<int>(replay.parents.size()); ++i) {
      ASSERT_LT(replay.parents[i], i);
      for (int j = 0; j < i; ++j) {
        ASSERT_FALSE(replay.parents[i] == replay.parents[j] &&
                     replay.drafted[i] == replay.drafted[j])
            << "the same token twice";
      }
    }
  }
}

TEST(Speculator, CountsByPlaceAndKeepsTheLimits) {
  SpeculationOptions limited = options(/*forced=*/true);
  limited.max_draft = 3;
  Speculator speculator(limited, 4);
  Replay replay(speculator, {1}, counting(100, 40), counting(100, 40));
  while (!replay.done()) {
    replay.step();
    EXPECT_LE(replay.drafted.size(), 3u);
  }
  const SpeculationStats& stats = speculator.stats();
  EXPECT_EQ(stats.accepted_at[0], stats.drafts);
  EXPECT_EQ(stats.accepted_at[3], 0);
  EXPECT_EQ(stats.accepted_at[0] + stats.accepted_at[1] + stats.accepted_at[2],
            stats.accepted_tokens);
}

TEST(Speculator, PlacesAreGivenAgain) {
  Speculator speculator(options(), 2);
  const int first = speculator.begin({});
  const int second = speculator.begin({});
  EXPECT_NE(first, second);
  speculator.end(first);
  EXPECT_EQ(speculator.begin({}), first);
}

}  // namespace
}  // namespace forerun
