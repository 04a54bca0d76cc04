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
};

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
    int64_t num_expected =
        2 * shape.num_layers * shape.num_kv_heads * padded_head_dim(shape.head_dim);
    for (const SideArray& array : shape.side_arrays) num_expected += array.bytes_per_token;
    EXPECT_EQ(num_elements, num_expected * 3 * kPageTokens) << "a page does not begin as zeros";
  }
}

TEST(KvPool, BeginsPagesAndSideArraysOnACacheLine) {
  KvPool pool(kShapes[1], /*num_pages=*/3);
  EXPECT_EQ(kShapes[1].page_bytes() % 64, 0);
  for (int page = 0; page < 3; ++page) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(pool.keys(page, 0, 0)) % 64, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(pool.side(page, 1, 0)) % 64, 0u);
  }
  EXPECT_EQ(pool.side(2, 0, 0) - pool.side(0, 0, 0), 2 * kShapes[1].page_bytes());
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
  for (const int to_page : {0, 1}) {
    for (int from = 0; from < kPageTokens; ++from) {
      for (int to = 0; to < kPageTokens; ++to) {
        if (to_page == 0 && to == from) continue;
        KvPool pool(kShapes[1], /*num_pages=*/2);
        write_slot(pool, 0, from, 1);
        const int neighbour = to ^ 1;  // shares every pair with `to`
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

}  // namespace
}  // namespace forerun
