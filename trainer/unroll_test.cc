#include "unroll.h"

#include <gtest/gtest.h>

#include <vector>

#include "trainer_fixture.h"

namespace forerun {
namespace {

constexpr int64_t kWidth = kTinySizes.d_model;
constexpr int64_t kSlots = 9;
constexpr int kSteps = 3;

class UnrollNeeded : public testing::Test {
 protected:
  UnrollNeeded() {
    for (const HeadTensor& row : kHeadTensors) {
      head.*row.tensor = 8 * (head.*row.tensor).to(at::kDouble);
    }
  }
  std::vector<StepOutputs> outputs(std::span<const RowRange> needed) const {
    return unroll(head, embeddings, states, kFirstBase, kSteps, {}, needed);
  }

  static constexpr int64_t kFirstBase = 2;
  Head head = make_tiny_trainer_head(kTinySizes);
  at::Tensor embeddings =
      8 * tiny_tensor("embeddings", {3, kSlots + kSteps - 1, kWidth}).to(at::kDouble);
  at::Tensor states = 8 * tiny_tensor("states", {3, kSlots, 3 * kWidth}).to(at::kDouble);
  const std::vector<RowRange> ranges = {{2, 7}, {4, 9}, {3, 4}};
};

TEST_F(UnrollNeeded, GivesTheSameThereAndZerosElsewhere) {
  const std::vector<StepOutputs> all = outputs({});
  const std::vector<StepOutputs> some = outputs(ranges);
  for (size_t step = 0; step < kSteps; ++step) {
    for (int64_t example = 0; example < 3; ++example) {
      const auto [first, end] = ranges[static_cast<size_t>(example)];
      for (int64_t slot = kFirstBase; slot < kSlots; ++slot) {
        const at::Tensor wanted = all[step].bases[example][slot - kFirstBase];
        const at::Tensor found = some[step].bases[example][slot - kFirstBase];
        EXPECT_GT(wanted.abs().max().item<double>(), 1e-3);
        const bool is_needed = slot >= first && slot < end;
        EXPECT_TRUE(found.allclose(is_needed ? wanted : at::zeros_like(wanted), 1e-12, 1e-12))
            << "step " << step << " example " << example << " slot " << slot;
      }
    }
  }
}

// What a record's end is filled up with.
TEST_F(UnrollNeeded, ReadsNothingBehindTheLastBase) {
  const std::vector<StepOutputs> before = outputs(ranges);
  states[0].slice(0, 7).fill_(5.0);
  states[2].slice(0, 4).fill_(-5.0);
  embeddings[0].slice(0, 7 + kSteps - 1).fill_(5.0);
  const std::vector<StepOutputs> after = outputs(ranges);
  for (size_t step = 0; step < kSteps; ++step) {
    EXPECT_TRUE(after[step].bases.equal(before[step].bases));
  }
}

}  // namespace
}  // namespace forerun
