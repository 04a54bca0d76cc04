#include "kernels/cpu/backends.h"
#include "kernels/cpu/row_ops_inl.h"

namespace forerun {

const RowOps& row_ops_avx512() {
  return kRowOps;
}

}  // namespace forerun
