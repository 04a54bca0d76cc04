#pragma once

#include "engine/engine.h"

namespace forerun {

// Of the room for keys and values, the fraction that sequences hold.
inline double kv_use(const EngineStats& stats) {
  return stats.kv_pages > 0 ? static_cast<double>(stats.kv_pages_in_use) / stats.kv_pages : 0.0;
}

}  // namespace forerun
