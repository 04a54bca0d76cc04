#include "engine/rejected_rows.h"

#include <cstring>

#include "base/check.h"
#include "spec/draft.h"

namespace forerun {

RejectedRows::RejectedRows(int64_t most_rows, int64_t d_model)
    : capacity_(most_rows),
      d_model_(d_model),
      rows_(static_cast<size_t>(most_rows)),
      finals_(new uint16_t[static_cast<size_t>(most_rows * d_model)]) {
  CHECK(most_rows >= kMaxDraft, "a whole draft may hang from one position");
}

const uint16_t* RejectedRows::final_state(int64_t i) const {
  return finals_.get() + static_cast<int64_t>(place_of(i)) * d_model_;
}

void RejectedRows::push(const RejectedRow& row, const uint16_t* final_state) {
  if (size() == capacity_) drop_oldest();
  const size_t place = place_of(size());
  rows_[place] = row;
  std::memcpy(finals_.get() + static_cast<int64_t>(place) * d_model_, final_state,
              static_cast<size_t>(d_model_) * sizeof(uint16_t));
  ++end_;
}

// Rows of one position are one draft's, so that no parent goes before its children.
void RejectedRows::drop_oldest() {
  const int64_t position = row(0).position;
  while (size() > 0 && row(0).position == position) ++begin_;
}

}  // namespace forerun
