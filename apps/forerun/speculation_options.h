#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "spec/speculator.h"

namespace forerun {

// Drafting as a user names it: auto (every source, as much of it as pays), off, history,
// prediction, or forced (every source, all of it whatever it costs: for measurements).
Result<SpeculationOptions> parse_speculation(const std::string& name);

CLI::Option* add_speculation(CLI::App& command, std::string& name);
CLI::Option* add_speculation_list(CLI::App& command, std::vector<std::string>& names);
CLI::Option* add_max_draft(CLI::App& command, int& max_draft);

}  // namespace forerun
