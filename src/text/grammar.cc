#include "text/grammar.h"

#include "text/crate_bytes.h"

namespace forerun {
namespace {

static_assert(static_cast<int>(GrammarKind::kJsonObject) == kForerunJsonObject);
static_assert(static_cast<int>(GrammarKind::kJsonSchema) == kForerunJsonSchema);
static_assert(static_cast<int>(GrammarKind::kRegex) == kForerunRegex);
static_assert(static_cast<int>(GrammarKind::kLark) == kForerunLark);

GrammarNext next_of(const ForerunNext& next) {
  return {.end = next.accepting, .only_end = next.complete};
}

}  // namespace

void GrammarMatcher::Free::operator()(ForerunMatcher* matcher) const {
  forerun_matcher_free(matcher);
}
void Grammar::Free::operator()(ForerunGrammar* grammar) const {
  forerun_grammar_free(grammar);
}
void GrammarEnvironment::Free::operator()(ForerunGrammarEnvironment* environment) const {
  forerun_grammar_environment_free(environment);
}

Status GrammarMatcher::mask(std::span<uint32_t> words) {
  ForerunNext next;
  ForerunBytes error;
  if (!forerun_matcher_mask(handle_.get(), words.data(), words.size(), &next, &error)) {
    return take_error(error);
  }
  next_ = next_of(next);
  return {};
}

Status GrammarMatcher::accept(int32_t token) {
  ForerunNext next;
  ForerunBytes error;
  if (!forerun_matcher_accept(handle_.get(), token, &next, &error)) return take_error(error);
  next_ = next_of(next);
  return {};
}

Result<size_t> GrammarMatcher::count_valid(std::span<const int32_t> tokens) {
  size_t num_valid = 0;
  ForerunBytes error;
  if (!forerun_matcher_count_valid(handle_.get(), tokens.data(), tokens.size(), &num_valid,
                                   &error)) {
    return take_error(error);
  }
  return num_valid;
}

Status GrammarMatcher::rollback(size_t num_tokens) {
  ForerunNext next;
  ForerunBytes error;
  if (!forerun_matcher_rollback(handle_.get(), num_tokens, &next, &error)) {
    return take_error(error);
  }
  next_ = next_of(next);
  return {};
}

Result<GrammarMatcher> GrammarMatcher::clone() const {
  ForerunMatcher* copy = nullptr;
  ForerunBytes error;
  if (!forerun_matcher_clone(handle_.get(), &copy, &error)) return take_error(error);
  return GrammarMatcher(Handle(copy), next_);
}

Result<GrammarMatcher> Grammar::matcher() const {
  ForerunMatcher* matcher = nullptr;
  ForerunBytes error;
  if (!forerun_matcher_new(handle_.get(), &matcher, &error)) return take_error(error);
  return GrammarMatcher(GrammarMatcher::Handle(matcher), first_next_);
}

Result<GrammarEnvironment> GrammarEnvironment::create(const Tokenizer& tokenizer) {
  const std::span<const int32_t> ends = tokenizer.end_ids();
  ForerunGrammarEnvironment* environment = nullptr;
  ForerunBytes error;
  if (!forerun_grammar_environment_new(tokenizer.crate_handle(), ends.data(), ends.size(),
                                       &environment, &error)) {
    return take_error(error);
  }
  return GrammarEnvironment(Handle(environment), tokenizer.vocab_size());
}

Result<std::shared_ptr<const Grammar>> GrammarEnvironment::compile(const GrammarSpec& spec) const {
  ForerunGrammar* compiled = nullptr;
  ForerunBytes error;
  if (!forerun_grammar_compile(handle_.get(), static_cast<uint32_t>(spec.kind), bytes_of(spec.text),
                               spec.text.size(), &compiled, &error)) {
    return take_error(error);
  }
  std::shared_ptr<Grammar> grammar(new Grammar(Grammar::Handle(compiled)));
  grammar->memory_bytes_ = forerun_grammar_bytes(compiled);
  Result<GrammarMatcher> first = grammar->matcher();
  if (!first.ok()) return first.error();
  grammar->first_mask_.resize(mask_words(vocab_size_));
  if (const Status status = first->mask(grammar->first_mask_); !status.ok()) return status.error();
  grammar->first_next_ = first->next();
  return std::shared_ptr<const Grammar>(std::move(grammar));
}

}  // namespace forerun
