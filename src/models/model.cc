#include "models/model.h"

namespace forerun {

Result<std::unique_ptr<Model>> Model::load(const std::string& path, Team& team,
                                           const LoadProgress& progress) {
  Result<Gguf> file = Gguf::open(path);
  if (!file.ok()) return file.error();
  return load(std::move(*file), team, progress);
}

Result<std::unique_ptr<Model>> Model::load(Gguf file, Team& team, const LoadProgress& progress) {
  std::unique_ptr<Model> model(new Model(std::move(file)));
  Result<ModelDescriptor> descriptor = read_descriptor(model->file_);
  if (!descriptor.ok()) return descriptor.error();
  model->descriptor_ = std::move(*descriptor);
  Result<ModelWeights> weights = load_weights(model->file_, model->descriptor_, team, progress);
  if (!weights.ok()) return weights.error();
  model->weights_ = std::move(*weights);
  return model;
}

}  // namespace forerun
