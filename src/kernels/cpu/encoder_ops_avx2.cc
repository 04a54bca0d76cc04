#include "kernels/cpu/backends.h"
#include "kernels/cpu/encoder_ops_inl.h"

namespace forerun {

const EncoderOps& encoder_ops_avx2() {
  return kEncoderOps;
}

}  // namespace forerun
