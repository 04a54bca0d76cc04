#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "aten.h"
#include "base/result.h"
#include "formats/safetensors_writer.h"
#include "formats/tensor_source.h"

namespace forerun {

// A stored tensor in place, F32, F16 or BF16: it lives no longer than `source`, and is only read.
// An Error names one that is missing, of another type or of another shape than `shape`.
Result<at::Tensor> view_tensor(const TensorSource& source, const std::string& name,
                               const std::vector<int64_t>& shape);

// Adds `tensor` rounded to `type` (f32 or bf16). An Error names one that has values which are not
// finite then.
Status add_tensor(SafetensorsWriter& writer, const std::string& name, const at::Tensor& tensor,
                  at::ScalarType type);

}  // namespace forerun
