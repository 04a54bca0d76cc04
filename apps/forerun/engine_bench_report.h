#pragma once

#include <string>

#include "base/json.h"
#include "base/result.h"
#include "progress_line.h"

namespace forerun {

// The output of `forerun bench engine`: a line per entry as it is measured, or one JSON document at
// the end.
class EngineBenchReport final {
 public:
  // `facts`: what is known before anything is timed. `num_parts` is how often begin_part() will be
  // called.
  EngineBenchReport(Json facts, size_t num_parts, bool json);

  // What is measured now, for the progress line.
  void begin_part(const std::string& name);
  void set(const std::string& key, Json value);
  // Appends to a list of entries: "prefill", "decode", "verify" or "engine".
  void add(const std::string& list, Json entry);
  // An Error when the output could not be written.
  Status end();

 private:
  void print(const std::string& line);
  void print_head();
  void print_entry(const std::string& list, const Json& entry);
  void print_doubts();

  Json document_;
  const bool json_;
  ProgressLine progress_;
  size_t parts_begun_ = 0;
};

}  // namespace forerun
