#pragma once

#include "kernels/attention.h"
#include "kernels/isa.h"
#include "kernels/matmul.h"
#include "kernels/row_ops.h"

namespace forerun {

// What products read of their left side beside the floats.
struct OperandForms {
  bool int8 = false;
  bool bf16 = false;

  OperandForms operator|(const OperandForms& other) const {
    return {int8 || other.int8, bf16 || other.bf16};
  }
};

// The kernels of one instruction-set family.
struct KernelTable {
  Isa isa;
  MatmulFunction matmul;
  bool bf16_products;  // BF16 weights read activations rounded to bf16
  const RowOps& rows;
  const AttentionOps& (*attention)(KvType);
  KvType kv_type;  // the type of keys and values where nobody asks for one
  // What stands in the system fingerprint: the family, and "+bf16" where attention and products of
  // BF16 weights round to it.
  std::string_view name;

  OperandForms forms_of(const PackedMatrix& weight) const {
    return {weight.is_quantized(), weight.dtype() == DType::kBF16 && bf16_products};
  }
};

// `isa` is one of available_isas().
const KernelTable& kernel_table(Isa isa);

}  // namespace forerun
