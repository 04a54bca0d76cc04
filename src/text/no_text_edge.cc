// The text edge of a build without the Rust crate: every door says so.
#include "text/chat_template.h"
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
bool Tokenizer::is_end(int32_t) const {
  return false;
}
Result<std::string> render_chat(std::string_view, const OrderedJson&, const ChatOptions&) {
  return no_text_edge();
}

}  // namespace forerun
