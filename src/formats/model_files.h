#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "base/result.h"
#include "formats/gguf.h"
#include "formats/hf_directory.h"
#include "formats/tensor_source.h"

namespace forerun {

// What a user names as a model: a GGUF file, any part of a split one, or a Hugging Face directory.
class ModelFiles final {
 public:
  static Result<ModelFiles> open(const std::string& path, GgufTypes types = GgufTypes::kSupported);

  ModelFiles(Gguf gguf) : files_(std::move(gguf)) {}
  ModelFiles(HfDirectory directory) : files_(std::move(directory)) {}

  const TensorSource& tensors() const;
  const std::string& path() const { return tensors().path(); }
  uint64_t size_bytes() const;  // of the files that hold weights

  // The one that it is; null for the other.
  const Gguf* gguf() const { return std::get_if<Gguf>(&files_); }
  const HfDirectory* directory() const { return std::get_if<HfDirectory>(&files_); }

 private:
  std::variant<Gguf, HfDirectory> files_;
};

}  // namespace forerun
