#include "tensor/arena.h"

#include <algorithm>

namespace forerun {
namespace {

constexpr size_t kChunkBytes = size_t{16} << 20;
constexpr size_t kLine = 64;
// Pieces are often whole 4 KiB pages long; without a gap all would begin in the same few sets of
// the first cache, and a store to one would hold up a load from another.
constexpr size_t kGapBytes = 5 * kLine;

}  // namespace

ArenaPiece Arena::take(size_t size_bytes) {
  if (chunks_.empty() || chunks_.back().size_bytes() - used_bytes_ < size_bytes) {
    chunks_.emplace_back(std::max(kChunkBytes, size_bytes));
    used_bytes_ = 0;
  }
  const ArenaPiece piece(chunks_.back().data() + used_bytes_);
  const size_t next = used_bytes_ + (size_bytes + kLine - 1) / kLine * kLine + kGapBytes;
  used_bytes_ = std::min(next, chunks_.back().size_bytes());
  return piece;
}

void Arena::commit() {
  for (Buffer& chunk : chunks_) {
    chunk.commit(0, &chunk == &chunks_.back() ? used_bytes_ : chunk.size_bytes());
  }
}

}  // namespace forerun
