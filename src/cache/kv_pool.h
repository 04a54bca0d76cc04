#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "kernels/attention.h"
#include "tensor/buffer.h"

namespace forerun {

// Data kept beside a page's keys and values, per token: states a speculator feeds on, its own keys
// and values.
struct SideArray {
  std::string name;
  int64_t bytes_per_token = 0;
};

// What one page holds: 32 tokens of every layer, in the layout of kernels/attention.h, and the side
// arrays.
struct KvShape {
  int num_layers = 0;
  int num_kv_heads = 0;
  int64_t head_dim = 0;
  std::vector<SideArray> side_arrays;
  KvType type = KvType::kF16;

  // Bytes of one page, side arrays included.
  int64_t page_bytes() const;
  // Bytes of one token's keys and values, as a step reads them: every layer and head.
  int64_t token_bytes() const;
};

// The memory of all pages: [page][layer][keys of every head, values of every head], then the page's
// side arrays. Zero-filled, reserved at once and touched page by page. Knows nothing of who owns a
// page (kv_cache.h does).
class KvPool final {
 public:
  KvPool(const KvShape& shape, int num_pages);

  const KvShape& shape() const { return shape_; }
  int num_pages() const { return num_pages_; }

  // Takes the pool's memory from the kernel now: a step that meets a page for the first time would
  // wait for it to be cleared.
  void commit(Team& team);
  // The same of the first pages alone, on this thread.
  void commit_first(int num_pages);

  // One head of one page, page_head_bytes(type, head_dim).
  uint8_t* keys(int page, int layer, int head) {
    return memory_.data() + page * page_bytes_ + layer * layer_bytes_ + head * head_bytes_;
  }
  uint8_t* values(int page, int layer, int head) {
    return keys(page, layer, shape_.num_kv_heads + head);
  }
  // One token's bytes in side array `array`.
  uint8_t* side(int page, int array, int slot);
  // The same for slot `slot` of the sequence that has these pages.
  uint8_t* side(std::span<const int32_t> pages, int array, int64_t slot) {
    return side(pages[slot / kPageTokens], array, static_cast<int>(slot % kPageTokens));
  }

  // Copies slots [0, num_slots) of a page, side arrays included.
  void copy_page(int from, int to, int num_slots);
  // Copies one token, side arrays included. The slots may be in the same page.
  void copy_token(int from_page, int from_slot, int to_page, int to_slot);

 private:
  KvShape shape_;
  int num_pages_;
  int64_t head_bytes_;
  int64_t layer_bytes_;
  int64_t page_bytes_;
  std::vector<int64_t> side_offset_bytes_;  // from the page's begin
  Buffer memory_;
};

}  // namespace forerun
