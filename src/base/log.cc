#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <memory>
#include <utility>

#include "base/check.h"

namespace forerun {
namespace {

struct Level {
  std::string_view name;
  spdlog::level::level_enum at_spdlog;
};
constexpr std::array<Level, 5> kLevels = {{{"debug", spdlog::level::debug},
                                           {"info", spdlog::level::info},
                                           {"warning", spdlog::level::warn},
                                           {"error", spdlog::level::err},
                                           {"off", spdlog::level::off}}};

const Level& level_of(LogLevel level) {
  return kLevels[static_cast<size_t>(level)];
}

// One of the two, once start_log() has said which.
LogFormat chosen_format = LogFormat::kText;
std::shared_ptr<spdlog::logger> logger;

// Texts from clients may hold anything, also halves of characters and line ends.
std::string json_text(const Json& value) {
  return value.dump(/*indent=*/-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

// Strings as they are where they are plain words, so that a line reads well.
std::string plain_text(const Json& value) {
  if (!value.is_string()) return json_text(value);
  const auto& text = value.get_ref<const std::string&>();
  const bool plain = text.find_first_of("\"\\(),") == std::string::npos;
  const std::string quoted = json_text(value);
  return plain && quoted.size() == text.size() + 2 ? text : quoted;
}

std::string text_line(LogLevel level, std::string_view event,
                      std::initializer_list<LogField> fields) {
  std::string line;
  if (level != LogLevel::kInfo) line += std::string(level_of(level).name) + ": ";
  line += event;
  const char* before = " (";
  for (const LogField& field : fields) {
    line += std::exchange(before, ", ");
    line += std::string(field.name) + " " + plain_text(field.value);
  }
  return fields.size() == 0 ? line : line + ")";
}

std::string json_line(LogLevel level, std::string_view event,
                      std::initializer_list<LogField> fields) {
  std::string line =
      "\"level\":\"" + std::string(level_of(level).name) + "\",\"event\":" + json_text(event);
  for (const LogField& field : fields) {
    line += "," + json_text(field.name) + ":" + json_text(field.value);
  }
  return line + "}";
}

}  // namespace

Result<LogFormat> parse_log_format(std::string_view name) {
  if (name == "text") return LogFormat::kText;
  if (name == "json") return LogFormat::kJson;
  return Error{"the log format is text or json, not " + std::string(name)};
}

Result<LogLevel> parse_log_level(std::string_view name) {
  for (size_t i = 0; i < kLevels.size(); ++i) {
    if (kLevels[i].name == name) return static_cast<LogLevel>(i);
  }
  return Error{"the log level is debug, info, warning, error or off, not " + std::string(name)};
}

std::string log_line(LogFormat format, LogLevel level, std::string_view event,
                     std::initializer_list<LogField> fields) {
  return format == LogFormat::kText ? text_line(level, event, fields)
                                    : json_line(level, event, fields);
}

void start_log(LogFormat format, LogLevel level) {
  CHECK(logger == nullptr, "the log is started once, before there are threads");
  chosen_format = format;
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  logger = std::make_shared<spdlog::logger>("forerun", std::move(sink));
  logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      format == LogFormat::kText ? "%H:%M:%S.%e %v" : "{\"time\":\"%Y-%m-%dT%H:%M:%S.%eZ\",%v",
      format == LogFormat::kText ? spdlog::pattern_time_type::local
                                 : spdlog::pattern_time_type::utc));
  logger->set_level(level_of(level).at_spdlog);
  logger->flush_on(spdlog::level::trace);
}

void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  const spdlog::level::level_enum at = level_of(level).at_spdlog;
  if (logger == nullptr || !logger->should_log(at)) return;
  // The line may hold braces: it is no format.
  logger->log(at, spdlog::string_view_t(log_line(chosen_format, level, event, fields)));
}

}  // namespace forerun
