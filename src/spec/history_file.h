#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "spec/history_index.h"

namespace forerun {

// Writes the sequences whose scope `keeps`, readable by nobody but the user: they are what people
// were told.
Status save_history(const HistoryIndex& index, const std::function<bool(HistoryScope)>& keeps,
                    const std::string& path);

// Adds what was saved. Tokens must be below `vocab_size`; an Error says what is wrong with the
// file, of which nothing is added then. A file that is not there is no error.
Status restore_history(const std::string& path, int64_t vocab_size, HistoryIndex& index);

}  // namespace forerun
