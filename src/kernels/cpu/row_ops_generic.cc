#include "kernels/cpu/backends.h"
#include "kernels/cpu/row_ops_inl.h"

namespace forerun {

const RowOps& row_ops_generic() {
  return kRowOps;
}

}  // namespace forerun
