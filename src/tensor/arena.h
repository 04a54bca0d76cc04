#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tensor/buffer.h"

namespace forerun {

// A piece of an arena's memory, borrowed.
class ArenaPiece final {
 public:
  ArenaPiece() = default;
  explicit ArenaPiece(uint8_t* data) : data_(data) {}

  uint8_t* data() const { return data_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  uint8_t* data_ = nullptr;
};

// Zero-filled memory handed out piece by piece and given back all at once: many pieces stand on a
// few large pages, where a Buffer each would put them on small ones. Untouched memory costs
// nothing.
class Arena final {
 public:
  // A piece of `size_bytes`, beginning a cache line. Lives as long as the arena; moving the arena
  // leaves it where it is.
  ArenaPiece take(size_t size_bytes);
  // Takes what was handed out from the kernel now, as Buffer::commit.
  void commit();

 private:
  std::vector<Buffer> chunks_;
  size_t used_bytes_ = 0;  // of the last chunk
};

}  // namespace forerun
