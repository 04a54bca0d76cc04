#include "speculation_options.h"

#include <algorithm>
#include <utility>

#include "formats/model_path.h"
#include "formats/quote.h"
#include "model_options.h"

namespace forerun {
namespace {

constexpr char kHelp[] = "auto, off, history, prediction, head, forced, draft=…, eagle3=…";

CLI::Validator known() {
  const auto fault = [](const std::string& name) {
    const Result<SpeculationKind> kind = parse_speculation(name);
    return kind.ok() ? std::string() : kind.error().message;
  };
  return {fault, /*validator_desc=*/""};
}

// The first token that the two tokenizers do not share, in words; empty when they are the same.
std::string difference(const LoadedModel& target, const LoadedModel& draft) {
  const std::vector<std::string> ours = target.token_bytes();
  const std::vector<std::string> theirs = draft.token_bytes();
  for (size_t id = 0; id < std::min(ours.size(), theirs.size()); ++id) {
    if (ours[id] == theirs[id]) continue;
    return "token " + std::to_string(id) + " is " + quote(ours[id], 40) + " in one and " +
           quote(theirs[id], 40) + " in the other";
  }
  if (ours.size() == theirs.size()) return "";
  return "one has " + std::to_string(ours.size()) + " tokens, the other " +
         std::to_string(theirs.size());
}

Status load_draft_model(const std::string& name, const LoadedModel& target, LoadedDrafting& out) {
  Result<LoadedModel> draft = load_model(name, /*num_threads=*/target.team->size());
  if (!draft.ok()) return draft.error();
  const std::string found = difference(target, *draft);
  if (!found.empty()) {
    return Error{draft->path + " cannot draft for " + target.path + ": " + found};
  }
  out.draft_model = std::move(draft->model);
  out.options.draft_model = out.draft_model.get();
  return {};
}

Status load_eagle3(const std::string& name, const LoadedModel& target, LoadedDrafting& out) {
  const Result<std::string> path = resolve_model(name);
  if (!path.ok()) return path.error();
  Result<std::unique_ptr<Eagle3Head>> head = Eagle3Head::load(*path, *target.model, *target.team);
  if (!head.ok()) return head.error();
  out.eagle3 = *std::move(head);
  out.options.eagle3 = out.eagle3.get();
  return {};
}

}  // namespace

Result<SpeculationKind> parse_speculation(const std::string& name) {
  SpeculationKind kind;
  if (name == "off") return kind;
  SpeculationOptions& options = kind.options;
  options.forced = name == "forced";
  options.head_slot = name == "head";
  options.history = options.forced || name == "auto" || name == "history";
  options.prediction = options.forced || name == "auto" || name == "prediction";
  for (const auto& [prefix, place] :
       {std::pair{std::string_view("draft="), &kind.draft_model}, {"eagle3=", &kind.eagle3}}) {
    if (!name.starts_with(prefix) || name.size() == prefix.size()) continue;
    *place = name.substr(prefix.size());
    options.history = options.prediction = true;
  }
  if (!options.on()) {
    return Error{"speculation is " + quote(name, 40) +
                 "; it may be auto, off, history, prediction, head, forced, draft=MODEL or "
                 "eagle3=FOLDER"};
  }
  return kind;
}

Result<LoadedDrafting> load_drafting(const std::string& name, const LoadedModel& target) {
  const Result<SpeculationKind> kind = parse_speculation(name);
  if (!kind.ok()) return kind.error();
  if (kind->options.head_slot) return Error{"speculation is head, which comes with --learn alone"};
  LoadedDrafting drafting;
  drafting.options = kind->options;
  Status status;
  if (!kind->draft_model.empty()) status = load_draft_model(kind->draft_model, target, drafting);
  if (!kind->eagle3.empty()) status = load_eagle3(kind->eagle3, target, drafting);
  if (!status.ok()) return status.error();
  return drafting;
}

CLI::Option* add_speculation(CLI::App& command, std::string& name) {
  return command.add_option("--speculation", name, kHelp)
      ->check(known())
      ->type_name("KIND")
      ->capture_default_str();
}

CLI::Option* add_speculation_list(CLI::App& command, std::vector<std::string>& names) {
  return command.add_option("--speculation", names, kHelp)
      ->delimiter(',')
      ->check(known())
      ->type_name("KIND,…")
      ->capture_default_str();
}

CLI::Option* add_max_draft(CLI::App& command, int& max_draft) {
  return command.add_option("--max-draft", max_draft, "The longest draft, in tokens")
      ->check(from_to(1, kMaxDraft))
      ->type_name("N")
      ->capture_default_str();
}

}  // namespace forerun
