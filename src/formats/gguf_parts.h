#pragma once

#include <string>

#include "base/result.h"
#include "formats/gguf.h"

namespace forerun {

// Puts a split GGUF together. Its parts lie in one folder, are called "NAME-00001-of-00003.gguf",
// and say in the keys split.no, split.count and split.tensors.count which part each is (llama.cpp's
// gguf-split writes them).
class GgufParts final {
 public:
  // `path` is a whole file, which is opened as it is, or any part of a split one. An Error names
  // the part that is missing, or that belongs to another file.
  static Result<Gguf> open(const std::string& path, GgufTypes types = GgufTypes::kSupported);

 private:
  struct Part {
    uint64_t index = 0;  // from 0
    uint64_t count = 1;
    uint64_t num_tensors = 0;  // of all parts
  };

  GgufParts(std::string path, GgufTypes types) : path_(std::move(path)), types_(types) {}

  static Result<Part> part_of(const Gguf& gguf);
  // The part's path without "-00001-of-00003.gguf".
  Result<std::string> stem(const Part& part) const;
  Result<Gguf> open_all(const Part& named);
  Result<Gguf> open_part(const std::string& path, const Part& wanted) const;
  static void append(Gguf& whole, Gguf part);

  std::string path_;
  GgufTypes types_;
};

}  // namespace forerun
