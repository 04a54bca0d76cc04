#pragma once

#include "base/json.h"
#include "online/learning.h"

namespace forerun {

// The fields of LearningStatus under their names: GET /forerun/learning, and "learning" of
// GET /forerun/statistics.
Json learning_json(const LearningStatus& status);

}  // namespace forerun
