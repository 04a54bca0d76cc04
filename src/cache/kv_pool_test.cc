#include "cache/kv_pool.h"

#include <gtest/gtest.h>

#include <set>

#include "cache/slot_contents.h"

namespace forerun {
namespace {

// Head dimensions that are and are not a multiple of 16, side arrays that do not fill a line.
const KvShape kShapes[] = {
    {1, 1, 16, {}},
    {2, 3, 24, {{"states", 6}, {"head", 130}}},
    {2, 3, 24, {{"states", 6}, {"head", 130}}, KvType::kInt8},
};

// The elements of a token, and the scales of int8.
int64_t elements_of_token(const KvShape& shape) {
  const int64_t scales = shape.type == KvType::kInt8 ? 1 : 0;
  int64_t count =
      2 * shape.num_layers * shape.num_kv_heads * (padded_head_dim(shape.head_dim) + scales);
  for (const SideArray& array : shape.side_arrays) count += array.bytes_per_token;
  return count;
}

TEST(KvPool, GivesEveryElementAPlaceOfItsOwn) {
  for (const KvShape& shape : kShapes) {
    KvPool pool(shape, /*num_pages=*/3);
    std::set<const void*> places;
    int64_t num_elements = 0;
    for (int page = 0; page < 3; ++page) {
      for (int slot = 0; slot < kPageTokens; ++slot) {
        visit_slot(pool, page, slot, 0, [&](auto& element, auto) {
          places.insert(&element);
          ++num_elements;
          return element == 0;
        });
      }
    }
    EXPECT_EQ(static_cast<int64_t>(places.size()), num_elements);
    EXPECT_EQ(num_elements, elements_of_token(shape) * 3 * kPageTokens)
        << "a page does not begin as zeros";
  }
}

TEST(KvPool, BeginsPagesAndSideArraysOnACacheLine) {
  for (const KvShape& shape : kShapes) {
    if (shape.side_arrays.empty()) continue;
    KvPool pool(shape, /*num_pages=*/3);
    EXPECT_EQ(shape.page_bytes() % 64, 0);
    for (int page = 0; page < 3; ++page) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(pool.keys(page, 0, 0)) % 64, 0u);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(pool.side(page, 1, 0)) % 64, 0u);
    }
    EXPECT_EQ(pool.side(2, 0, 0) - pool.side(0, 0, 0), 2 * shape.page_bytes());
  }
}

TEST(KvPool, TellsWhatATokenAndAPageTake) {
  const KvShape halves = {30, 3, 64, {}, KvType::kF16};
  EXPECT_EQ(halves.token_bytes(), 2 * 30 * 3 * 64 * 2);
  EXPECT_EQ(halves.page_bytes(), halves.token_bytes() * kPageTokens);
  const KvShape integers = {30, 3, 64, {}, KvType::kInt8};
  EXPECT_EQ(integers.token_bytes(), 2 * 30 * 3 * (64 + 4));
  EXPECT_EQ(integers.page_bytes(), integers.token_bytes() * kPageTokens);
  // Dimensions that only fill up a vector take memory and are not counted as read.
  const KvShape padded = {1, 1, 24, {}, KvType::kInt8};
  EXPECT_EQ(padded.token_bytes(), 2 * (24 + 4));
  EXPECT_EQ(padded.page_bytes(), 2 * (32 + 4) * kPageTokens);
}

TEST(KvPool, CopiesTheFirstSlotsOfAPageAndNoMore) {
  for (const KvShape& shape : kShapes) {
    for (int num_slots = 0; num_slots <= kPageTokens; ++num_slots) {
      KvPool pool(shape, /*num_pages=*/2);
      for (int slot = 0; slot < kPageTokens; ++slot) {
        write_slot(pool, 0, slot, slot);
        write_slot(pool, 1, slot, 100 + slot);
      }
      pool.copy_page(0, 1, num_slots);
      for (int slot = 0; slot < kPageTokens; ++slot) {
        EXPECT_TRUE(slot_holds(pool, 0, slot, slot));
        EXPECT_TRUE(slot_holds(pool, 1, slot, slot < num_slots ? slot : 100 + slot))
            << slot << " of " << num_slots;
      }
    }
  }
}

TEST(KvPool, CopiesOneTokenBetweenAnyTwoSlots) {
  for (const KvShape& shape : kShapes) {
    for (const int to_page : {0, 1}) {
      for (int from = 0; from < kPageTokens; ++from) {
        for (int to = 0; to < kPageTokens; ++to) {
          if (to_page == 0 && to == from) continue;
          KvPool pool(shape, /*num_pages=*/2);
          write_slot(pool, 0, from, 1);
          const int neighbour = to ^ 1;  // shares every cell with `to`
          if (to_page == 1 || neighbour != from) write_slot(pool, to_page, neighbour, 2);
          pool.copy_token(0, from, to_page, to);
          ASSERT_TRUE(slot_holds(pool, 0, from, 1));
          ASSERT_TRUE(slot_holds(pool, to_page, to, 1)) << from << " to " << to;
          if (to_page == 1 || neighbour != from) {
            ASSERT_TRUE(slot_holds(pool, to_page, neighbour, 2)) << from << " to " << to;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace forerun
