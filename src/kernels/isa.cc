#include "kernels/isa.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace forerun {
namespace {

constexpr std::string_view kNames[] = {"generic", "avx2", "avx512", "avx512_vnni", "amx"};

// AMX state is off until a process asks for it (arch_prctl ARCH_REQ_XCOMP_PERM, XTILEDATA).
bool request_amx() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  const bool has_tiles = (edx & (1u << 24)) != 0 && (edx & (1u << 25)) != 0;
  constexpr long kRequestPermission = 0x1023;
  constexpr long kTileData = 18;
  return has_tiles && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

std::vector<Isa> detect() {
  __builtin_cpu_init();
  std::vector<Isa> found = {Isa::kGeneric};
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return found;
  found.push_back(Isa::kAvx2);
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) {
    return found;
  }
  found.push_back(Isa::kAvx512);
  if (!__builtin_cpu_supports("avx512vnni")) return found;
  found.push_back(Isa::kAvx512Vnni);
  if (has_bf16_dot() && request_amx()) found.push_back(Isa::kAmx);
  return found;
}

}  // namespace

std::string_view isa_name(Isa isa) {
  return kNames[static_cast<int>(isa)];
}

const std::vector<Isa>& available_isas() {
  static const std::vector<Isa> found = detect();
  return found;
}

Result<Isa> choose_isa() {
  const char* wish = std::getenv("FORERUN_ISA");
  if (wish == nullptr || *wish == '\0') return available_isas().back();
  std::string names;
  for (const Isa isa : available_isas()) {
    if (isa_name(isa) == wish) return isa;
    names += (names.empty() ? "" : ", ") + std::string(isa_name(isa));
  }
  return Error{"FORERUN_ISA is '" + std::string(wish) + "'; this machine has: " + names};
}

bool has_bf16_dot() {
  return __builtin_cpu_supports("avx512bf16") != 0;
}

}  // namespace forerun
