#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "models/descriptor.h"

namespace forerun {

// Which layers have a window, where the file does not say for each.
enum class WindowedLayers : uint8_t {
  kNone,
  kAll,
  kAllButEvery,  // every `full_every`-th layer sees all positions
  kFromLayer,    // config.json says from which on, and whether at all (use_sliding_window)
};

// A model family: what its members have in common. Everything else stands in their files.
struct Family {
  std::string_view name;        // as people say it
  std::string_view gguf;        // general.architecture; Mistral's files mostly say llama
  std::string_view model_type;  // of config.json
  RotaryPairs gguf_pairs = RotaryPairs::kHalves;
  bool qkv_bias = false;
  bool qk_norm = false;
  bool post_norms = false;
  bool fused = false;
  bool norms_less_one = false;    // in Hugging Face's files
  bool scaled_embedding = false;  // by √d_model
  bool soft_caps = false;         // GGUF must say them, and the window
  Activation activation = Activation::kSilu;
  WindowedLayers windowed = WindowedLayers::kNone;
  int full_every = 0;
  double window_theta = 0.0;  // the rotary base of layers with a window, 0 where it is the same
  // GGUF does not say that the largest member scales scores by its own width per head instead of
  // the head's size; it is known by its number of layers.
  int layers_scaled_by_width = 0;
  // What config.json may leave out, as transformers fills it in.
  std::string_view config_defaults = "{}";
};

// What every member is, whatever its file says.
void take_traits(const Family& family, ModelDescriptor& model);

// A file's number that ends up as an int: cut where no model comes near.
int as_count(int64_t value);

// By the name a file gives its architecture. An Error names it, and what it needs that the engine
// does not have where that is known.
Result<const Family*> find_gguf_family(std::string_view architecture);
Result<const Family*> find_config_family(std::string_view model_type);

}  // namespace forerun
