#include "sampling/lanes_generic.h"
#include "sampling/vocab_kernels_lanes.h"

namespace forerun {

const VocabKernels generic_vocab_kernels = make_vocab_kernels<GenericLanes>();

}  // namespace forerun
