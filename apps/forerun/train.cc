#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "commands.h"
#include "loaded_model.h"
#include "model_options.h"
#include "online/target_files.h"
#include "trainer_program.h"

namespace forerun {
namespace {

// An option of `forerun-trainer train` that is handed to it as it comes. It checks the values, so
// that there is one opinion about them; tests/e2e/train_test.py finds where the two help texts
// differ.
struct TrainerOption {
  const char* name;
  const char* type;   // of its value; empty: a flag
  std::string value;  // where it is not given; empty: none, or a number of this machine's
  const char* help;
};

std::vector<TrainerOption> trainer_options() {
  return {
      {"--resume", "", "", "Go on from what the last run saved, if it saved any"},
      {"--steps", "N", "0", "Most updates, resumed ones included; 0: what the epochs give"},
      {"--epochs", "N", "1", "Passes over the records"},
      {"--init", "DIR", "", "Folder of an EAGLE-3 head to begin with"},
      {"--batch", "N", "2", "Records in a step"},
      {"--window", "N", "512", "Positions of a record, the newest"},
      {"--unroll", "N", "3", "Steps that the head is unrolled"},
      {"--lr", "N", "0.001", "Learning rate"},
      {"--warmup", "N", "20", "Steps to the full rate"},
      {"--averaged-steps", "N", "100", "Most updates that parameters are averaged over; 1: none"},
      {"--loss", "KIND", "kl", "kl: forward; rkl: reverse; lk: -log of the chance to be accepted"},
      {"--discard", "N", "0", "Weight of tokens drafted in vain; 0: they are not looked at"},
      {"--draft-vocab", "N", "4096", "Tokens a new head has logits of"},
      {"--freeze-output", "", "", "Keep the output matrix as it is"},
      {"--dtype", "TYPE", "auto", "Of matrix products; auto: bf16 where that is faster, else f32"},
      {"--threads", "N", std::to_string(usable_processors()), "Threads"},
      {"--seed", "N", "0", "Of all that is random"},
      {"--save-every", "N", "100", "Steps between saves"},
      {"--report-every", "N", "10", "Steps between lines"},
      {"--rate", "", "", "Measure a matrix product and tell the share of its rate"},
      {"--json", "", "", "A JSON object per line"},
  };
}

struct TrainCommand {
  std::string model;
  std::string traces;
  std::string out;
  std::string trainer;
  std::deque<std::string> values;  // of what is handed on
  std::vector<const CLI::Option*> handed_on;

  std::vector<std::string> arguments() const {
    std::vector<std::string> list = {"forerun-trainer", "train", "--traces", traces, "--out", out};
    for (const CLI::Option* option : handed_on) {
      if (option->count() == 0) continue;
      list.push_back(option->get_name());
      if (option->get_items_expected_max() > 0) list.push_back(option->results().back());
    }
    return list;
  }
};

// This process becomes the trainer: signals reach it, and its exit status is ours.
Error become(const std::string& program, std::vector<std::string> arguments) {
  std::vector<char*> pointers;
  pointers.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  execv(program.c_str(), pointers.data());
  return Error{"cannot run " + program + ": " + std::strerror(errno)};
}

int train(const TrainCommand& command) {
  const Result<std::string> trainer = find_trainer(command.trainer, "forerun train");
  if (!trainer.ok()) return failed(trainer.error());
  const Result<LoadedModel> loaded = load_model(command.model, /*num_threads=*/0);
  if (!loaded.ok()) return failed(loaded.error());
  const Status same = check_target(command.traces, *loaded->model);
  if (!same.ok()) return failed(same.error());
  return failed(become(*trainer, command.arguments()));
}

void add_trainer_option(CLI::App& app, const TrainerOption& option, TrainCommand& command) {
  CLI::Option* added = nullptr;
  if (*option.type == '\0') {
    added = app.add_flag(option.name, option.help);
  } else {
    std::string& value = command.values.emplace_back();
    added = app.add_option(option.name, value, option.help)->type_name(option.type);
    if (!option.value.empty()) added->default_str(option.value);
  }
  command.handed_on.push_back(added->group("Training"));
}

}  // namespace

void add_train(CLI::App& app, int& exit_code) {
  const auto command = std::make_shared<TrainCommand>();
  CLI::App* train_app =
      app.add_subcommand("train", "Train a head from recorded answers, with forerun-trainer");
  train_app->group(kModelCommands);
  add_model(*train_app, command->model);
  train_app->add_option("--traces", command->traces, "What `serve --trace-dir` recorded of MODEL")
      ->required()
      ->type_name("DIR");
  train_app
      ->add_option("--out", command->out, "Folder of the head; what --resume reads lies beside it")
      ->required()
      ->type_name("DIR");
  train_app
      ->add_option("--trainer", command->trainer, "forerun-trainer; else the one beside forerun")
      ->type_name("FILE");
  for (const TrainerOption& option : trainer_options()) {
    add_trainer_option(*train_app, option, *command);
  }
  train_app->footer(
      "Examples:\n"
      "  forerun serve smollm2-135m --trace-dir traces\n"
      "  forerun train smollm2-135m --traces traces --out head --epochs 2\n"
      "  forerun bench replay smollm2-135m --traces traces --head head");
  train_app->callback([command, &exit_code] { exit_code = train(*command); });
}

}  // namespace forerun
