#include "base/memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>

#include "base/pacer.h"

namespace forerun {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kLarge = size_t{2} << 20;

uint8_t* map(size_t size_bytes) {
  void* memory = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                      /*fd=*/-1, /*offset=*/0);
  return memory == MAP_FAILED ? nullptr : static_cast<uint8_t*>(memory);
}

bool is_mapped(uint8_t* page) {
  unsigned char there;
  return mincore(page, kPage, &there) == 0;
}

// Some bytes behind a mapping's begin, to its end, and one that ends amid a page.
void expect_unmaps() {
  for (const size_t size : {kPage, kLarge, 3 * kLarge + 5 * kPage, 2 * kLarge + 17}) {
    const size_t pages = (size + kPage - 1) / kPage;
    uint8_t* const memory = map((pages + 2) * kPage);
    ASSERT_NE(memory, nullptr);
    unmap(memory + kPage, size);
    EXPECT_TRUE(is_mapped(memory));
    EXPECT_TRUE(is_mapped(memory + (pages + 1) * kPage));
    for (size_t page = 1; page <= pages; ++page) {
      ASSERT_FALSE(is_mapped(memory + page * kPage)) << size << ": " << page;
    }
    munmap(memory, kPage);
    munmap(memory + (pages + 1) * kPage, kPage);
  }
}

TEST(Unmap, GivesBackWhatItIsTold) {
  expect_unmaps();
}

TEST(Unmap, GivesBackTheSameInPieces) {
  int pieces = 0;
  double now = 0.0;
  const Pacer pacer([] { return true; }, {.now = [&] { return now += 1.0; },
                                          .used = [&] { return now; },
                                          .sleep = [&](double) { ++pieces; }});
  expect_unmaps();
  EXPECT_GE(pieces, 1 + 1 + 3 + 2);
}

}  // namespace
}  // namespace forerun
