#include "tensor/buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <utility>

#include "base/memory.h"
#include "base/pacer.h"

namespace forerun {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kHugePage = size_t{2} << 20;
// Taken from the kernel at a time: some ten microseconds.
constexpr size_t kPacedCommitBytes = size_t{128} << 10;

void commit_piece(uint8_t* data, size_t size_bytes) {
  if (madvise(data, size_bytes, MADV_POPULATE_WRITE) == 0) return;
  // Kernels before 5.14.
  for (size_t i = 0; i < size_bytes; i += kPage) {
    volatile uint8_t* byte = data + i;
    *byte = *byte;
  }
}

}  // namespace

Buffer::Buffer(size_t size_bytes) : size_bytes_(size_bytes) {
  if (size_bytes == 0) return;
  // A large page is found and cleared in one go, which takes longer than a paced thread may work;
  // milliseconds, where memory has to be moved for it.
  const bool huge = size_bytes >= 4 * kHugePage && !is_paced();
  const size_t mapped = huge ? size_bytes + kHugePage : size_bytes;
  void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<uint8_t*>(memory);
  if (huge) {
    // Trim to a 2 MiB boundary so that whole huge pages can back the buffer.
    const size_t lead = (kHugePage - reinterpret_cast<uintptr_t>(data_) % kHugePage) % kHugePage;
    if (lead > 0) munmap(data_, lead);
    if (lead < kHugePage) {
      const size_t end = (lead + size_bytes + kPage - 1) / kPage * kPage;
      const size_t mapped_end = (mapped + kPage - 1) / kPage * kPage;
      if (end < mapped_end) munmap(data_ + end, mapped_end - end);
    }
    data_ += lead;
    madvise(data_, size_bytes, MADV_HUGEPAGE);
  }
}

void Buffer::commit(size_t begin, size_t end) {
  begin = begin / kPage * kPage;
  while (begin < end) {
    const size_t piece = is_paced() ? std::min(end - begin, kPacedCommitBytes) : end - begin;
    commit_piece(data_ + begin, piece);
    begin += piece;
    pace();
  }
}

Buffer::Buffer(Buffer&& other) noexcept {
  *this = std::move(other);
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ != nullptr) unmap(data_, (size_bytes_ + kPage - 1) / kPage * kPage);
}

}  // namespace forerun
