#include "product_type.h"

#include <gtest/gtest.h>

#include "kernels/isa.h"

namespace forerun {
namespace {

TEST(ProductType, IsTheOneThatIsAskedFor) {
  EXPECT_FALSE(uses_bf16(ProductType::kF32));
  EXPECT_TRUE(uses_bf16(ProductType::kBf16));
}

TEST(ProductType, IsF32WhereTheProcessorHasNothingElse) {
  // Where it has, a timing decides.
  EXPECT_TRUE(has_bf16_dot() || !uses_bf16(ProductType::kAuto));
}

}  // namespace
}  // namespace forerun
