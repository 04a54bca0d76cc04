#include "tensor/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace forerun {
namespace {

TEST(Arena, GivesZeroedPiecesThatDoNotOverlap) {
  struct Taken {
    ArenaPiece piece;
    size_t size_bytes;
  };
  Arena arena;
  std::vector<Taken> taken;
  // Small ones, odd ones, ones that fill a chunk to its end, and ones larger than any chunk.
  for (const size_t size : {1u, 63u, 64u, 65u, 0u, 5u << 20, 11u << 20, 16u << 20, 40u << 20, 7u}) {
    const ArenaPiece piece = arena.take(size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(piece.data()) % 64, 0u);
    EXPECT_EQ(std::count(piece.data(), piece.data() + size, 0), static_cast<int64_t>(size));
    std::memset(piece.data(), static_cast<int>(taken.size()) + 1, size);
    taken.push_back({piece, size});
  }
  const Arena moved = std::move(arena);
  for (size_t i = 0; i < taken.size(); ++i) {
    const auto [piece, size] = taken[i];
    EXPECT_EQ(std::count(piece.data(), piece.data() + size, i + 1), static_cast<int64_t>(size));
  }
}

}  // namespace
}  // namespace forerun
