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
  // Null when there is none of that name. A tensor of a type that the engine cannot compute with
  // has a view without data.
  virtual const TensorView* find_tensor(std::string_view name) const = 0;
  // The type of a tensor that is there, as its file calls it.
  virtual std::string_view type_name(std::string_view name) const = 0;

  // As find_tensor(), but a tensor that is missing or has no data is an Error that names it.
  Result<TensorView> get_tensor(std::string_view name) const;
};

}  // namespace forerun
