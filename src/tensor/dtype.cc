#include "tensor/dtype.h"

#include "base/check.h"

namespace forerun {

const DTypeTraits& traits(DType dtype) {
  static constexpr DTypeTraits kTable[] = {
      {"F32", 1, 4},    {"F16", 1, 2},    {"BF16", 1, 2},
      {"Q8_0", 32, 34}, {"Q4_0", 32, 18}, {"Q4_1", 32, 20},
  };
  const auto index = static_cast<size_t>(dtype);
  CHECK(index < std::size(kTable), "unknown dtype");
  return kTable[index];
}

}  // namespace forerun
