#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace forerun {

// What a long-running program tells about itself, a line at a time on standard error. From any
// thread.
enum class LogFormat : uint8_t {
  kText,  // 12:34:56.789 warning: client fell behind (request 3f2a…, route /v1/completions)
  kJson,  // {"time":"2026-01-31T12:34:56.789Z","level":"warning","event":"client fell behind",…}
};
enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError, kOff };

// Names as `forerun serve --log-level` takes them. An Error lists them.
Result<LogFormat> parse_log_format(std::string_view name);
Result<LogLevel> parse_log_level(std::string_view name);

// Until this is called nothing is told.
void start_log(LogFormat format, LogLevel level);

struct LogField {
  std::string_view name;
  Json value;
};

// `event` says in a few words what happened and never varies; what varies stands in fields.
void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

// The line that log() writes, without its time. For tests.
std::string log_line(LogFormat format, LogLevel level, std::string_view event,
                     std::initializer_list<LogField> fields);

}  // namespace forerun
