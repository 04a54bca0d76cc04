#include "models/model.h"

namespace forerun {

Result<std::unique_ptr<Model>> Model::load(const std::string& path, Team& team,
                                           const LoadProgress& progress) {
  Result<ModelFiles> files = ModelFiles::open(path);
  if (!files.ok()) return files.error();
  return load(*std::move(files), team, progress);
}

Result<std::unique_ptr<Model>> Model::load(ModelFiles files, Team& team,
                                           const LoadProgress& progress) {
  std::unique_ptr<Model> model(new Model(std::move(files)));
  Result<ModelDescriptor> descriptor = read_descriptor(model->files_);
  if (!descriptor.ok()) return descriptor.error();
  model->descriptor_ = std::move(*descriptor);
  Result<ModelWeights> weights =
      load_weights(model->files_.tensors(), model->descriptor_, team, progress);
  if (!weights.ok()) return weights.error();
  model->weights_ = std::move(*weights);
  return model;
}

const TensorView* Model::stored_output() const {
  if (descriptor_.tied_output) return &weights_.embedding;
  for (const char* name : {"output.weight", "lm_head.weight"}) {
    const TensorView* found = files_.tensors().find_tensor(name);
    if (found != nullptr) return found;
  }
  return nullptr;
}

}  // namespace forerun
