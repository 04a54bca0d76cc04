#pragma once

#include <functional>

#include "server/exchange.h"
#include "server/generation.h"
#include "server/json_fields.h"
#include "server/model_service.h"

namespace forerun {

// Runs on the I/O thread once a worker is through.
using Conclusion = std::function<void(ExchangePtr)>;

// Gives `work` to a worker, and what it returns to the I/O thread; a 429 where no worker has time.
// The exchange itself never leaves the I/O thread's hands, only its request is read.
void on_worker(ModelService& service, const ExchangePtr& exchange,
               std::function<Conclusion(const HttpRequest&)> work);

// Replies with what a worker makes of a body: a JSON text, or why there is none.
using MakeAnswer = Checked<std::string> (*)(const ModelService& service, const HttpRequest& request,
                                            const OrderedJson& body);
Handler answer_on_worker(ModelService& service, MakeAnswer make);

// Generates by the plan that a worker makes of a body.
using MakePlan = Checked<GenerationPlan> (*)(const ModelService& service,
                                             const HttpRequest& request, const OrderedJson& body);
Handler generate_by_plan(ModelService& service, MakePlan make);

}  // namespace forerun
