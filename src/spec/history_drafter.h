#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/result.h"
#include "spec/drafter.h"
#include "spec/history_index.h"

namespace forerun {

// Drafts what followed where the same tokens stood before: in the prompt, in the output so far, and
// in the outputs of the request's shared scope.
class HistoryDrafter final : public Drafter {
 public:
  explicit HistoryDrafter(int64_t capacity_tokens);

  void begin(int place, const DraftRequest& request) override;
  void observe(int place, std::span<const int32_t> tokens) override;
  void propose(int place, std::span<const int32_t> context, int num_drafted, int max_tokens,
               Draft& draft) override;
  void end(int /*place*/) override {}

  const HistoryIndex& index() const { return index_; }

  // What outlives requests, the outputs in shared scopes, to a file and back (spec/history_file.h).
  Status save(const std::string& path) const;
  Status restore(const std::string& path, int64_t vocab_size);

 private:
  struct Place {
    std::array<HistoryScope, 2> scopes = {};  // of the request alone, and the shared one
    int num_scopes = 0;
    uint32_t first_epoch = 0;
    HistoryIndex::Sequence output;
  };

  HistoryIndex index_;
  std::vector<Place> places_;
  HistoryDraft found_;
};

}  // namespace forerun
