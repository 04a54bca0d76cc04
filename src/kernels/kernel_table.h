#pragma once

#include "kernels/attention.h"
#include "kernels/isa.h"
#include "kernels/matmul.h"
#include "kernels/row_ops.h"

namespace forerun {

// The kernels of one instruction-set family.
struct KernelTable {
  Isa isa;
  MatmulFunction matmul;
  const RowOps& rows;
  const AttentionOps& attention;
  // What stands in the system fingerprint: the family, and "+bf16" where attention uses it.
  std::string_view name;
};

// `isa` is one of available_isas().
const KernelTable& kernel_table(Isa isa);

}  // namespace forerun
