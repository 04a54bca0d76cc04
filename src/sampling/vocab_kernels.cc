#include "sampling/vocab_kernels.h"

namespace forerun {

const VocabKernels& vocab_kernels(Isa isa) {
  switch (isa) {
    case Isa::kGeneric:
      return generic_vocab_kernels;
    case Isa::kAvx2:
      return avx2_vocab_kernels;
    case Isa::kAvx512:
    case Isa::kAvx512Vnni:
    case Isa::kAmx:
      return avx512_vocab_kernels;
  }
  return generic_vocab_kernels;
}

}  // namespace forerun
