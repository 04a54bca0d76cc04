#include "spec/history_drafter.h"

#include <algorithm>

#include "spec/history_file.h"

namespace forerun {
namespace {

// Of the prompt, written before an output that others may find, so that they find its beginning.
constexpr size_t kLeadTokens = 4;
// A prompt may take this part of the index.
constexpr int64_t kPromptPart = 4;
// Shared scopes are made of whatever callers have; these do not meet them but by accident.
constexpr HistoryScope kRequestScopes = 0x9d3f'58a1'0000'0000;

}  // namespace

HistoryDrafter::HistoryDrafter(int64_t capacity_tokens) : index_(capacity_tokens) {
  found_.tokens.reserve(kMaxDraft);
  found_.shares.reserve(kMaxDraft);
  found_.second_tokens.reserve(kMaxDraft);
  found_.second_shares.reserve(kMaxDraft);
}

void HistoryDrafter::begin(int place, const DraftRequest& request) {
  if (static_cast<size_t>(place) >= places_.size()) places_.resize(place + 1);
  Place& here = places_[place];
  here = {};
  here.scopes[here.num_scopes++] = kRequestScopes + request.id;
  if (request.shared_scope) here.scopes[here.num_scopes++] = *request.shared_scope;
  here.first_epoch = request.first_epoch;

  const auto most = static_cast<size_t>(index_.capacity_tokens() / kPromptPart);
  const std::span<const int32_t> prompt =
      request.prompt.last(std::min(request.prompt.size(), most));
  here.output = index_.open(here.scopes[0], request.epoch);
  // The choices of a request share its prompt.
  if (request.choice == 0) index_.append(here.output, prompt);
  if (!request.shared_scope) return;
  here.output = index_.open(*request.shared_scope, request.epoch);
  index_.append(here.output, prompt.last(std::min(prompt.size(), kLeadTokens)));
}

Status HistoryDrafter::save(const std::string& path) const {
  const auto is_shared = [](HistoryScope scope) { return (scope - kRequestScopes) >> 32 != 0; };
  return save_history(index_, is_shared, path);
}

Status HistoryDrafter::restore(const std::string& path, int64_t vocab_size) {
  return restore_history(path, vocab_size, index_);
}

void HistoryDrafter::observe(int place, std::span<const int32_t> tokens) {
  index_.append(places_[place].output, tokens);
}

void HistoryDrafter::propose(int place, std::span<const int32_t> context, int /*num_drafted*/,
                             int max_tokens, Draft& draft) {
  const Place& here = places_[place];
  HistoryQuery query;
  query.scopes = {here.scopes.data(), static_cast<size_t>(here.num_scopes)};
  query.first_epoch = here.first_epoch;
  query.context = context;
  query.max_tokens = max_tokens;
  index_.propose(query, found_);
  const auto evidence = [&](float share) {
    return Evidence{DraftSource::kHistory, static_cast<uint16_t>(found_.match), share};
  };
  for (size_t i = 0; i < found_.tokens.size(); ++i) {
    draft.push(found_.tokens[i], evidence(found_.shares[i]));
    if (found_.second_tokens[i] < 0) continue;
    draft.push_other(found_.second_tokens[i], evidence(found_.second_shares[i]));
  }
}

}  // namespace forerun
