#include "kernels/cpu/attention_f32_inl.h"
#include "kernels/cpu/backends.h"

namespace forerun {

const AttentionOps& attention_avx2() {
  return kAttentionOps<F32Dot>;
}

}  // namespace forerun
