#include "cache/kv_pool.h"

#include <cstring>

#include "base/check.h"

namespace forerun {
namespace {

// Pages start on a cache line.
int64_t round_to_line(int64_t bytes) {
  return (bytes + 63) / 64 * 64;
}

int64_t key_value_bytes(const KvShape& shape) {
  return 2 * shape.num_layers * shape.num_kv_heads * page_head_bytes(shape.type, shape.head_dim);
}

}  // namespace

int64_t KvShape::page_bytes() const {
  int64_t bytes = round_to_line(key_value_bytes(*this));
  for (const SideArray& array : side_arrays) {
    bytes += round_to_line(array.bytes_per_token * kPageTokens);
  }
  return bytes;
}

int64_t KvShape::token_bytes() const {
  return 2 * num_layers * num_kv_heads * token_head_bytes(type, head_dim);
}

KvPool::KvPool(const KvShape& shape, int num_pages)
    : shape_(shape),
      num_pages_(num_pages),
      head_bytes_(page_head_bytes(shape.type, shape.head_dim)),
      layer_bytes_(2 * shape.num_kv_heads * head_bytes_),
      page_bytes_(shape.page_bytes()),
      memory_(static_cast<size_t>(shape.page_bytes()) * num_pages) {
  int64_t offset = round_to_line(key_value_bytes(shape));
  for (const SideArray& array : shape.side_arrays) {
    side_offset_bytes_.push_back(offset);
    offset += round_to_line(array.bytes_per_token * kPageTokens);
  }
}

void KvPool::commit(Team& team) {
  team.run([&](int member) {
    const Range share = share_of(static_cast<int64_t>(memory_.size_bytes()), member, team.size(),
                                 /*grain=*/int64_t{2} << 20);
    memory_.commit(share.begin, share.end);
  });
}

void KvPool::commit_first(int num_pages) {
  memory_.commit(0, static_cast<size_t>(num_pages * page_bytes_));
}

uint8_t* KvPool::side(int page, int array, int slot) {
  return memory_.data() + page * page_bytes_ + side_offset_bytes_[array] +
         slot * shape_.side_arrays[array].bytes_per_token;
}

void KvPool::copy_page(int from, int to, int num_slots) {
  CHECK(from != to && num_slots <= kPageTokens, "copy_page copies into another page");
  for (int layer = 0; layer < shape_.num_layers; ++layer) {
    for (int head = 0; head < shape_.num_kv_heads; ++head) {
      copy_page_slots(shape_.type, keys(from, layer, head), values(from, layer, head),
                      keys(to, layer, head), values(to, layer, head), num_slots, shape_.head_dim);
    }
  }
  for (size_t array = 0; array < shape_.side_arrays.size(); ++array) {
    std::memcpy(side(to, static_cast<int>(array), 0), side(from, static_cast<int>(array), 0),
                num_slots * shape_.side_arrays[array].bytes_per_token);
  }
}

void KvPool::copy_token(int from_page, int from_slot, int to_page, int to_slot) {
  for (int layer = 0; layer < shape_.num_layers; ++layer) {
    for (int head = 0; head < shape_.num_kv_heads; ++head) {
      copy_page_slot(shape_.type, keys(from_page, layer, head), values(from_page, layer, head),
                     from_slot, keys(to_page, layer, head), values(to_page, layer, head), to_slot,
                     shape_.head_dim);
    }
  }
  for (size_t array = 0; array < shape_.side_arrays.size(); ++array) {
    std::memmove(side(to_page, static_cast<int>(array), to_slot),
                 side(from_page, static_cast<int>(array), from_slot),
                 shape_.side_arrays[array].bytes_per_token);
  }
}

}  // namespace forerun
