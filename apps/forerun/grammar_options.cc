#include "grammar_options.h"

#include "text_input.h"

namespace forerun {
namespace {

constexpr size_t kMostGrammarBytes = 1'000'000;

Result<std::optional<GrammarSpec>> read_spec(const GrammarOptions& options) {
  if (options.json_object) return std::optional(GrammarSpec{GrammarKind::kJsonObject});
  if (options.regex) return std::optional(GrammarSpec{GrammarKind::kRegex, *options.regex});
  const bool is_schema = options.schema_file.has_value();
  const std::optional<std::string>& file = is_schema ? options.schema_file : options.lark_file;
  if (!file) return std::optional<GrammarSpec>();
  Result<std::string> text = read_text(*file, kMostGrammarBytes);
  if (!text.ok()) return text.error();
  const GrammarKind kind = is_schema ? GrammarKind::kJsonSchema : GrammarKind::kLark;
  return std::optional(GrammarSpec{kind, std::move(*text)});
}

}  // namespace

void add_grammar_options(CLI::App& command, GrammarOptions& options) {
  constexpr char kGroup[] = "Form of the answer";
  CLI::Option* object = command.add_flag("--json-object", options.json_object, "A JSON object");
  CLI::Option* schema = command.add_option("--json-schema", options.schema_file,
                                           "JSON that fits the JSON schema in a file");
  CLI::Option* regex =
      command.add_option("--regex", options.regex, "What a regular expression matches");
  CLI::Option* lark = command.add_option(
      "--grammar", options.lark_file, "What the Lark grammar in a file (llguidance's) describes");
  schema->type_name("FILE");
  regex->type_name("REGEX");
  lark->type_name("FILE");
  for (CLI::Option* option : {object, schema, regex, lark}) {
    option->group(kGroup);
    for (CLI::Option* other : {object, schema, regex, lark}) {
      if (other != option) option->excludes(other);
    }
  }
}

Result<std::shared_ptr<const Grammar>> compile_grammar(const GrammarOptions& options,
                                                       const Tokenizer& tokenizer) {
  const Result<std::optional<GrammarSpec>> spec = read_spec(options);
  if (!spec.ok()) return spec.error();
  if (!spec->has_value()) return std::shared_ptr<const Grammar>();
  const Result<GrammarEnvironment> environment = GrammarEnvironment::create(tokenizer);
  if (!environment.ok()) return environment.error();
  return environment->compile(**spec);
}

}  // namespace forerun
