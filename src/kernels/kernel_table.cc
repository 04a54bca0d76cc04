#include "kernels/kernel_table.h"

#include "base/check.h"
#include "kernels/cpu/backends.h"

namespace forerun {

const KernelTable& kernel_table(Isa isa) {
  static const KernelTable kGeneric = {Isa::kGeneric, matmul_generic, row_ops_generic(),
                                       attention_generic(), "generic"};
  static const KernelTable kAvx2 = {Isa::kAvx2, matmul_avx2, row_ops_avx2(), attention_avx2(),
                                    "avx2"};
  static const KernelTable kAvx512 = {Isa::kAvx512, matmul_avx512, row_ops_avx512(),
                                      attention_avx512(), "avx512"};
  static const KernelTable kVnni =
      has_bf16_dot() ? KernelTable{Isa::kAvx512Vnni, matmul_vnni, row_ops_avx512(),
                                   attention_bf16(), "avx512_vnni+bf16"}
                     : KernelTable{Isa::kAvx512Vnni, matmul_vnni, row_ops_avx512(),
                                   attention_avx512(), "avx512_vnni"};
  static const KernelTable kAmx = {Isa::kAmx, matmul_amx, row_ops_avx512(), attention_bf16(),
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
