#include "sampling/lanes_avx512.h"
#include "sampling/vocab_kernels_lanes.h"

namespace forerun {

const VocabKernels avx512_vocab_kernels = make_vocab_kernels<Avx512Lanes>();

}  // namespace forerun
