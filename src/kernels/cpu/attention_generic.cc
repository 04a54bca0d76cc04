#include "kernels/cpu/attention_f32_inl.h"
#include "kernels/cpu/backends.h"

namespace forerun {

const AttentionOps& attention_generic() {
  return kAttentionOps<F32Dot>;
}

}  // namespace forerun
