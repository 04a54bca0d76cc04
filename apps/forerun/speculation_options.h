#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "loaded_model.h"
#include "models/eagle3_head.h"
#include "spec/speculation.h"

namespace forerun {

// What a user wants to draft: auto (history and prediction, as much of it as pays), off, history,
// prediction, head (what is learned, alone), forced (auto's, all of it whatever it costs: for
// measurements), draft=MODEL or eagle3=FOLDER (auto's and a model).
struct SpeculationKind {
  SpeculationOptions options;
  std::string draft_model;
  std::string eagle3;
};
Result<SpeculationKind> parse_speculation(const std::string& name);

// The same, ready: the options point to the models.
struct LoadedDrafting {
  SpeculationOptions options;
  std::unique_ptr<Model> draft_model;
  std::unique_ptr<Eagle3Head> eagle3;
};
// An Error says what cannot be loaded, or does not fit the model it is to draft for.
Result<LoadedDrafting> load_drafting(const std::string& name, const LoadedModel& target);

CLI::Option* add_speculation(CLI::App& command, std::string& name);
CLI::Option* add_speculation_list(CLI::App& command, std::vector<std::string>& names);
CLI::Option* add_max_draft(CLI::App& command, int& max_draft);

}  // namespace forerun
