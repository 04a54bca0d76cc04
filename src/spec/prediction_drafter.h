#pragma once

#include <vector>

#include "spec/drafter.h"

namespace forerun {

// Drafts the text that the request itself expects (OpenAI's predicted outputs). After a mismatch it
// goes on where the output's last tokens stand in that text, the longest agreement first, then the
// nearest behind the place where it was.
class PredictionDrafter final : public Drafter {
 public:
  void begin(int place, const DraftRequest& request) override;
  void observe(int place, std::span<const int32_t> tokens) override;
  void propose(int place, std::span<const int32_t> context, int num_drafted, int max_tokens,
               Draft& draft) override;
  void end(int place) override;

 private:
  struct Place {
    std::vector<int32_t> text;
    size_t next = 0;      // in the text, while `agreed` is not 0 or nothing has come yet
    int agreed = 0;       // tokens of the output that led there
    bool aligned = true;  // the output's last token is the text's before `next`
  };
  struct Found {
    size_t next;
    int agreed;  // 0: nowhere
  };
  static Found find(const Place& here, std::span<const int32_t> context);

  std::vector<Place> places_;
};

}  // namespace forerun
