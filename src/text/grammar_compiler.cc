#include "text/grammar_compiler.h"

#include <algorithm>
#include <utility>

namespace forerun {

GrammarCompiler::GrammarCompiler(Tokenizer tokenizer, Limits limits)
    : tokenizer_(std::move(tokenizer)), limits_(limits) {}

size_t GrammarCompiler::Entry::bytes() const {
  if (!compiled || !compiled->ok()) return 0;
  return sizeof(Entry) + spec.text.size() + (**compiled)->memory_bytes();
}

Result<std::shared_ptr<const Grammar>> GrammarCompiler::compile(const GrammarSpec& spec) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (const EntryPtr entry = find(spec)) {
    compiled_.wait(lock, [&] { return entry->compiled.has_value(); });
    return *entry->compiled;
  }
  const EntryPtr entry = std::make_shared<Entry>(Entry{spec});
  entries_.push_front(entry);
  lock.unlock();
  Compiled compiled = compile_now(spec);
  lock.lock();
  entry->compiled = std::move(compiled);
  compiled_.notify_all();
  kept_bytes_ += entry->bytes();
  if (!entry->compiled->ok()) entries_.remove(entry);
  drop_oldest();
  return *entry->compiled;
}

GrammarCompiler::EntryPtr GrammarCompiler::find(const GrammarSpec& spec) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const EntryPtr& entry) { return entry->spec == spec; });
  if (found == entries_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found);
  return entries_.front();
}

GrammarCompiler::Compiled GrammarCompiler::compile_now(const GrammarSpec& spec) {
  const Result<GrammarEnvironment>& shared = environment();
  if (!shared.ok()) return shared.error();
  return shared->compile(spec);
}

const Result<GrammarEnvironment>& GrammarCompiler::environment() {
  std::call_once(environment_made_,
                 [this] { environment_.emplace(GrammarEnvironment::create(tokenizer_)); });
  return *environment_;
}

// What others still compile stays: they are few, and find their entry again.
void GrammarCompiler::drop_oldest() {
  auto oldest = entries_.end();
  while (oldest != entries_.begin() &&
         (kept_bytes_ > limits_.memory_bytes || entries_.size() > limits_.entries)) {
    --oldest;
    if (!(*oldest)->compiled) continue;
    kept_bytes_ -= (*oldest)->bytes();
    oldest = entries_.erase(oldest);
  }
}

size_t GrammarCompiler::num_entries() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return entries_.size();
}

size_t GrammarCompiler::memory_bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return kept_bytes_;
}

}  // namespace forerun
