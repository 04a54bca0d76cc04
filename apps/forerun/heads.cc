#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/hex.h"
#include "base/json.h"
#include "commands.h"
#include "formats/eagle3_checkpoint.h"
#include "formats/json_members.h"
#include "formats/small_json_file.h"
#include "learning_folder.h"
#include "model_options.h"
#include "online/head_report.h"
#include "online/head_store.h"
#include "text_table.h"

namespace forerun {
namespace {

constexpr uint64_t kMostJsonBytes = 1 << 20;

struct HeadsOptions {
  std::string model;
  std::string store;
  std::string folder;
  int64_t version = 0;
  bool json = false;
};

// A store and the model that its heads draft for, as target.json beside them says.
struct Opened {
  HeadStore store;
  int64_t vocab_size = 0;
  int64_t d_model = 0;
};

Result<Opened> open(const HeadsOptions& options) {
  if (options.store.empty() && options.model.empty()) {
    return Error{"give the model whose heads are meant, or their folder with --store"};
  }
  const Result<std::string> folder =
      options.store.empty() ? learning_folder(options.model) : options.store;
  if (!folder.ok()) return folder.error();
  const std::string path = *folder + "/target.json";
  if (!std::filesystem::exists(path)) {
    return Error{"nothing was learned in " + *folder + " yet: it has no target.json"};
  }
  const Result<Json> target = read_json_object(path, kMostJsonBytes);
  if (!target.ok()) return target.error();
  Status status;
  JsonMembers members(*target, path, status);
  const std::string digits = members.text_or("fingerprint", "");
  const uint64_t weights = std::strtoull(digits.c_str(), nullptr, 16);
  if (hex(weights) != digits) members.fail("fingerprint is not 16 hexadecimal digits");
  const int64_t vocab_size = members.size("vocab_size");
  const int64_t d_model = members.size("d_model");
  if (!status.ok()) return status.error();
  Result<HeadStore> store = HeadStore::open(*folder, weights);
  if (!store.ok()) return store.error();
  return Opened{*std::move(store), vocab_size, d_model};
}

int print(const Json& json) {
  std::puts(json.dump(2, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace).c_str());
  return 0;
}

std::string time_text(const Json& unix_seconds) {
  const std::time_t time = unix_seconds.get<int64_t>();
  std::tm parts = {};
  char text[32] = "";
  if (localtime_r(&time, &parts) != nullptr) {
    std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &parts);
  }
  return text;
}

// "passed, kept"; a dash for a head that no gate let in.
std::string verdict_text(const Json& head) {
  std::string text = head["verdict"].is_null() ? "–" : "passed";
  if (head["watch"] == "keep") text += ", kept";
  if (head["watch"] == "roll_back") text += ", rolled back";
  return text;
}

// In tokens a round, replayed by the gate.
std::string acceptance_text(const Json& head) {
  const Json& verdict = head["verdict"];
  const Json length = verdict.is_object() ? verdict.value("acceptance_length", Json()) : Json();
  if (!length.is_number()) return "–";
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f", length.get<double>());
  return text;
}

int list(const HeadsOptions& options, Opened& opened) {
  const Result<Json> heads = report_heads(opened.store);
  if (!heads.ok()) return failed(heads.error());
  if (options.json) return print(*heads);
  TextTable table;
  table.add_row({"", "Version", "Parent", "Created", "Trained on", "Acceptance", "Verdict"});
  for (const Json& head : (*heads)["heads"]) {
    table.add_row({head["version"] == (*heads)["current"] ? "*" : "", head["version"].dump(),
                   head["parent"] == 0 ? "–" : head["parent"].dump(), time_text(head["created"]),
                   head["trained_tokens"].dump() + " tokens", acceptance_text(head),
                   verdict_text(head)});
  }
  std::fputs(table.text().c_str(), stdout);
  return 0;
}

int show(const HeadsOptions& options, Opened& opened) {
  const Result<Json> head = report_head(opened.store, options.version);
  if (!head.ok()) return failed(head.error());
  if (options.json) return print(*head);
  TextTable table;
  table.add_row({"folder", opened.store.head_folder(options.version)});
  for (const auto& [name, value] : head->items()) {
    if (name == "created") {
      table.add_row({name, time_text(value)});
    } else if (value.is_object()) {
      for (const auto& [part, inner] : value.items()) {
        table.add_row({std::string(name).append(".").append(part), inner.dump()});
      }
    } else {
      table.add_row({name, value.is_null() ? "–" : value.dump()});
    }
  }
  std::fputs(table.text().c_str(), stdout);
  return 0;
}

// Tells a server that looks at the store, and those who read its events.
int make_current(Opened& opened, int64_t version, const char* why) {
  const Result<int64_t> previous = opened.store.current();
  const Result<std::vector<Json>> last = opened.store.read_events(1);
  const int64_t records =
      last.ok() && !last->empty() ? last->front().value("records", int64_t{0}) : 0;
  if (const Status status = opened.store.activate(version); !status.ok()) {
    return failed(status.error());
  }
  const Status told = opened.store.append_event({{"kind", "activated"},
                                                 {"time", static_cast<double>(std::time(nullptr))},
                                                 {"records", records},
                                                 {"head", version},
                                                 {"version", version},
                                                 {"previous", previous.ok() ? *previous : 0},
                                                 {"why", why}});
  if (!told.ok()) return failed(told.error());
  if (version == 0) std::puts("no head drafts now");
  if (version != 0) std::printf("head %lld drafts now\n", static_cast<long long>(version));
  return 0;
}

int activate(const HeadsOptions& options, Opened& opened) {
  return make_current(opened, options.version, "user");
}

int roll_back(const HeadsOptions& /*options*/, Opened& opened) {
  const Result<int64_t> current = opened.store.current();
  if (!current.ok()) return failed(current.error());
  if (*current == 0) return failed(Error{"no head drafts, so there is none to go back from"});
  const Result<int64_t> previous = opened.store.previous();
  if (!previous.ok()) return failed(previous.error());
  return make_current(opened, *previous, "rollback");
}

int export_head(const HeadsOptions& options, Opened& opened) {
  const Status done = opened.store.export_head(options.version, options.folder);
  return done.ok() ? 0 : failed(done.error());
}

// A checkpoint names no model, but its sizes have to be this one's.
Status check_sizes(const std::string& folder, const Opened& opened) {
  const std::string path = folder + "/config.json";
  const Result<Json> json = read_json_object(path, kMostJsonBytes);
  if (!json.ok()) return json.error();
  const Result<Eagle3Config> config = read_eagle3_config(*json, path);
  if (!config.ok()) return config.error();
  const auto sizes = [](int64_t tokens, int64_t d_model) {
    return std::to_string(tokens) + " tokens and a hidden size of " + std::to_string(d_model);
  };
  const std::string ours = sizes(opened.vocab_size, opened.d_model);
  const std::string theirs = sizes(config->vocab_size, config->target_hidden_size);
  if (ours == theirs) return {};
  return Error{"the head in " + folder + " is for a model of " + theirs + "; this one has " + ours};
}

int import_head(const HeadsOptions& options, Opened& opened) {
  const Status fits = check_sizes(options.folder, opened);
  if (!fits.ok()) return failed(fits.error());
  const Result<int64_t> version = opened.store.import_head(options.folder);
  if (!version.ok()) return failed(version.error());
  std::printf("%lld\n", static_cast<long long>(*version));
  return 0;
}

struct Command {
  const char* name;
  const char* help;
  int (*run)(const HeadsOptions& options, Opened& opened);
  int64_t least_version;    // negative: takes none
  const char* folder_help;  // null: takes none
  bool prints_json;
};
constexpr int64_t kNoVersion = -1;
constexpr std::array<Command, 6> kCommands = {{
    {"list", "Show all heads; * marks the one that drafts", &list, kNoVersion, nullptr, true},
    {"show", "Show all that is known of a head", &show, 1, nullptr, true},
    {"activate", "Let a head draft; 0: none", &activate, 0, nullptr, false},
    {"rollback", "Go back to the head that the current one was trained from", &roll_back,
     kNoVersion, nullptr, false},
    {"export", "Copy a head out, loadable by itself", &export_head, 1,
     "A folder that is not there yet", false},
    {"import", "Copy a head in and print its version", &import_head, kNoVersion,
     "An exported head, or any EAGLE-3 checkpoint", false},
}};

void add_command(CLI::App& heads, const Command& command, int& exit_code) {
  const auto options = std::make_shared<HeadsOptions>();
  CLI::App* app = heads.add_subcommand(command.name, command.help);
  if (command.least_version != kNoVersion) {
    app->add_option("VERSION", options->version, "Its number")
        ->required()
        ->check(from_to(command.least_version, std::numeric_limits<int64_t>::max()))
        ->type_name("");
  }
  if (command.folder_help != nullptr) {
    app->add_option("FOLDER", options->folder, command.folder_help)->required()->type_name("DIR");
  }
  CLI::Option* model =
      app->add_option("MODEL", options->model, "The model they draft for, as `serve` is given it");
  model->type_name("");
  app->add_option("--store", options->store, "The folder of another store")
      ->type_name("DIR")
      ->excludes(model);
  if (command.prints_json) add_json(*app, options->json);
  app->callback([options, &command, &exit_code] {
    Result<Opened> opened = open(*options);
    exit_code = opened.ok() ? command.run(*options, *opened) : failed(opened.error());
  });
}

}  // namespace

void add_heads(CLI::App& app, int& exit_code) {
  CLI::App* heads = app.add_subcommand("heads", "List and choose the heads that learning has made");
  heads->group(kModelCommands);
  heads->require_subcommand(1);
  heads->footer(
      "A server that learns looks at the same folder: what is activated or rolled back here it\n"
      "swaps in while it runs.\n\n"
      "Examples:\n"
      "  forerun heads list smollm2-135m\n"
      "  forerun heads activate 3 smollm2-135m\n"
      "  forerun heads export 3 head --store learning");
  for (const Command& command : kCommands) add_command(*heads, command, exit_code);
}

}  // namespace forerun
