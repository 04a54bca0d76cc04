#include "sampling/lanes_avx2.h"
#include "sampling/vocab_kernels_lanes.h"

namespace forerun {

const VocabKernels avx2_vocab_kernels = make_vocab_kernels<Avx2Lanes>();

}  // namespace forerun
