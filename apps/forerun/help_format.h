#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <utility>

namespace forerun {

// How `--help` looks: what an option takes, its default, and one blank line between groups. Which
// options go together is told when they do not.
class HelpFormat final : public CLI::Formatter {
 public:
  HelpFormat() { column_width(34); }

  std::string make_option_opts(const CLI::Option* option) const override {
    std::string text;
    if (!option->get_type_name().empty() && option->get_type_size() != 0) {
      text += " " + option->get_type_name();
    }
    const std::string value = option->get_default_str();
    if (!value.empty() && value != "\"\"") text += " (" + without_brackets(value) + ")";
    if (!option->get_envname().empty()) text += " ($" + option->get_envname() + ")";
    return text;
  }

  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override {
    std::string text = CLI::Formatter::make_help(app, std::move(name), mode);
    for (size_t at = text.find("\n\n\n"); at != std::string::npos; at = text.find("\n\n\n")) {
      text.erase(at, 1);
    }
    return text;
  }

 private:
  // "[1,4,8]" of a list.
  static std::string without_brackets(const std::string& value) {
    const bool is_list = value.size() > 2 && value.front() == '[' && value.back() == ']';
    return is_list ? value.substr(1, value.size() - 2) : value;
  }
};

}  // namespace forerun
