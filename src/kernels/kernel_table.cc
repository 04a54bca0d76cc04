#include "kernels/kernel_table.h"

#include "base/check.h"
#include "kernels/cpu/backends.h"

namespace forerun {
namespace {

template <MatmulFunction quantized, MatmulFunction dense>
void matmul(const MatmulArgs& args) {
  return args.weight->is_quantized() ? quantized(args) : dense(args);
}

}  // namespace

const KernelTable& kernel_table(Isa isa) {
  static const KernelTable kGeneric = {Isa::kGeneric,
                                       matmul<matmul_generic, matmul_dense_generic>,
                                       false,
                                       row_ops_generic(),
                                       attention_generic,
                                       KvType::kF16,
                                       "generic"};
  static const KernelTable kAvx2 = {Isa::kAvx2,     matmul<matmul_avx2, matmul_dense_avx2>,
                                    false,          row_ops_avx2(),
                                    attention_avx2, KvType::kF16,
                                    "avx2"};
  static const KernelTable kAvx512 = {Isa::kAvx512,
                                      matmul<matmul_avx512, matmul_dense_avx512>,
                                      false,
                                      row_ops_avx512(),
                                      attention_avx512,
                                      KvType::kF16,
                                      "avx512"};
  // bf16 dot products round both sides anyway. Rounding once, at the write, replaces rounding at
  // every read.
  static const KernelTable kVnni = has_bf16_dot()
                                       ? KernelTable{Isa::kAvx512Vnni,
                                                     matmul<matmul_vnni, matmul_dense_bf16>,
                                                     true,
                                                     row_ops_avx512(),
                                                     attention_bf16,
                                                     KvType::kBF16,
                                                     "avx512_vnni+bf16"}
                                       : KernelTable{Isa::kAvx512Vnni,
                                                     matmul<matmul_vnni, matmul_dense_avx512>,
                                                     false,
                                                     row_ops_avx512(),
                                                     attention_vnni,
                                                     KvType::kF16,
                                                     "avx512_vnni"};
  static const KernelTable kAmx = {Isa::kAmx,      matmul<matmul_amx, matmul_dense_amx>,
                                   true,           row_ops_avx512(),
                                   attention_bf16, KvType::kBF16,
                                   "amx+bf16"};
  switch (isa) {
    case Isa::kGeneric:
      return kGeneric;
    case Isa::kAvx2:
      return kAvx2;
    case Isa::kAvx512:
      return kAvx512;
    case Isa::kAvx512Vnni:
      return kVnni;
    case Isa::kAmx:
      return kAmx;
  }
  CHECK(false, "unknown instruction set");
}

}  // namespace forerun
