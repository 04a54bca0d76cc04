#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

struct ForerunGrammar;
struct ForerunGrammarEnvironment;
struct ForerunMatcher;

namespace forerun {

enum class GrammarKind : uint8_t {
  kJsonObject,  // any JSON object; the text is not read
  kJsonSchema,  // up to 256 KiB; references only into the schema itself
  kRegex,       // of the whole output, in the syntax of Rust's `regex`; up to 16 KiB
  kLark,        // llguidance's dialect; up to 128 KiB
};

// What an output must follow, as a stranger writes it.
struct GrammarSpec {
  GrammarKind kind = GrammarKind::kJsonObject;
  std::string text = {};

  bool operator==(const GrammarSpec&) const = default;
};

// What may follow in a text that a grammar holds.
struct GrammarNext {
  bool end = false;       // its end
  bool only_end = false;  // nothing else
};

// Words of a mask over `vocab_size` tokens, as SamplePoint::allowed takes it.
constexpr size_t mask_words(int64_t vocab_size) {
  return static_cast<size_t>((vocab_size + 31) / 32);
}

// One output on its way through a grammar. What it allows depends on the grammar and the tokens
// alone. One thread at a time; needs neither grammar nor tokenizer to live. A call that gives an
// Error leaves it as it was only where it says so; else it is of no more use. A text whose next
// token would take the library too much work (some ten milliseconds, 40 MB) is such an Error.
class GrammarMatcher final {
 public:
  GrammarMatcher(GrammarMatcher&&) noexcept = default;
  GrammarMatcher& operator=(GrammarMatcher&&) noexcept = default;

  const GrammarNext& next() const { return next_; }

  // Bit t of word t / 32 becomes whether token t may come next; the tokenizer's end ids exactly
  // where next().end. Ids its vocabulary does not have are never allowed. All 0 after an end. An
  // Error also where nothing fits.
  Status mask(std::span<uint32_t> words);

  // Goes on by one token. An Error, and no change, when it may not come next.
  Status accept(int32_t token);

  // How many of the tokens may come, one after the other. Changes nothing.
  Result<size_t> count_valid(std::span<const int32_t> tokens);

  // Takes the last tokens back. An Error when there are not so many.
  Status rollback(size_t num_tokens);

  Result<GrammarMatcher> clone() const;

 private:
  friend class Grammar;
  struct Free {
    void operator()(ForerunMatcher* matcher) const;
  };
  using Handle = std::unique_ptr<ForerunMatcher, Free>;
  GrammarMatcher(Handle handle, GrammarNext next) : handle_(std::move(handle)), next_(next) {}

  Handle handle_;
  GrammarNext next_;
};

// A grammar compiled for a tokenizer. Immutable; threads may share it.
class Grammar final {
 public:
  // A matcher at the beginning of an output. Copies much of the grammar: tens of microseconds.
  Result<GrammarMatcher> matcher() const;

  // What may begin an output: GrammarMatcher::mask() of the tokenizer's vocabulary, and next().
  std::span<const uint32_t> first_mask() const { return first_mask_; }
  const GrammarNext& first_next() const { return first_next_; }

  size_t memory_bytes() const { return memory_bytes_; }  // about

 private:
  friend class GrammarEnvironment;
  struct Free {
    void operator()(ForerunGrammar* grammar) const;
  };
  using Handle = std::unique_ptr<ForerunGrammar, Free>;
  explicit Grammar(Handle handle) : handle_(std::move(handle)) {}

  Handle handle_;
  std::vector<uint32_t> first_mask_;
  GrammarNext first_next_;
  size_t memory_bytes_ = 0;
};

// What the grammars of one tokenizer share. GrammarCompiler (grammar_compiler.h) keeps one.
class GrammarEnvironment final {
 public:
  // Takes 10 to 300 ms. Needs the tokenizer no longer. An Error also where the build has no text
  // edge.
  static Result<GrammarEnvironment> create(const Tokenizer& tokenizer);

  // From any thread; most take some milliseconds, the worst five seconds. An Error says what is
  // wrong with the spec, or which limit it meets: text size, 64 levels of brackets, library fuel,
  // 128 MB, 5 s.
  Result<std::shared_ptr<const Grammar>> compile(const GrammarSpec& spec) const;

 private:
  struct Free {
    void operator()(ForerunGrammarEnvironment* environment) const;
  };
  using Handle = std::unique_ptr<ForerunGrammarEnvironment, Free>;
  GrammarEnvironment(Handle handle, int32_t vocab_size)
      : handle_(std::move(handle)), vocab_size_(vocab_size) {}

  Handle handle_;
  [[maybe_unused]] int32_t vocab_size_;  // unused where the text edge is left out
};

}  // namespace forerun
