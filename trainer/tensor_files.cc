#include "tensor_files.h"

#include <optional>

namespace forerun {
namespace {

std::optional<at::ScalarType> scalar_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return at::kFloat;
    case DType::kF16:
      return at::kHalf;
    case DType::kBF16:
      return at::kBFloat16;
    default:
      return std::nullopt;
  }
}

}  // namespace

Result<at::Tensor> view_tensor(const TensorSource& source, const std::string& name,
                               const std::vector<int64_t>& shape) {
  const Result<TensorView> view = source.get_tensor(name);
  if (!view.ok()) return view.error();
  if (view->shape != shape) {
    return Error{source.path() + ": " + name + " has shape " + to_string(view->shape) +
                 "; what is needed is " + to_string(shape)};
  }
  const std::optional<at::ScalarType> type = scalar_type(view->dtype);
  if (!type) return Error{source.path() + ": " + name + " is not of F32, F16 or BF16"};
  return at::from_blob(const_cast<uint8_t*>(view->data), shape, *type);
}

Status add_tensor(SafetensorsWriter& writer, const std::string& name, const at::Tensor& tensor,
                  at::ScalarType type) {
  const at::Tensor stored = tensor.detach().to(type).contiguous();
  if (!at::isfinite(stored).all().item<bool>()) {
    return Error{name + " has values that are not finite; it is not written"};
  }
  writer.add_tensor(name, type == at::kBFloat16 ? DType::kBF16 : DType::kF32, stored.sizes().vec(),
                    {static_cast<const uint8_t*>(stored.data_ptr()), stored.nbytes()});
  return {};
}

}  // namespace forerun
