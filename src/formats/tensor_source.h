#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "tensor/tensor.h"

namespace forerun {

// The named tensors of a model on disk, whatever the files around them are. Views lie inside
// mapped files and live no longer than the source.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  // For messages.
  virtual const std::string& path() const = 0;
  // Null when there is none of that name.
  virtual const TensorView* find_tensor(std::string_view name) const = 0;

  // As find_tensor(), but a missing tensor is an Error that names it.
  Result<TensorView> get_tensor(std::string_view name) const;
};

}  // namespace forerun
