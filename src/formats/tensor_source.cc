#include "formats/tensor_source.h"

#include "formats/quote.h"

namespace forerun {

Result<TensorView> TensorSource::get_tensor(std::string_view name) const {
  const TensorView* view = find_tensor(name);
  if (view == nullptr) {
    return Error{path() + ": tensor " + quote(name) +
                 " is missing; fetch or convert the file again"};
  }
  return *view;
}

}  // namespace forerun
