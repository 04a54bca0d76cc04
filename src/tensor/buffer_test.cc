#include "tensor/buffer.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <new>
#include <vector>

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

// Of a buffer's pages of 4 KB, those that are there.
std::vector<bool> pages_there(Buffer& buffer) {
  std::vector<unsigned char> there((buffer.size_bytes() + 4095) / 4096);
  EXPECT_EQ(mincore(buffer.data(), buffer.size_bytes(), there.data()), 0);
  std::vector<bool> flags;
  for (const unsigned char page : there) flags.push_back((page & 1) != 0);
  return flags;
}

TEST(Buffer, CommitsWhatIsAskedFor) {
  Buffer buffer(10 * 4096 + 1);  // too small for large pages
  buffer.data()[4 * 4096] = 7;
  std::vector<bool> expected(11, false);
  expected[4] = true;
  EXPECT_EQ(pages_there(buffer), expected);
  buffer.commit(3 * 4096 + 5, 5 * 4096 + 1);
  expected[3] = expected[5] = true;
  EXPECT_EQ(pages_there(buffer), expected);
  EXPECT_EQ(buffer.data()[4 * 4096], 7);
  EXPECT_EQ(buffer.data()[5 * 4096], 0);
  buffer.commit(0, buffer.size_bytes());
  EXPECT_EQ(pages_there(buffer), std::vector<bool>(11, true));
  buffer.commit(8, 8);
}

TEST(Buffer, ThrowsWhenTheAddressSpaceIsUsedUp) {
  EXPECT_THROW(Buffer(size_t{1} << 62), std::bad_alloc);
}

}  // namespace
}  // namespace forerun
