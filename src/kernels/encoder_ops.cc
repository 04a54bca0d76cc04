#include "kernels/encoder_ops.h"

#include "kernels/cpu/backends.h"

namespace forerun {

const EncoderOps& encoder_ops(Isa isa) {
  switch (isa) {
    case Isa::kGeneric:
      return encoder_ops_generic();
    case Isa::kAvx2:
      return encoder_ops_avx2();
    default:
      return encoder_ops_avx512();
  }
}

}  // namespace forerun
