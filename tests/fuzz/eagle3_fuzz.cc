// Reads an EAGLE-3 checkpoint that a stranger wrote. An input is its config.json, a zero byte, and
// a safetensors file.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "base/json.h"
#include "formats/eagle3_checkpoint.h"
#include "formats/safetensors.h"

namespace forerun {
namespace {

void read_checkpoint(const Json& config, std::span<const uint8_t> bytes) {
  Result<Safetensors> file = Safetensors::parse(bytes, "head");
  if (!file.ok()) return;
  const Result<Eagle3Checkpoint> checkpoint =
      Eagle3Checkpoint::read(config, SafetensorsShards::of(*std::move(file)));
  if (!checkpoint.ok()) return;
  for (const int32_t token : checkpoint->token_of()) {
    if (token < 0 || token >= checkpoint->config().vocab_size) std::abort();
  }
  for (const char* name :
       {"fc.weight", "model.layers.0.self_attn.q_proj.weight", "lm_head.weight"}) {
    const TensorView* view = checkpoint->find_tensor(name);
    if (view == nullptr || view->data == nullptr || view->num_bytes() == 0) continue;
    // The sanitizer sees whether they lie within the file.
    if (view->data[0] + view->data[view->num_bytes() - 1] > 2 * 255) std::abort();
  }
}

}  // namespace
}  // namespace forerun

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const uint8_t* end = std::find(data, data + size, 0);
  const auto config =
      forerun::parse_json({reinterpret_cast<const char*>(data), static_cast<size_t>(end - data)});
  if (!config.ok() || !config->is_object() || end == data + size) return 0;
  forerun::read_checkpoint(*config, {end + 1, data + size});
  return 0;
}
