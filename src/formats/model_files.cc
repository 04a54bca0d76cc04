#include "formats/model_files.h"

#include <filesystem>
#include <system_error>

#include "formats/gguf_parts.h"

namespace forerun {

Result<ModelFiles> ModelFiles::open(const std::string& path, GgufTypes types) {
  std::error_code failure;
  if (std::filesystem::is_directory(path, failure)) {
    Result<HfDirectory> directory = HfDirectory::open(path);
    if (!directory.ok()) return directory.error();
    return ModelFiles(*std::move(directory));
  }
  if (path.ends_with(".safetensors")) {
    return Error{path + " holds weights only; give the directory that has its config.json too"};
  }
  Result<Gguf> gguf = GgufParts::open(path, types);
  if (!gguf.ok()) return gguf.error();
  return ModelFiles(*std::move(gguf));
}

const TensorSource& ModelFiles::tensors() const {
  if (const Gguf* gguf = this->gguf(); gguf != nullptr) return *gguf;
  return *directory();
}

uint64_t ModelFiles::size_bytes() const {
  if (const Gguf* gguf = this->gguf(); gguf != nullptr) return gguf->size_bytes();
  return directory()->weights().size_bytes();
}

}  // namespace forerun
