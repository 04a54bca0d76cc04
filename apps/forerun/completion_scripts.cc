#include <algorithm>

#include "completion_tables.h"

namespace forerun {
namespace {

// 'text', as all three shells read it; fish alone needs its backslashes doubled.
std::string quoted(const std::string& text, bool for_fish = false) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') {
      result += "'\\''";
    } else {
      result += for_fish && c == '\\' ? "\\\\" : std::string(1, c);
    }
  }
  return result + "'";
}

std::string joined(const std::vector<std::string>& words, const std::string& between) {
  std::string result;
  for (const std::string& word : words) result += (result.empty() ? "" : between) + word;
  return result;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

const CompletionCommand& command_of(const std::vector<CompletionCommand>& commands,
                                    const std::string& path) {
  return *std::find_if(commands.begin(), commands.end(),
                       [&](const CompletionCommand& command) { return command.path == path; });
}

std::string below(const CompletionCommand& command, const std::string& name) {
  return command.path.empty() ? name : command.path + " " + name;
}

// " bench engine"|" bench score": the patterns of a case over the words of commands so far.
std::string paths_pattern(const std::vector<CompletionCommand>& commands) {
  std::vector<std::string> patterns;
  for (const CompletionCommand& command : commands) {
    if (!command.path.empty()) patterns.push_back("' " + command.path + "'");
  }
  return joined(patterns, "|");
}

// Names of a command's options with a value, each after the command's path.
std::string options_pattern(const std::vector<CompletionCommand>& commands, bool for_files) {
  std::vector<std::string> patterns;
  for (const CompletionCommand& command : commands) {
    for (const CompletionOption& option : command.options) {
      if (!option.takes_value || option.takes_file != for_files) continue;
      for (const std::string& name : option.names) {
        patterns.push_back("' " + (command.path.empty() ? "" : command.path + " ") + name + "'");
      }
    }
  }
  return joined(patterns, "|");
}

std::string zsh_function(const std::string& program, const std::string& path) {
  return "_" + program + (path.empty() ? "" : "_" + replaced(path, " ", "_"));
}

// What stands in [] of an _arguments specification.
std::string zsh_text(const std::string& text) {
  return replaced(replaced(replaced(text, "\\", "\\\\"), "[", "\\["), "]", "\\]");
}

std::string zsh_option(const CompletionOption& option) {
  const std::string value = !option.takes_value ? ""
                            : option.takes_file ? ":file:_files"
                                                : ":value: ";
  std::string lines;
  for (const std::string& name : option.names) {
    lines += " \\\n    " + quoted("*" + name + "[" + zsh_text(option.description) + "]" + value);
  }
  return lines;
}

std::string zsh_subcommands(const std::string& program, const CompletionCommand& command,
                            const std::vector<CompletionCommand>& commands) {
  std::string rows;
  std::string cases;
  for (const std::string& name : command.subcommands) {
    const CompletionCommand& sub = command_of(commands, below(command, name));
    rows += "      " + quoted(name + ":" + replaced(sub.description, ":", "\\:")) + "\n";
    cases += "      " + name + ") " + zsh_function(program, sub.path) + " ;;\n";
  }
  return "  case $state in\n"
         "    command)\n"
         "      local -a commands=(\n" +
         rows +
         "      )\n"
         "      _describe command commands ;;\n"
         "    rest)\n"
         "      case $line[1] in\n" +
         cases +
         "      esac ;;\n"
         "  esac\n";
}

}  // namespace

std::string bash_completion(const std::string& program,
                            const std::vector<CompletionCommand>& commands) {
  std::string cases;
  for (const CompletionCommand& command : commands) {
    std::vector<std::string> words = command.subcommands;
    for (const CompletionOption& option : command.options) {
      words.insert(words.end(), option.names.begin(), option.names.end());
    }
    cases += "    " + quoted(command.path.empty() ? "" : " " + command.path) +
             ")\n      words=" + quoted(joined(words, " ")) +
             (command.takes_files ? " files=yes" : "") + " ;;\n";
  }
  return "# bash completion for " + program + "; made by: " + program +
         " completion bash\n"
         "_" +
         program +
         "() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
         "  local path='' words='' files='' word\n"
         "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
         "    case \"$path $word\" in\n"
         "      " +
         paths_pattern(commands) +
         ") path+=\" $word\" ;;\n"
         "    esac\n"
         "  done\n"
         "  case \"$path\" in\n" +
         cases +
         "  esac\n"
         "  case \"$path $before\" in\n"
         "    " +
         options_pattern(commands, true) +
         ") words='' files=yes ;;\n"
         "    " +
         options_pattern(commands, false) +
         ") return ;;\n"
         "  esac\n"
         "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
         "  if [[ $files && $current != -* ]]; then\n"
         "    compopt -o filenames 2>/dev/null\n"
         "    mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
         "  fi\n"
         "}\n"
         "complete -F _" +
         program + " " + program + "\n";
}

std::string zsh_completion(const std::string& program,
                           const std::vector<CompletionCommand>& commands) {
  std::string script = "#compdef " + program + "\n# made by: " + program + " completion zsh\n\n";
  for (const CompletionCommand& command : commands) {
    const bool has_subcommands = !command.subcommands.empty();
    script += zsh_function(program, command.path) + "() {\n";
    if (has_subcommands) script += "  local state line\n";
    script += std::string("  _arguments ") + (has_subcommands ? "-C" : "-S");
    for (const CompletionOption& option : command.options) script += zsh_option(option);
    if (has_subcommands) script += " \\\n    '1: :->command' '*:: :->rest'";
    if (command.takes_files) script += " \\\n    '*:file:_files'";
    script += "\n";
    if (has_subcommands) script += zsh_subcommands(program, command, commands);
    script += "}\n\n";
  }
  // As a file of $fpath it is the body of a function; sourced, it tells what it completes.
  return script + "if [[ $funcstack[1] = _" + program + " ]]; then\n  _" + program +
         " \"$@\"\nelse\n  compdef _" + program + " " + program + "\nfi\n";
}

std::string fish_completion(const std::string& program,
                            const std::vector<CompletionCommand>& commands) {
  std::string script = "# fish completion for " + program + "; made by: " + program +
                       " completion fish\n"
                       "function __" +
                       program +
                       "_is_at --description 'Whether these commands stand on the line'\n"
                       "  set -l path\n"
                       "  for word in (commandline -opc)[2..-1]\n"
                       "    switch \"$path $word\"\n"
                       "      case " +
                       replaced(paths_pattern(commands), "|", " ") +
                       "\n"
                       "        set path \"$path $word\"\n"
                       "    end\n"
                       "  end\n"
                       "  test \"$path\" = \"$argv[1]\"\n"
                       "end\n"
                       "complete -c " +
                       program + " -f\n";
  for (const CompletionCommand& command : commands) {
    const std::string path = command.path.empty() ? "" : " " + command.path;
    const std::string begin =
        "complete -c " + program + " -n \"__" + program + "_is_at '" + path + "'\"";
    for (const std::string& name : command.subcommands) {
      const CompletionCommand& sub = command_of(commands, below(command, name));
      script += begin + " -a " + name + " -d " + quoted(sub.description, true) + "\n";
    }
    for (const CompletionOption& option : command.options) {
      script += begin;
      for (const std::string& name : option.names) {
        script += name.rfind("--", 0) == 0 ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      script += (option.takes_file    ? " -rF"
                 : option.takes_value ? " -x"
                                      : "") +
                std::string(" -d ") + quoted(option.description, true) + "\n";
    }
    if (command.takes_files) script += begin + " -F\n";
  }
  return script;
}

}  // namespace forerun
