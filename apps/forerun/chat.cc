#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "answer.h"
#include "answer_options.h"
#include "base/edit_distance.h"
#include "commands.h"
#include "conversation.h"
#include "formats/quote.h"
#include "interruption.h"
#include "loaded_model.h"
#include "message_reader.h"
#include "model_options.h"
#include "model_sampling.h"
#include "speculation_options.h"
#include "stream_answer.h"

namespace forerun {
namespace {

struct ChatFlags {
  std::string model;
  std::string system;
  AnswerOptions answer;
  bool quiet = false;
};

bool on_terminal() {
  return isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

// Writes a file that only its owner reads. It may replace one only when `replace`.
Status write_file(const std::string& path, const std::string& content, bool replace) {
  const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | (replace ? 0 : O_EXCL);
  const auto failure = [&] {
    return Error{"cannot write " + quote(path, 300) + ": " + std::strerror(errno)};
  };
  const int descriptor = open(path.c_str(), flags, 0600);
  if (descriptor < 0) return failure();
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(fdopen(descriptor, "w"), std::fclose);
  const bool written = std::fwrite(content.data(), 1, content.size(), file.get()) == content.size();
  if (!written || std::fflush(file.get()) != 0) return failure();
  return {};
}

// One conversation: takes messages and commands, writes answers to standard output and everything
// else to standard error.
class Chat final {
 public:
  Chat(const ChatFlags& options, const LoadedModel& loaded, Request request, Engine& engine)
      : quiet_(options.quiet),
        seed_(options.answer.seed),
        loaded_(loaded),
        request_(std::move(request)),
        engine_(engine),
        conversation_(*loaded.tokenizer, options.system) {}

  // Reads to the end; what the process ends with.
  int run(MessageReader& messages);

 private:
  struct Command {
    std::string_view name;
    std::string_view also;  // what other programs call it
    std::string_view argument;
    std::string_view help;
    Status (Chat::*run)(const std::string& argument);
  };
  static const std::vector<Command>& commands();

  Status take(const std::string& message);
  Status run_command(std::string_view line);
  Status reply();

  Status show_help(const std::string&);
  Status change_system(const std::string& text);
  Status reset(const std::string&);
  Status regenerate(const std::string&);
  Status save(const std::string& path);
  Status leave(const std::string&);

  // "(…)" on standard error.
  static void say(const std::string& text) { std::fprintf(stderr, "(%s)\n", text.c_str()); }

  const bool quiet_;
  const std::optional<uint64_t> seed_;
  const LoadedModel& loaded_;
  const Request request_;
  Engine& engine_;
  Conversation conversation_;
  Output output_;
  uint64_t tries_ = 0;  // answers given to the last question before
  std::string saved_to_;
  bool left_ = false;
};

const std::vector<Chat::Command>& Chat::commands() {
  static const std::vector<Command> kCommands = {
      {"/help", "/?", "", "tell what there is", &Chat::show_help},
      {"/system", "/set", "[TEXT]", "show or change the system message", &Chat::change_system},
      {"/reset", "/clear", "", "begin a new conversation", &Chat::reset},
      {"/regenerate", "/regen", "", "answer the last question anew", &Chat::regenerate},
      {"/save", "", "FILE", "write the conversation as JSON", &Chat::save},
      {"/exit", "/bye", "", "leave, as Ctrl-D does", &Chat::leave},
  };
  return kCommands;
}

int Chat::run(MessageReader& messages) {
  bool any_failed = false;
  while (!left_) {
    const Line message = messages.read();
    if (message.kind == Line::Kind::kEnd) break;
    if (message.kind == Line::Kind::kFailed) return failed({message.text});
    if (message.kind == Line::Kind::kInterrupted) {
      say("Ctrl-D leaves");
      continue;
    }
    if (const Status status = take(message.text); !status.ok()) {
      failed(status.error());
      any_failed = true;
    }
    if (output_.failed()) return failed(output_.error());
    // Who cannot be asked for more wants the program to end.
    if (!on_terminal() && interruption() != 0) return 128 + interruption();
  }
  return any_failed && !on_terminal() ? 1 : 0;
}

Status Chat::take(const std::string& message) {
  if (message.starts_with('/')) return run_command(message);
  const std::string_view question = trimmed(message);
  if (question.empty()) return {};
  conversation_.ask(std::string(question));
  tries_ = 0;
  Status status = reply();
  if (!status.ok()) conversation_.take_back_question();
  return status;
}

Status Chat::run_command(std::string_view line) {
  const size_t end = std::min(line.find_first_of(" \t\n"), line.size());
  const std::string name(line.substr(0, end));
  const std::string argument(trimmed(line.substr(end)));
  std::vector<std::string> names;
  for (const Command& command : commands()) {
    if (name == command.name || name == command.also) return (this->*command.run)(argument);
    names.emplace_back(command.name);
  }
  const std::optional<std::string> meant = probably_meant(name, names);
  return Error{"there is no " + quote(name) + "; " +
               (meant ? "did you mean " + *meant + "?" : "/help tells what there is") +
               " (a space before it makes it text)"};
}

// Answers the last question of the conversation.
Status Chat::reply() {
  const int64_t context = engine_.context_length();
  const int64_t quarter = context / 4;
  const int64_t answer_tokens =
      request_.max_tokens > 0 ? std::min(request_.max_tokens, quarter) : quarter;
  Result<Conversation::Prompt> prompt = conversation_.prompt(context - answer_tokens, context - 1);
  if (!prompt.ok()) return prompt.error();
  if (prompt->forgotten_turns > 0) {
    const int turns = prompt->forgotten_turns;
    say("the context of " + std::to_string(context) + " tokens is full; the oldest " +
        (turns == 1 ? "turn is" : std::to_string(turns) + " turns are") + " forgotten");
  }
  Request request = request_;
  request.prompt = std::move(prompt->tokens);
  if (seed_) request.sampling.seed = *seed_ + tries_;

  Answer answer(*loaded_.tokenizer, request);
  clear_interruption();
  Status ran = stream_answer(engine_, std::move(request), /*stream=*/true, answer, output_);
  if (!ran.ok()) return ran;
  output_.write("\n");
  if (!answer.error().empty()) return Error{answer.error()};
  conversation_.answer(std::string(answer.text()));
  if (!quiet_) std::fprintf(stderr, "\n%s\n\n", answer.turn_line().c_str());
  return {};
}

Status Chat::show_help(const std::string&) {
  for (const Command& command : commands()) {
    const std::string usage = std::string(command.name) + " " + std::string(command.argument);
    std::fprintf(stderr, "  %-16s  %s%s%s\n", usage.c_str(), std::string(command.help).c_str(),
                 command.also.empty() ? "" : "; also ", std::string(command.also).c_str());
  }
  std::fputs(
      "  Ctrl-C            end the answer\n"
      "A line that ends in \\ goes on in the next; \"\"\" begins and ends a text of many lines.\n",
      stderr);
  return {};
}

Status Chat::change_system(const std::string& text) {
  if (text.empty()) {
    say(conversation_.system().empty() ? "there is no system message"
                                       : "the system message: " + conversation_.system());
    return {};
  }
  conversation_.set_system(text);
  say("from now on; /reset begins a new conversation with it");
  return {};
}

Status Chat::reset(const std::string&) {
  conversation_.clear();
  say("a new conversation");
  return {};
}

Status Chat::regenerate(const std::string&) {
  if (conversation_.empty()) return Error{"there is no question to answer anew"};
  if (request_.sampling.greedy()) say("at temperature 0 the answer stays the same");
  ++tries_;
  conversation_.take_back_answer();
  return reply();
}

Status Chat::save(const std::string& path) {
  if (path.empty()) return Error{"/save needs a file's name"};
  const std::string content =
      conversation_.json().dump(/*indent=*/2, ' ', false, Json::error_handler_t::replace) + "\n";
  Status status = write_file(path, content, /*replace=*/path == saved_to_);
  if (!status.ok()) return status;
  saved_to_ = path;
  say("saved to " + quote(path, 300));
  return {};
}

Status Chat::leave(const std::string&) {
  left_ = true;
  return {};
}

int chat(const ChatFlags& options) {
  Result<Request> request = request_without_prompt(options.answer);
  if (!request.ok()) return failed(request.error());
  const Result<LoadedModel> loaded = load_model(options.model, options.answer.threads);
  if (!loaded.ok()) return failed(loaded.error());
  const Status sampling =
      use_model_sampling(loaded->model->files(), *options.answer.command, request->sampling);
  if (!sampling.ok()) return failed(sampling.error());
  const Result<const Tokenizer*> tokenizer = need_tokenizer(*loaded);
  if (!tokenizer.ok()) return failed(tokenizer.error());
  if ((*tokenizer)->chat_template().empty()) {
    return failed(
        {"the model has no chat template to talk by; forerun generate --raw continues "
         "plain text"});
  }
  const Result<LoadedDrafting> drafting = load_drafting(options.answer.speculation, *loaded);
  if (!drafting.ok()) return failed(drafting.error());
  const Result<std::unique_ptr<Engine>> engine =
      Engine::create(*loaded->model, *loaded->kernels, *loaded->team,
                     engine_options(options.answer, *loaded, drafting->options));
  if (!engine.ok()) return failed(engine.error());

  Chat chat(options, *loaded, std::move(*request), **engine);
  end_each_answer_on_interrupt();
  MessageReader messages(on_terminal() ? terminal_lines() : piped_lines());
  if (on_terminal() && !options.quiet) {
    std::fprintf(stderr, "%s, %lld tokens of context; /help tells what there is\n\n",
                 loaded->model->descriptor().name.c_str(),
                 static_cast<long long>((*engine)->context_length()));
  }
  return chat.run(messages);
}

}  // namespace

void add_chat(CLI::App& app, int& exit_code) {
  const auto options = std::make_shared<ChatFlags>();
  CLI::App* command = app.add_subcommand("chat", "Talk with a model");
  command->group(kRunCommands);
  add_model(*command, options->model);
  command->add_option("--system", options->system, "The system message")->type_name("TEXT");
  add_length_options(*command, options->answer, /*max_tokens=*/1024);
  add_sampling_options(*command, options->answer);
  command->add_flag("-q,--quiet", options->quiet, "No greeting, no timing lines")
      ->group(kOutputOptions);
  add_machine_options(*command, options->answer);
  command->footer(
      "Every line is a message; from a pipe too. /help tells the commands, Ctrl-C ends an answer,\n"
      "Ctrl-D the conversation. What was said before is found in the prefix cache, so that a turn\n"
      "costs what is new in it. Where the context is full, the oldest turns are forgotten.\n\n"
      "Examples:\n"
      "  forerun chat smollm2-135m\n"
      "  forerun chat smollm2-135m --system \"Answer in one sentence.\" --temperature 0.7\n"
      "  printf 'Hello!\\nWhat did I say?\\n' | forerun chat smollm2-135m -q");
  command->callback([options, &exit_code] { exit_code = chat(*options); });
}

}  // namespace forerun
