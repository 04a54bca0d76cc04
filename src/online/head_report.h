#pragma once

#include <cstdint>

#include "base/json.h"
#include "base/result.h"
#include "online/head_store.h"

namespace forerun {

// What a store holds, as GET /forerun/heads and `forerun heads --json` tell it: an entry's fields
// without the signature of its traffic, "verdict", the event of the gate that let the head in, and
// "watch", what came of watching it ("keep", "roll_back"); null where no event tells.
Result<Json> report_head(const HeadStore& store, int64_t version);

// {"current": version, "heads": [all of them, by version]}
Result<Json> report_heads(const HeadStore& store);

}  // namespace forerun
