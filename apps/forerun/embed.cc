#include <charconv>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "commands.h"
#include "loaded_encoder.h"
#include "model_options.h"
#include "text_input.h"

namespace forerun {
namespace {

// Texts encoded in one call: what is written comes in steps of this.
constexpr size_t kTextsAtATime = 256;
constexpr size_t kMostTextBytes = 256'000'000;

struct EmbedOptions {
  std::string model;
  std::string text;
  std::string file;
  int threads = 0;
  bool quiet = false;
};

// The text of -p, or the lines of -f.
Result<std::vector<std::string>> read_texts(const EmbedOptions& options) {
  if (options.file.empty()) return std::vector<std::string>{options.text};
  const Result<std::string> text = read_text(options.file, kMostTextBytes);
  if (!text.ok()) return text.error();
  std::vector<std::string> lines;
  for (size_t begin = 0; begin <= text->size();) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    lines.push_back(text->substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

// {"index": 0, "tokens": 5, "embedding": [...]}
std::string json_line(size_t index, size_t num_tokens, std::span<const float> vector) {
  std::string line = "{\"index\": " + std::to_string(index) +
                     ", \"tokens\": " + std::to_string(num_tokens) + ", \"embedding\": [";
  for (const float value : vector) {
    char digits[32];
    const auto end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
    if (line.back() != '[') line += ',';
    line.append(digits, end);
  }
  return line += "]}\n";
}

// Encodes texts first … first + ids.size() and writes a line for each.
Status embed_some(SentenceEncoder& encoder, size_t first,
                  const std::vector<std::vector<int32_t>>& ids, double& seconds) {
  const std::vector<std::span<const int32_t>> texts(ids.begin(), ids.end());
  const auto dimension = static_cast<size_t>(encoder.dimension());
  std::vector<float> vectors(ids.size() * dimension);
  const double start = now_seconds();
  if (Status status = encoder.encode(texts, vectors); !status.ok()) return status;
  seconds += now_seconds() - start;
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::span<const float> vector(vectors.data() + i * dimension, dimension);
    const std::string line = json_line(first + i, ids[i].size(), vector);
    std::fwrite(line.data(), 1, line.size(), stdout);
  }
  if (std::fflush(stdout) != 0) return Error{"cannot write the vectors"};
  return {};
}

Status embed_all(LoadedEncoder& loaded, const std::vector<std::string>& texts, bool quiet) {
  double seconds = 0.0;
  size_t num_tokens = 0;
  for (size_t first = 0; first < texts.size(); first += kTextsAtATime) {
    std::vector<std::vector<int32_t>> ids;
    for (size_t i = first; i < std::min(first + kTextsAtATime, texts.size()); ++i) {
      auto encoded =
          loaded.tokenizer.encode(texts[i], /*add_special=*/true, /*parse_special=*/false);
      if (!encoded.ok()) return encoded.error();
      num_tokens += encoded->size();
      ids.push_back(std::move(*encoded));
    }
    if (Status status = embed_some(*loaded.encoder, first, ids, seconds); !status.ok()) {
      return status;
    }
  }
  if (!quiet) {
    std::fprintf(stderr, "%zu texts, %zu tokens: %.0f texts/s, %.0f tokens/s on %d threads\n",
                 texts.size(), num_tokens, static_cast<double>(texts.size()) / seconds,
                 static_cast<double>(num_tokens) / seconds, loaded.team->size());
  }
  return {};
}

int embed(const EmbedOptions& options) {
  if (options.text.empty() && options.file.empty()) {
    return failed(Error{"there is no text; give one with -p or a file of them with -f"});
  }
  const Result<std::vector<std::string>> texts = read_texts(options);
  if (!texts.ok()) return failed(texts.error());
  Result<LoadedEncoder> loaded = load_encoder(options.model, options.threads);
  if (!loaded.ok()) return failed(loaded.error());
  const Status status = embed_all(*loaded, *texts, options.quiet);
  return status.ok() ? 0 : failed(status.error());
}

}  // namespace

void add_embed(CLI::App& app, int& exit_code) {
  const auto options = std::make_shared<EmbedOptions>();
  CLI::App* command = app.add_subcommand("embed", "Turn texts into vectors, a JSON line for each");
  command->group(kRunCommands);
  command->add_option("MODEL", options->model, "A pulled sentence encoder, or the folder of one")
      ->required()
      ->type_name("");
  CLI::Option* text = command->add_option("-p,--prompt", options->text, "One text");
  text->type_name("TEXT");
  CLI::Option* file = command->add_option("-f,--file", options->file,
                                          "Each line of a file is one; - is standard input");
  file->type_name("FILE")->excludes(text);
  add_threads(*command, options->threads);
  command->add_flag("-q,--quiet", options->quiet, "Do not tell the speed")->group(kOutputOptions);
  command->callback([options, &exit_code] { exit_code = embed(*options); });
}

}  // namespace forerun
