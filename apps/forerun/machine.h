#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "base/parallel.h"

namespace forerun {

// The machine a benchmark ran on, as the system tells it: processor, memory, kernel.
Json machine_facts();

// "AMD EPYC family 26 model 2": names that hypervisors give say little by themselves.
std::string processor_name();

// Anonymous memory of this process that is in RAM (RssAnon), in bytes; 0 where the system does not
// tell.
int64_t resident_anonymous_bytes();

// Processes that ran or wanted to, on average over the last minute.
double load_average();

// The share of one processor this process uses while it does nothing for `seconds`.
double idle_processor_share(double seconds);

}  // namespace forerun
