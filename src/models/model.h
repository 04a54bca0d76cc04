#pragma once

#include <memory>
#include <string>

#include "base/parallel.h"
#include "base/result.h"
#include "formats/model_files.h"
#include "models/descriptor.h"
#include "models/weights.h"

namespace forerun {

// A loaded model: the open files (their embedding is read in place), what it is, and its packed
// weights.
class Model final {
 public:
  static Result<std::unique_ptr<Model>> load(const std::string& path, Team& team,
                                             const LoadProgress& progress = {});
  // From files already open.
  static Result<std::unique_ptr<Model>> load(ModelFiles files, Team& team,
                                             const LoadProgress& progress = {});

  const ModelFiles& files() const { return files_; }
  const ModelDescriptor& descriptor() const { return descriptor_; }
  const ModelWeights& weights() const { return weights_; }
  // Its output matrix as the file stores it: the embedding when they are one; null where the file
  // calls it by another name.
  const TensorView* stored_output() const;

 private:
  explicit Model(ModelFiles files) : files_(std::move(files)) {}

  ModelFiles files_;
  ModelDescriptor descriptor_;
  ModelWeights weights_;
};

}  // namespace forerun
