#pragma once

#include <condition_variable>
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <optional>

#include "base/result.h"
#include "text/grammar.h"
#include "text/tokenizer.h"

namespace forerun {

// Compiles grammars for a tokenizer and keeps those last asked for. Any number of threads may use
// one; what several ask for at once is compiled once.
class GrammarCompiler final {
 public:
  struct Limits {
    size_t memory_bytes = 256 << 20;  // of the kept grammars and their texts
    size_t entries = 256;
  };

  explicit GrammarCompiler(Tokenizer tokenizer) : GrammarCompiler(std::move(tokenizer), Limits{}) {}
  GrammarCompiler(Tokenizer tokenizer, Limits limits);

  // Takes as long as GrammarEnvironment::compile(), the first one as GrammarEnvironment::create()
  // besides: not for an engine's or an I/O thread. An Error is not kept.
  Result<std::shared_ptr<const Grammar>> compile(const GrammarSpec& spec);

  // Of what is kept.
  size_t num_entries() const;
  size_t memory_bytes() const;

 private:
  using Compiled = Result<std::shared_ptr<const Grammar>>;
  struct Entry {
    GrammarSpec spec;
    std::optional<Compiled> compiled = {};  // none: a thread is at it
    size_t bytes() const;
  };
  using EntryPtr = std::shared_ptr<Entry>;

  EntryPtr find(const GrammarSpec& spec);
  Compiled compile_now(const GrammarSpec& spec);
  const Result<GrammarEnvironment>& environment();
  void drop_oldest();

  const Tokenizer tokenizer_;
  const Limits limits_;
  std::once_flag environment_made_;
  std::optional<Result<GrammarEnvironment>> environment_;

  mutable std::mutex mutex_;
  std::condition_variable compiled_;
  std::list<EntryPtr> entries_;  // the last asked for first
  size_t kept_bytes_ = 0;
};

}  // namespace forerun
