#include "kernels/cpu/backends.h"
#include "kernels/cpu/matmul_dense_inl.h"

namespace forerun {

void matmul_dense_avx2(const MatmulArgs& args) {
  dense_by_fma(args);
}

}  // namespace forerun
