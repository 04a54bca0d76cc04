#include "kernels/cpu/attention_f32_inl.h"
#include "kernels/cpu/backends.h"

namespace forerun {

const AttentionOps& attention_avx2(KvType type) {
  return attention_in_f32(type);
}

}  // namespace forerun
