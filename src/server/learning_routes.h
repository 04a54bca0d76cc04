#pragma once

#include <memory>

#include "online/learning.h"
#include "server/learning_events.h"
#include "server/model_service.h"
#include "server/router.h"

namespace forerun {

// What people ask of a loop that learns, and tell it: heads and their verdicts, which of them
// drafts, whether learning goes on, and what happens (docs/monitoring.md). The loop outlives the
// router and is listened to from now on. Whoever serves calls beat() and end() of what is returned,
// on the I/O thread.
std::shared_ptr<LearningEvents> add_learning_routes(Router& router, ModelService& service,
                                                    Learning& learning);

}  // namespace forerun
