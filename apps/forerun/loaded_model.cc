#include "loaded_model.h"

#include "base/clock.h"
#include "formats/model_files.h"
#include "formats/model_path.h"
#include "progress_line.h"
#include "text/gguf_tokenizer.h"
#include "text/hf_tokenizer.h"

namespace forerun {
namespace {

Result<Tokenizer> read_tokenizer(const ModelFiles& files) {
  if (files.directory() != nullptr) return read_hf_tokenizer(*files.directory());
  return read_gguf_tokenizer(*files.gguf());
}

void load_tokenizer(LoadedModel& loaded) {
  Result<Tokenizer> tokenizer = read_tokenizer(loaded.model->files());
  if (tokenizer.ok()) {
    loaded.tokenizer.emplace(*std::move(tokenizer));
  } else {
    loaded.tokenizer_error = tokenizer.error().message;
  }
}

}  // namespace

Result<LoadedModel> load_model(const std::string& argument, int num_threads) {
  const double begin = now_seconds();
  LoadedModel loaded;
  const Result<std::string> path = resolve_model(argument);
  if (!path.ok()) return path.error();
  loaded.path = *path;
  const Result<Isa> isa = choose_isa();
  if (!isa.ok()) return isa.error();
  loaded.kernels = &kernel_table(*isa);
  loaded.team = std::make_unique<Team>(num_threads > 0 ? num_threads : usable_processors());

  Result<ModelFiles> files = ModelFiles::open(*path);
  if (!files.ok()) return files.error();
  const uint64_t size_bytes = files->size_bytes();
  ProgressLine line("loading", size_bytes);
  Result<std::unique_ptr<Model>> model =
      Model::load(*std::move(files), *loaded.team, [&](double share) {
        line.update(static_cast<uint64_t>(share * static_cast<double>(size_bytes)));
      });
  line.end();
  if (!model.ok()) return model.error();
  loaded.model = std::move(*model);
  load_tokenizer(loaded);
  loaded.load_seconds = now_seconds() - begin;
  return loaded;
}

EngineOptions LoadedModel::engine_options() const {
  EngineOptions options;
  if (!tokenizer) return options;
  options.eos_ids.assign(tokenizer->end_ids().begin(), tokenizer->end_ids().end());
  return options;
}

std::vector<std::string> LoadedModel::token_bytes() const {
  std::vector<std::string> bytes;
  if (!tokenizer) return bytes;
  // A model may have more ids than its tokenizer: rows that fill its matrix up.
  for (int32_t id = 0; id < model->descriptor().vocab_size; ++id) {
    bytes.emplace_back(tokenizer->token_bytes(id));
  }
  return bytes;
}

Result<const Tokenizer*> need_tokenizer(const LoadedModel& loaded) {
  if (loaded.tokenizer) return &*loaded.tokenizer;
  return Error{loaded.path + " has no tokenizer to read text with: " + loaded.tokenizer_error};
}

}  // namespace forerun
