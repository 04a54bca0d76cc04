#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <new>
#include <vector>

#include "sampling/logprobs.h"
#include "sampling/sampler.h"

namespace {
thread_local long num_allocations = 0;
}  // namespace

// Replaces the global operators for this test program. Out of line, or GCC takes the malloc in one
// and the free in the other for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++num_allocations;
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++num_allocations;
  return std::malloc(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace forerun {
namespace {

constexpr int kVocabSize = 5000;

SamplingParams everything() {
  SamplingParams params;
  params.temperature = 0.8f;
  params.top_k = 100;
  params.top_p = 0.9f;
  params.min_p = 0.01f;
  params.repetition_penalty = 1.1f;
  params.frequency_penalty = 0.2f;
  params.presence_penalty = 0.1f;
  params.logit_bias = {{1, 2.0f}, {2, -3.0f}};
  return params;
}

void sample_one(const std::vector<float>& logits, const SamplePoint& point,
                SamplerWorkspace& workspace) {
  std::array<TokenLogprob, kMaxTopLogprobs> top;
  const Sampled sampled = *sample(logits, point, workspace);
  logprobs_of(sampled.distribution, sampled.token_id, top, workspace);
  logprobs_of(*raw_distribution(logits, workspace), sampled.token_id, top, workspace);
}

TEST(Allocation, NoneInTheDecodeLoop) {
  std::vector<float> logits(kVocabSize);
  for (int id = 0; id < kVocabSize; ++id) logits[id] = static_cast<float>(id * 7919 % 1000) * 0.01f;
  const std::vector<uint32_t> allowed(kVocabSize / 32 + 1, 0x77777777);
  SamplerWorkspace workspace(kVocabSize, available_isas().back());
  PenaltyState penalties(kVocabSize, /*max_tokens=*/64);
  PenaltyState draft(kVocabSize, /*max_tokens=*/64);
  penalties.reset(std::vector<int32_t>{1, 2, 3});
  PenaltyState copy(penalties);
  const SamplingParams all = everything();
  const SamplingParams plain;
  SamplingParams greedy;
  greedy.temperature = 0.0f;

  const long before = num_allocations;
  for (uint32_t position = 0; position < 30; ++position) {
    sample_one(logits, {all, &penalties, allowed, {1, 0, position}}, workspace);
    sample_one(logits, {plain, nullptr, {}, {1, 0, position}}, workspace);
    sample_one(logits, {greedy, nullptr, {}, {1, 0, position}}, workspace);
    penalties.push(static_cast<int32_t>(position));
    copy.push(static_cast<int32_t>(100 + position));
    draft = penalties;
    draft.push(4000);
    draft.pop();
  }
  EXPECT_EQ(num_allocations - before, 0);

  int* volatile counted = new int;  // volatile, or the compiler leaves out the pair
  delete counted;
  EXPECT_EQ(num_allocations - before, 1);
}

}  // namespace
}  // namespace forerun
