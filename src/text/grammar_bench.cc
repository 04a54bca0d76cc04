// What a grammar costs on SmolLM2's vocabulary of 49,152 tokens, with a schema as people send it:
// once for the tokenizer, once for the schema, once for a choice, and for every token.
//   forerun pull smollm2-135m; grammar_bench
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/check.h"
#include "formats/gguf.h"
#include "text/gguf_tokenizer.h"
#include "text/grammar.h"

namespace forerun {
namespace {

constexpr char kSchema[] = R"({"type": "object", "properties": {
  "name": {"type": "string", "minLength": 1, "maxLength": 80},
  "age": {"type": "integer", "minimum": 0, "maximum": 150},
  "email": {"type": "string", "format": "email"},
  "role": {"enum": ["admin", "editor", "reader"]},
  "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 8},
  "address": {"$ref": "#/$defs/address"}},
  "required": ["name", "age", "email", "role", "tags", "address"], "additionalProperties": false,
  "$defs": {"address": {"type": "object", "properties": {"street": {"type": "string"},
    "city": {"type": "string"}, "zip": {"type": "string", "pattern": "^[0-9]{5}$"}},
    "required": ["street", "city", "zip"], "additionalProperties": false}}})";
constexpr char kText[] = R"({"name": "Ada Lovelace, Countess", "age": 36,
  "email": "ada@analytical.engine", "role": "editor", "tags": ["mathematics", "engines", "notes"],
  "address": {"street": "12 St James's Square", "city": "London", "zip": "01815"}})";

const Tokenizer& tokenizer() {
  static const Result<Tokenizer> made = [] {
    const Result<Gguf> file =
        Gguf::open(std::string(std::getenv("HOME")) +
                   "/.cache/forerun/models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf");
    CHECK(file.ok(), file.error().message);
    return read_gguf_tokenizer(*file);
  }();
  return *made;
}

const GrammarEnvironment& environment() {
  static const Result<GrammarEnvironment> made = GrammarEnvironment::create(tokenizer());
  return *made;
}

std::shared_ptr<const Grammar> compiled(GrammarKind kind) {
  return *environment().compile({kind, kSchema});
}

void tokenizers_trie(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(GrammarEnvironment::create(tokenizer()));
}
BENCHMARK(tokenizers_trie)->Unit(benchmark::kMillisecond);

void compile(benchmark::State& state) {
  const auto kind = static_cast<GrammarKind>(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(compiled(kind));
  state.counters["bytes"] = static_cast<double>(compiled(kind)->memory_bytes());
}
BENCHMARK(compile)->ArgName("kind")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

void make_matcher(benchmark::State& state) {
  const auto grammar = compiled(static_cast<GrammarKind>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(grammar->matcher());
}
BENCHMARK(make_matcher)->ArgName("kind")->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);

// Each token of the text: its accept() and the mask behind it.
void mask_of_a_token(benchmark::State& state) {
  const auto grammar = compiled(static_cast<GrammarKind>(state.range(0)));
  const std::vector<int32_t> tokens = *tokenizer().encode(kText, false, false);
  std::vector<uint32_t> mask(mask_words(tokenizer().vocab_size()));
  std::vector<double> micros;
  for (auto _ : state) {
    Result<GrammarMatcher> matcher = grammar->matcher();
    for (const int32_t token : tokens) {
      const auto begin = std::chrono::steady_clock::now();
      CHECK(matcher->accept(token).ok() && matcher->mask(mask).ok(), "the text fits");
      const std::chrono::duration<double, std::micro> taken =
          std::chrono::steady_clock::now() - begin;
      micros.push_back(taken.count());
    }
  }
  std::sort(micros.begin(), micros.end());
  state.counters["tokens"] = static_cast<double>(tokens.size());
  state.counters["p50_us"] = micros[micros.size() / 2];
  state.counters["p99_us"] = micros[micros.size() * 99 / 100];
  state.counters["max_us"] = micros.back();
}
BENCHMARK(mask_of_a_token)->ArgName("kind")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace forerun

BENCHMARK_MAIN();
