#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <string>

#include "base/version.h"
#include "commands.h"
#include "formats/quote.h"
#include "help_format.h"
#include "usage_error.h"

namespace forerun {
namespace {

constexpr int kUsageError = 2;

constexpr void (*kCommands[])(CLI::App& app, int& exit_code) = {
    add_serve, add_chat,  add_generate, add_embed,    add_bench, add_pull,
    add_heads, add_train, add_inspect,  add_tokenize, add_isa,   add_completion,
};

int parse_and_run(int argc, char** argv) {
  CLI::App app("An LLM inference engine that runs ahead of its own model.", "forerun");
  app.set_version_flag("--version", "forerun " + std::string(kVersion));
  app.require_subcommand(1);
  // Of an option that is given twice the last counts, so that scripts can add to a command line.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.formatter(std::make_shared<HelpFormat>());
  app.footer("Run 'forerun COMMAND --help' for a command's own options.");
  int exit_code = 0;
  for (const auto add : kCommands) add(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help_or_version) {
    return app.exit(help_or_version);
  } catch (const CLI::ParseError& error) {
    std::fputs(explain_usage_error(app, error).c_str(), stderr);
    return kUsageError;
  }
  return exit_code;
}

// A full disk or a closed descriptor shows when what is left in the buffer is written.
int end_output(int exit_code) {
  const bool written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  if (written || exit_code != 0) return exit_code;
  return failed(Error{"cannot write to standard output"});
}

// Libraries may throw; the one place where that would end the process without a sentence.
int run(int argc, char** argv) noexcept {
  try {
    return end_output(parse_and_run(argc, argv));
  } catch (const std::bad_alloc&) {
    return failed(Error{"there is not enough memory, or address space (ulimit -v)"});
  } catch (const std::exception& error) {
    return failed(Error{error.what()});
  }
}

}  // namespace

int failed(const Error& error) {
  // Names from files may stand in the sentence, and a terminal obeys control characters.
  const std::string quoted = quote(error.message, std::string::npos);
  std::fprintf(stderr, "forerun: %s\n", quoted.substr(1, quoted.size() - 2).c_str());
  return 1;
}

}  // namespace forerun

int main(int argc, char** argv) {
  // A file that may grow no further is an error to tell of. A reader that goes away ends the
  // process without a word (SIGPIPE), as people who type `| head` expect.
  std::signal(SIGXFSZ, SIG_IGN);
  return forerun::run(argc, argv);
}
