#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"

namespace forerun {

// Families of instructions a kernel may use. Each includes those before it. Within one family every
// result depends only on the operands (docs/architecture.md, promise 1); across families the
// integer products agree bit for bit and the rest to rounding.
enum class Isa {
  kGeneric,     // any x86-64
  kAvx2,        // + FMA, F16C
  kAvx512,      // F, BW, VL, DQ
  kAvx512Vnni,  // + VNNI; attention and BF16 weights by bf16 where it has AVX512_BF16
  kAmx,         // + AMX tiles for int8 and bf16
};

// The names FORERUN_ISA takes: generic, avx2, avx512, avx512_vnni, amx.
std::string_view isa_name(Isa isa);

// What this processor (and, for AMX, this kernel) can run, in ascending order.
const std::vector<Isa>& available_isas();

// FORERUN_ISA when set, else the best available. An Error names an unknown or absent family.
Result<Isa> choose_isa();

// Whether the processor has vdpbf16ps.
bool has_bf16_dot();

}  // namespace forerun
