#pragma once

// libtorch's tensors. Its headers have a macro CHECK as base/check.h has; the latter stays.
#pragma push_macro("CHECK")
#undef CHECK
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#undef CHECK
#pragma pop_macro("CHECK")
