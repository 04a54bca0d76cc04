#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "text/grammar.h"
#include "text/tokenizer.h"

namespace forerun {

// What an answer must follow, as the command line says it; at most one.
struct GrammarOptions {
  bool json_object = false;
  std::optional<std::string> schema_file;
  std::optional<std::string> regex;
  std::optional<std::string> lark_file;
};

void add_grammar_options(CLI::App& command, GrammarOptions& options);

// Null where there is none. An Error names the file or what is wrong in it.
Result<std::shared_ptr<const Grammar>> compile_grammar(const GrammarOptions& options,
                                                       const Tokenizer& tokenizer);

}  // namespace forerun
