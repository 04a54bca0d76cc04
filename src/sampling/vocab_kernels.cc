#include "sampling/vocab_kernels.h"

namespace forerun {

const VocabKernels& vocab_kernels(Isa isa) {
  switch (isa) {
    case Isa::kGeneric:
      return kVocabKernelsGeneric;
    case Isa::kAvx2:
      return kVocabKernelsAvx2;
    case Isa::kAvx512:
    case Isa::kAvx512Vnni:
    case Isa::kAmx:
      return kVocabKernelsAvx512;
  }
  return kVocabKernelsGeneric;
}

}  // namespace forerun
