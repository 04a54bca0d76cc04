#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "base/json.h"
#include "commands.h"
#include "formats/gguf.h"
#include "formats/model_path.h"
#include "model_options.h"
#include "text/gguf_tokenizer.h"
#include "text/tokenizer.h"
#include "text_input.h"

namespace forerun {
namespace {

constexpr size_t kMostTextBytes = 16'000'000;

struct TokenizeOptions {
  std::string model;
  std::string text;
  std::string file;
  bool parse_special = false;
  bool no_added = false;
  bool ids = false;
  bool json = false;
};

// The tokenizer alone, without the model's weights.
Result<Tokenizer> load_tokenizer(const std::string& argument) {
  const std::string json =
      std::filesystem::is_directory(argument) ? argument + "/tokenizer.json" : argument;
  if (json.ends_with(".json") && std::filesystem::exists(json)) return Tokenizer::from_file(json);
  const Result<std::string> path = resolve_model(argument);
  if (!path.ok()) return path.error();
  const Result<Gguf> gguf = Gguf::open(*path, GgufTypes::kAny);
  if (!gguf.ok()) return gguf.error();
  return read_gguf_tokenizer(*gguf);
}

// Bytes that are not UTF-8 show as U+FFFD in both.
std::string quoted(std::string_view bytes) {
  return Json(bytes).dump(/*indent=*/-1, ' ', false, Json::error_handler_t::replace);
}

std::string report(const TokenizeOptions& options, const Tokenizer& tokenizer,
                   const std::vector<int32_t>& ids) {
  if (options.ids) return Json(ids).dump() + "\n";
  std::string text;
  for (const int32_t id : ids) {
    const std::string token = quoted(tokenizer.token_bytes(id));
    if (options.json) {
      text += (text.empty() ? "" : ",\n  ") + ("{\"id\": " + std::to_string(id)) +
              ", \"token\": " + token +
              ", \"special\": " + (tokenizer.is_special(id) ? "true}" : "false}");
    } else {
      text += std::to_string(id) + "\t" + token + (tokenizer.is_special(id) ? "\tspecial\n" : "\n");
    }
  }
  return options.json ? "[\n  " + text + "\n]\n" : text;
}

int tokenize(const TokenizeOptions& options) {
  if (options.text.empty() && options.file.empty()) {
    return failed(Error{"there is no text; give some with -p or -f"});
  }
  std::string text = options.text;
  if (!options.file.empty() || options.text == "-") {
    Result<std::string> read = read_text(options.file.empty() ? "-" : options.file, kMostTextBytes);
    if (!read.ok()) return failed(read.error());
    text = std::move(*read);
  }
  const Result<Tokenizer> tokenizer = load_tokenizer(options.model);
  if (!tokenizer.ok()) return failed(tokenizer.error());
  const auto ids = tokenizer->encode(text, !options.no_added, options.parse_special);
  if (!ids.ok()) return failed(ids.error());
  const std::string shown = report(options, *tokenizer, *ids);
  std::fwrite(shown.data(), 1, shown.size(), stdout);
  if (std::fflush(stdout) != 0) return failed(Error{"cannot write the tokens"});
  return 0;
}

}  // namespace

void add_tokenize(CLI::App& app, int& exit_code) {
  const auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command = app.add_subcommand("tokenize", "Show the tokens of a text");
  command->group(kModelCommands);
  command
      ->add_option("MODEL", options->model,
                   "A pulled model, a .gguf file, a tokenizer.json or its folder")
      ->required()
      ->type_name("");
  CLI::Option* text =
      command->add_option("-p,--prompt", options->text, "The text; - reads standard input");
  text->type_name("TEXT");
  CLI::Option* file =
      command->add_option("-f,--file", options->file, "Read it from a file; - is standard input");
  file->type_name("FILE")->excludes(text);
  command->add_flag("--special", options->parse_special,
                    "Read the texts of special tokens as those tokens");
  command->add_flag("--no-added", options->no_added,
                    "Leave out the tokens that the model puts around a text");
  CLI::Option* ids = command->add_flag("--ids", options->ids, "Print the ids alone, as a list");
  ids->group(kOutputOptions);
  add_json(*command, options->json)->excludes(ids);
  command->callback([options, &exit_code] { exit_code = tokenize(*options); });
}

}  // namespace forerun
