#pragma once

#include <cstdint>
#include <span>

namespace forerun {

// Decisions taken from a fuzzer's bytes, front to back, by targets that build nearly right inputs;
// when the bytes run out every choice is 0.
class Choices final {
 public:
  explicit Choices(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  uint8_t next() {
    if (bytes_.empty()) return 0;
    const uint8_t byte = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return byte;
  }

  uint64_t below(uint64_t limit) { return next() % limit; }

  // Mostly `right`; else something near it or far away.
  uint64_t perhaps(uint64_t right) {
    switch (next()) {
      case 255:
        return right + 1;
      case 254:
        return right - 1;
      case 253:
        return uint64_t{next()} << 56;
      case 252:
        return right << 3;
      default:
        return right;
    }
  }

  // What is left.
  std::span<const uint8_t> rest() const { return bytes_; }

 private:
  std::span<const uint8_t> bytes_;
};

}  // namespace forerun
