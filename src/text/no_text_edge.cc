// The text edge of a build without the Rust crate: every door says so.
#include "text/chat_template.h"
#include "text/grammar.h"
#include "text/tokenizer.h"

namespace forerun {
namespace {

Error no_text_edge() {
  return {"this build has no text edge (FORERUN_TEXT=OFF): it takes and gives token ids"};
}

}  // namespace

struct Tokenizer::State {
  Vocabulary vocabulary;
};

Tokenizer::Tokenizer(std::shared_ptr<const State> state, SpecialTokens special)
    : state_(std::move(state)), special_(std::move(special)) {}

Tokenizer Tokenizer::with(SpecialTokens special) const {
  return {state_, std::move(special)};
}

Result<Tokenizer> Tokenizer::create(const TokenizerSpec&) {
  return no_text_edge();
}
Result<Tokenizer> Tokenizer::from_file(const std::string&) {
  return no_text_edge();
}
Result<Tokenizer> Tokenizer::from_json(std::string_view) {
  return no_text_edge();
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view, bool, bool) const {
  return no_text_edge();
}

std::string Tokenizer::decode(std::span<const int32_t> ids, DecodeOptions options) const {
  return forerun::decode(state_->vocabulary, ids, options);
}

const Vocabulary& Tokenizer::vocabulary() const {
  return state_->vocabulary;
}
const ForerunTokenizer* Tokenizer::crate_handle() const {
  return nullptr;
}
bool Tokenizer::is_end(int32_t) const {
  return false;
}
Result<std::string> render_chat(std::string_view, const OrderedJson&, const ChatOptions&) {
  return no_text_edge();
}

// No grammar is ever made, so nobody follows one.
void GrammarMatcher::Free::operator()(ForerunMatcher*) const {}
void Grammar::Free::operator()(ForerunGrammar*) const {}
void GrammarEnvironment::Free::operator()(ForerunGrammarEnvironment*) const {}

Result<GrammarEnvironment> GrammarEnvironment::create(const Tokenizer&) {
  return no_text_edge();
}
Result<std::shared_ptr<const Grammar>> GrammarEnvironment::compile(const GrammarSpec&) const {
  return no_text_edge();
}
Result<GrammarMatcher> Grammar::matcher() const {
  return no_text_edge();
}
Result<GrammarMatcher> GrammarMatcher::clone() const {
  return no_text_edge();
}
Status GrammarMatcher::mask(std::span<uint32_t>) {
  return no_text_edge();
}
Status GrammarMatcher::accept(int32_t) {
  return no_text_edge();
}
Result<size_t> GrammarMatcher::count_valid(std::span<const int32_t>) {
  return no_text_edge();
}
Status GrammarMatcher::rollback(size_t) {
  return no_text_edge();
}

}  // namespace forerun
