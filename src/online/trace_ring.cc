#include "online/trace_ring.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"

namespace forerun {
namespace {

constexpr uint64_t kMagic = 0x676E697265637274;  // "trecring"
constexpr int64_t kPage = 4096;
constexpr int64_t kLeast = int64_t{1} << 16;
constexpr int64_t kMost = int64_t{1} << 40;

// Before each block.
struct BlockHeader {
  uint64_t bytes = 0;  // of the block; kSkip: the next one lies at the ring's begin
};
constexpr uint64_t kSkip = ~uint64_t{0};
constexpr uint64_t kHeaderBytes = 64;  // so that blocks are aligned

uint64_t aligned(uint64_t bytes) {
  return (bytes + 63) / 64 * 64;
}

Error system_error(const std::string& what) {
  return Error{"trace ring: " + what + ": " + std::strerror(errno)};
}

}  // namespace

// The ring's first page; the blocks follow. Places count bytes from the first one ever written.
struct TraceRing::Shared {
  uint64_t magic = kMagic;
  int64_t capacity = 0;
  alignas(64) std::atomic<uint64_t> written{0};
  std::atomic<uint64_t> published{0};
  std::atomic<uint64_t> dropped{0};
  alignas(64) std::atomic<uint64_t> read{0};
};

TraceRing::TraceRing(int descriptor, Shared* shared, int64_t capacity)
    : descriptor_(descriptor), shared_(shared), capacity_(capacity) {
  static_assert(sizeof(Shared) <= kPage && std::atomic<uint64_t>::is_always_lock_free);
}

TraceRing::TraceRing(TraceRing&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      shared_(std::exchange(other.shared_, nullptr)),
      capacity_(other.capacity_),
      reserved_end_(other.reserved_end_) {}

TraceRing::~TraceRing() {
  if (shared_ != nullptr) munmap(shared_, static_cast<size_t>(kPage + capacity_));
  if (descriptor_ >= 0) close(descriptor_);
}

Result<TraceRing> TraceRing::map(int descriptor, int64_t file_bytes) {
  void* memory = mmap(nullptr, static_cast<size_t>(file_bytes), PROT_READ | PROT_WRITE, MAP_SHARED,
                      descriptor, 0);
  if (memory == MAP_FAILED) {
    const Error error = system_error("mapping " + std::to_string(file_bytes) + " bytes");
    close(descriptor);
    return error;
  }
  return TraceRing(descriptor, static_cast<Shared*>(memory), file_bytes - kPage);
}

Result<TraceRing> TraceRing::create(int64_t bytes) {
  if (bytes < kLeast || bytes > kMost || !std::has_single_bit(static_cast<uint64_t>(bytes))) {
    return Error{"trace ring: " + std::to_string(bytes) + " bytes; it takes a power of two from " +
                 std::to_string(kLeast) + " to " + std::to_string(kMost)};
  }
  const int descriptor = memfd_create("forerun-traces", 0);
  if (descriptor < 0) return system_error("asking for shared memory");
  if (ftruncate(descriptor, kPage + bytes) != 0) {
    const Error error = system_error("sizing shared memory");
    close(descriptor);
    return error;
  }
  Result<TraceRing> ring = map(descriptor, kPage + bytes);
  if (ring.ok()) new (ring->shared_) Shared{.capacity = bytes};
  return ring;
}

Result<TraceRing> TraceRing::attach(int descriptor) {
  struct stat file = {};
  if (fstat(descriptor, &file) != 0)
    return system_error("descriptor " + std::to_string(descriptor));
  if (file.st_size < kPage + kLeast) return Error{"trace ring: the memory is too small for one"};
  const int own = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (own < 0) return system_error("duplicating a descriptor");
  Result<TraceRing> ring = map(own, file.st_size);
  if (!ring.ok()) return ring;
  if (ring->shared_->magic != kMagic || ring->shared_->capacity != ring->capacity_) {
    return Error{"trace ring: the memory is not one"};
  }
  return ring;
}

uint8_t* TraceRing::at(uint64_t place) const {
  return reinterpret_cast<uint8_t*>(shared_) + kPage +
         (place & static_cast<uint64_t>(capacity_ - 1));
}

std::optional<std::span<uint8_t>> TraceRing::reserve(int64_t bytes) {
  CHECK(bytes > 0, "a block has bytes");
  const auto capacity = static_cast<uint64_t>(capacity_);
  const uint64_t needed = kHeaderBytes + aligned(static_cast<uint64_t>(bytes));
  const uint64_t written = shared_->written.load(std::memory_order_relaxed);
  const uint64_t used = written - shared_->read.load(std::memory_order_acquire);
  const uint64_t to_end = capacity - (written & (capacity - 1));
  const uint64_t skipped = needed > to_end ? to_end : 0;
  // A reader that has written nonsense there is one that has read nothing.
  if (used > capacity || needed > capacity - used || skipped > capacity - used - needed) {
    shared_->dropped.fetch_add(1, std::memory_order_relaxed);
    return std::nullopt;
  }
  if (skipped > 0) new (at(written)) BlockHeader{kSkip};
  uint8_t* begin = at(written + skipped);
  new (begin) BlockHeader{static_cast<uint64_t>(bytes)};
  reserved_end_ = written + skipped + needed;
  return std::span(begin + kHeaderBytes, static_cast<size_t>(bytes));
}

void TraceRing::publish() {
  shared_->published.fetch_add(1, std::memory_order_relaxed);
  shared_->written.store(reserved_end_, std::memory_order_release);
}

std::span<const uint8_t> TraceRing::front() {
  const auto capacity = static_cast<uint64_t>(capacity_);
  uint64_t read = shared_->read.load(std::memory_order_relaxed);
  const uint64_t written = shared_->written.load(std::memory_order_acquire);
  if (read == written) return {};
  uint64_t bytes = reinterpret_cast<const BlockHeader*>(at(read))->bytes;
  if (bytes == kSkip) {
    read += capacity - (read & (capacity - 1));
    shared_->read.store(read, std::memory_order_release);
    if (read == written) return {};
    bytes = reinterpret_cast<const BlockHeader*>(at(read))->bytes;
  }
  return {at(read) + kHeaderBytes, static_cast<size_t>(bytes)};
}

void TraceRing::pop() {
  const uint64_t read = shared_->read.load(std::memory_order_relaxed);
  const uint64_t bytes = reinterpret_cast<const BlockHeader*>(at(read))->bytes;
  shared_->read.store(read + kHeaderBytes + aligned(bytes), std::memory_order_release);
}

TraceRing::Counts TraceRing::counts() const {
  return {shared_->published.load(std::memory_order_relaxed),
          shared_->dropped.load(std::memory_order_relaxed),
          shared_->written.load(std::memory_order_relaxed) -
              shared_->read.load(std::memory_order_relaxed)};
}

}  // namespace forerun
