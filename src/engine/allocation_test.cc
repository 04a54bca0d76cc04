// No allocation in a step: from step()'s entry to its return, no thread allocates. A program of its
// own, since it counts every allocation the process makes.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>

#include "engine/engine_fixture.h"

namespace {
std::atomic<long> num_allocations{0};
}  // namespace

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// A sanitizer brings its own allocator, and a hook.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*,
                                                                             size_t),
                                                         void (*free_hook)(const volatile void*));
namespace {
const int installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, size_t) { num_allocations.fetch_add(1, std::memory_order_relaxed); },
    [](const volatile void*) {});
}  // namespace
#else
// glibc's own functions behind the names that everything, operator new included, allocates by.
extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

void* malloc(size_t size) {
  num_allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  num_allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) {
  num_allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(memory, size);
}
void* memalign(size_t alignment, size_t size) {
  num_allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  return memalign(alignment, size);
}
int posix_memalign(void** memory, size_t alignment, size_t size) {
  *memory = memalign(alignment, size);
  return *memory == nullptr ? 12 : 0;  // ENOMEM
}
}
#endif

namespace forerun {
namespace {

// A string that comes in many tokens without ever being whole, whatever the tokens are.
std::vector<std::string> never_matched() {
  return {std::string(40, 'a') + "!", "!!"};
}

std::vector<Request> requests_of_every_kind() {
  std::vector<Request> requests = mixed_requests(tiny_model().descriptor().vocab_size);
  for (Request& request : requests) {
    request.max_tokens = 60;
    request.stop_ids.clear();
    request.ignore_eos = true;
    request.prediction = request.prompt;
    request.conversation = 1;
    if (!request.stop_strings.empty()) request.stop_strings = never_matched();
    // What is called back may do as it likes; here it does nothing.
    request.on_token = [](const TokenEvent&) {};
    request.on_finish = [](const FinishEvent&) {};
  }
  return requests;
}

// Steps until no sequence waits for its place.
void admit_all(Engine& engine) {
  do {
    ASSERT_TRUE(engine.step());
  } while (engine.stats().waiting > 0);
}

// With states kept and drafts verified, and without; and with models that draft.
enum class With : uint8_t { kNothing, kDrafts, kDraftModel, kHead };
class Allocation : public testing::TestWithParam<With> {};
INSTANTIATE_TEST_SUITE_P(With, Allocation,
                         testing::Values(With::kNothing, With::kDrafts, With::kDraftModel,
                                         With::kHead));

EngineOptions options_with(With what) {
  EngineOptions options = tiny_options();
  options.keep_states = what != With::kNothing;
  options.keep_finals = what == With::kDrafts || what == With::kHead;
  options.max_rejected_rows = 100;
  SpeculationOptions& speculation = options.speculation;
  speculation.history = speculation.prediction = options.keep_states;
  if (what == With::kDraftModel) speculation.draft_model = &shallow_model();
  if (what == With::kHead) speculation.eagle3 = &tiny_head();
  speculation.forced = true;
  return options;
}

void expect_no_allocation(const Model& model, With what) {
  for (const Isa isa : available_isas()) {
    Team team(2);
    EngineOptions options = options_with(what);
    options.kv_tokens = 32 * 32 * 8;
    Result<std::unique_ptr<Engine>> made = Engine::create(model, kernel_table(isa), team, options);
    ASSERT_TRUE(made.ok());
    Engine& engine = **made;
    for (Request& request : requests_of_every_kind()) {
      ASSERT_TRUE(engine.add(std::move(request)).ok());
    }
    admit_all(engine);
    const long before = num_allocations;
    int steps = 0;
    while (engine.step()) ++steps;
    EXPECT_EQ(num_allocations - before, 0) << isa_name(isa) << " in " << steps << " steps";
    EXPECT_GT(steps, what != With::kNothing ? 10 : 50);
  }
}

TEST_P(Allocation, NoneInAnyStepOfAdmittedSequences) {
  expect_no_allocation(tiny_model(), GetParam());
}

TEST_P(Allocation, NoneWithWindowsAndNorms) {
  expect_no_allocation(windowed_model(), GetParam());
}

// Prefill in chunks beside decoding, a page taken every 32 tokens, preemption and its recompute.
TEST_P(Allocation, NoneInPrefillAndPreemption) {
  Team team(2);
  EngineOptions options = options_with(GetParam());
  options.kv_tokens = 12 * 32;
  options.max_step_rows = 40;
  Result<std::unique_ptr<Engine>> made =
      Engine::create(tiny_model(), kernel_table(available_isas().back()), team, options);
  ASSERT_TRUE(made.ok());
  Engine& engine = **made;
  for (uint32_t i = 0; i < 3; ++i) {
    Request request;
    request.prompt = random_tokens(60, 320, i);
    request.max_tokens = 200;
    request.ignore_eos = true;
    ASSERT_TRUE(engine.add(std::move(request)).ok());
  }
  engine.step();
  ASSERT_EQ(engine.stats().running, 3);
  const long before = num_allocations;
  while (engine.step()) {
  }
  EXPECT_EQ(num_allocations - before, 0);
  EXPECT_GT(engine.stats().preemptions, 0);
}

TEST(AllocationCount, Counts) {
  const long before = num_allocations;
  Team team(2);
  EXPECT_GT(num_allocations - before, 0) << "other threads' too";
  const long alone = num_allocations;
  void* volatile memory = std::malloc(100);
  memory = std::realloc(memory, 10'000);  // NOLINT(bugprone-suspicious-realloc-usage)
  std::free(memory);
  delete new std::string(100, 'x');
  // A sanitizer's hook may count a reallocation twice, and its own work in a thread.
  EXPECT_GE(num_allocations - alone, 4);
  team.run([](int member) {
    if (member == 1) delete new std::string(100, 'x');
  });
  EXPECT_GE(num_allocations - alone, 6);
}

}  // namespace
}  // namespace forerun
