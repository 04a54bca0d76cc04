#include "server/generate_reply.h"

#include <utility>

#include "server/json_reply.h"
#include "spec/draft_summary.h"

namespace forerun {
namespace {

OrderedJson finish_reason(const GeneratedChoice& choice) {
  if (!choice.finish) return nullptr;
  const FinishEvent& event = choice.finish->event;
  switch (event.reason) {
    case FinishReason::kLength:
      return {{"type", "length"}, {"length", event.completion_tokens}};
    case FinishReason::kCancelled:
      return {{"type", "abort"}, {"message", "the request was aborted"}};
    case FinishReason::kError:
    case FinishReason::kStop:
      break;
  }
  OrderedJson reason = {{"type", "stop"}};
  if (event.stop_id) reason["matched"] = *event.stop_id;
  return reason;
}

// In SGLang's names, where anything was drafted. The token behind each draft counts as one of its
// length.
void add_drafts(const DraftCounts& counts, OrderedJson& info) {
  if (counts.drafts == 0) return;
  const DraftTokens tokens = counts.all();
  info["spec_verify_ct"] = counts.drafts;
  info["spec_draft_token_num"] = tokens.drafted;
  info["spec_accept_token_num"] = tokens.accepted;
  info["spec_accept_length"] = acceptance_length(counts.drafts, tokens.accepted);
  info["spec_accept_rate"] = share(tokens.accepted, tokens.drafted);
}

}  // namespace

GenerateReply::GenerateReply(const Tokenizer* tokenizer, GenerateForm form)
    : tokenizer_(tokenizer), form_(std::move(form)) {}

std::string GenerateReply::whole(const std::vector<GeneratedChoice>& choices,
                                 const Usage& /*usage*/) {
  OrderedJson list = OrderedJson::array();
  const GeneratedChoice* first = nullptr;
  for (const GeneratedChoice& choice : choices) {
    if (first == nullptr || first->prompt != choice.prompt) first = &choice;
    list.push_back(choice_json(choice, *first));
  }
  return json_text(form_.is_list ? list : list.front());
}

void GenerateReply::piece(const GeneratedChoice& choice, std::string& events) {
  while (so_far_.size() <= static_cast<size_t>(choice.index)) so_far_.emplace_back();
  GeneratedChoice& all = so_far_[choice.index];
  all.index = choice.index;
  all.prompt = choice.prompt;
  all.text += choice.text;
  all.tokens.insert(all.tokens.end(), choice.tokens.begin(), choice.tokens.end());
  all.prompt_tokens.insert(all.prompt_tokens.end(), choice.prompt_tokens.begin(),
                           choice.prompt_tokens.end());
  all.finish = choice.finish;
  OrderedJson json = choice_json(all, all);
  if (form_.is_list) json["index"] = choice.index;
  events += "data: " + json_text(json) + "\n\n";
}

OrderedJson GenerateReply::choice_json(const GeneratedChoice& choice,
                                       const GeneratedChoice& first) const {
  const std::vector<int32_t> ids = ids_of(choice);
  OrderedJson info = {{"id", form_.ids[choice.prompt]},
                      {"finish_reason", finish_reason(choice)},
                      {"prompt_tokens", form_.prompts[choice.prompt].size()},
                      {"weight_version", form_.weight_version},
                      {"completion_tokens", ids.size()},
                      {"cached_tokens", choice.finish ? choice.finish->event.cached_tokens : 0}};
  if (choice.finish) {
    info["seed"] = choice.finish->event.seed;
    add_drafts(choice.finish->event.drafts, info);
  }
  if (form_.return_logprob) add_logprobs(choice, first, info);
  return {{"text", choice.text}, {"output_ids", ids}, {"meta_info", std::move(info)}};
}

// [log-prob, id, text]
OrderedJson GenerateReply::logprob(const LoggedToken& token) const {
  OrderedJson entry = OrderedJson::array();
  entry.push_back(token.logprob ? OrderedJson(finite_logprob(*token.logprob)) : OrderedJson());
  entry.push_back(token.id);
  entry.push_back(form_.return_text_in_logprobs ? OrderedJson(token_text(tokenizer_, token.id))
                                                : OrderedJson());
  return entry;
}

OrderedJson GenerateReply::tops(std::span<const LoggedToken> tokens, bool prompt) const {
  OrderedJson list = OrderedJson::array();
  if (prompt) list.push_back(nullptr);
  for (const LoggedToken& token : tokens) {
    OrderedJson top = OrderedJson::array();
    for (const TokenLogprob& one : token.top) top.push_back(logprob({one.token_id, one.logprob}));
    list.push_back(std::move(top));
  }
  return list;
}

void GenerateReply::add_logprobs(const GeneratedChoice& choice, const GeneratedChoice& first,
                                 OrderedJson& info) const {
  const auto list_of = [this](std::span<const LoggedToken> tokens) {
    OrderedJson list = OrderedJson::array();
    for (const LoggedToken& token : tokens) list.push_back(logprob(token));
    return list;
  };
  const bool whole_prompt = form_.logprob_start == 0;
  if (form_.logprob_start >= 0) {
    OrderedJson input = list_of(first.prompt_tokens);
    // Nothing predicts a prompt's first token.
    if (whole_prompt) {
      input.insert(input.begin(), logprob({form_.prompts[choice.prompt].front()}));
    }
    info["input_token_logprobs"] = std::move(input);
  }
  info["output_token_logprobs"] = list_of(choice.tokens);
  if (form_.top_logprobs == 0) return;
  if (form_.logprob_start >= 0) {
    info["input_top_logprobs"] = tops(first.prompt_tokens, whole_prompt);
  }
  info["output_top_logprobs"] = tops(choice.tokens, false);
}

}  // namespace forerun
