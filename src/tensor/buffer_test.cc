#include "tensor/buffer.h"

#include <gtest/gtest.h>

#include <new>

namespace forerun {
namespace {

TEST(Buffer, IsZeroFilledAndAligned) {
  for (const size_t size_bytes : {size_t{1}, size_t{4096}, (size_t{9} << 20) + 1}) {
    Buffer buffer(size_bytes);
    EXPECT_EQ(buffer.size_bytes(), size_bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
    EXPECT_EQ(buffer.data()[0], 0);
    EXPECT_EQ(buffer.data()[size_bytes - 1], 0);
  }
}

TEST(Buffer, ThrowsWhenTheAddressSpaceIsUsedUp) {
  EXPECT_THROW(Buffer(size_t{1} << 62), std::bad_alloc);
}

}  // namespace
}  // namespace forerun
