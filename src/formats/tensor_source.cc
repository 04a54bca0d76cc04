#include "formats/tensor_source.h"

#include "formats/quote.h"

namespace forerun {

Result<TensorView> TensorSource::get_tensor(std::string_view name) const {
  const TensorView* view = find_tensor(name);
  if (view == nullptr) {
    return Error{path() + ": tensor " + quote(name) +
                 " is missing; fetch or convert the file again"};
  }
  if (view->data == nullptr) {
    return Error{path() + ": tensor " + quote(name) + " has type " + std::string(type_name(name)) +
                 ", which the engine cannot compute with; convert the model to BF16, F16 or F32"};
  }
  return *view;
}

}  // namespace forerun
