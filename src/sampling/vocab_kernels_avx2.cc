#include "sampling/lanes_avx2.h"
#include "sampling/vocab_kernels_lanes.h"

namespace forerun {

const VocabKernels kVocabKernelsAvx2 = make_vocab_kernels<Avx2Lanes>();

}  // namespace forerun
