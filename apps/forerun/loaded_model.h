#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "base/result.h"
#include "engine/engine.h"
#include "kernels/kernel_table.h"
#include "models/model.h"
#include "text/tokenizer.h"

namespace forerun {

// A model ready to run: its threads, its weights, and, where the file has one, its tokenizer.
struct LoadedModel {
  std::string path;
  std::unique_ptr<Team> team;
  const KernelTable* kernels = nullptr;
  std::unique_ptr<Model> model;
  std::optional<Tokenizer> tokenizer;
  std::string tokenizer_error;  // why there is no tokenizer
  double load_seconds = 0.0;

  // Options an engine over this model takes from its tokenizer.
  EngineOptions engine_options() const;
  // EngineOptions::token_bytes, for stop strings.
  std::vector<std::string> token_bytes() const;
};

// `argument` is a path or a short name. `num_threads` 0 is every usable processor. Shows a progress
// line on a terminal.
Result<LoadedModel> load_model(const std::string& argument, int num_threads);

// The tokenizer, or an Error that says why there is none.
Result<const Tokenizer*> need_tokenizer(const LoadedModel& loaded);

}  // namespace forerun
