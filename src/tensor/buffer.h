#pragma once

#include <cstddef>
#include <cstdint>

namespace forerun {

// Zero-filled memory straight from the kernel, aligned to 64 bytes at least; 2 MiB pages are asked
// for when it is large enough and the thread is not paced. Pages cost nothing until they are
// touched. Where the process may have no more address space (ulimit -v), std::bad_alloc is thrown,
// as by operator new.
class Buffer final {
 public:
  Buffer() = default;
  explicit Buffer(size_t size_bytes);
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  size_t size_bytes() const { return size_bytes_; }

  // Takes bytes [begin, end) from the kernel now, so that nobody waits for a page to be cleared
  // later. What they hold stays. Not while others write there.
  void commit(size_t begin, size_t end);

  template <typename T>
  T* as() {
    return reinterpret_cast<T*>(data_);
  }
  template <typename T>
  const T* as() const {
    return reinterpret_cast<const T*>(data_);
  }

 private:
  uint8_t* data_ = nullptr;
  size_t size_bytes_ = 0;
};

}  // namespace forerun
