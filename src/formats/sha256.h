#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace forerun {

// SHA-256 (FIPS 180-4) of bytes that come in pieces.
class Sha256 final {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void add(std::span<const uint8_t> bytes);
  // 64 lower-case hexadecimal digits; nothing may be added afterwards.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Of a whole file; `progress` hears how many bytes are done.
Result<std::string> sha256_of_file(const std::string& path,
                                   const std::function<void(uint64_t)>& progress = {});

}  // namespace forerun
