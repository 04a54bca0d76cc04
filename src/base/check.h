#pragma once

#include <string>
#include <string_view>

namespace forerun {

// Prints file, line, the condition and the sentence, then aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               std::string_view sentence);

}  // namespace forerun

// For programmer errors only: no file, config or request may be able to reach one.
#define CHECK(condition, sentence)                                         \
  do {                                                                     \
    if (!(condition)) [[unlikely]]                                         \
      ::forerun::check_failed(__FILE__, __LINE__, #condition, (sentence)); \
  } while (false)
