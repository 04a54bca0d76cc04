#include "cache/lru_pages.h"

namespace forerun {

void LruPages::push_newest(int page) {
  links_[page] = {.older = newest_, .newer = kNoPage};
  (newest_ == kNoPage ? oldest_ : links_[newest_].newer) = page;
  newest_ = page;
  ++size_;
}

void LruPages::remove(int page) {
  const Links links = links_[page];
  (links.older == kNoPage ? oldest_ : links_[links.older].newer) = links.newer;
  (links.newer == kNoPage ? newest_ : links_[links.newer].older) = links.older;
  --size_;
}

}  // namespace forerun
