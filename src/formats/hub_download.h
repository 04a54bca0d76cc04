#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/result.h"
#include "formats/hub_client.h"

namespace forerun {

// One file from the hub to its place, where it appears whole and checked or not at all. The bytes
// that have come lie beside it in "<place>.part" meanwhile, with the ETag they belong to in
// "<place>.part.etag": a pull that was broken off goes on from there, if the hub still has the
// same.
class HubDownload final {
 public:
  HubDownload(HubClient& client, const HubName& name, std::string commit, const HubEntry& file,
              std::string place);
  ~HubDownload();
  HubDownload(const HubDownload&) = delete;
  HubDownload& operator=(const HubDownload&) = delete;

  // `progress` is told the file's bytes that are there.
  Status run(const std::function<void(uint64_t)>& progress);

 private:
  Status open_part();
  Status fetch();
  HttpEnd fetch_rest();
  Status begin_at(uint64_t begin_bytes, const std::string& etag);
  Status write(std::span<const uint8_t> bytes);
  void start_anew();
  Status move_into_place();
  Error failure(const char* what) const;

  HubClient& client_;
  const HubName& name_;
  const std::string commit_;
  const HubEntry& file_;
  const std::string place_;
  const std::string part_;
  const std::string etag_path_;
  std::function<void(uint64_t)> progress_;
  int fd_ = -1;
  uint64_t done_bytes_ = 0;
  bool resumed_ = false;
};

// Whether a file is the one that the hub lists, by its digest.
Status check_digest(const HubEntry& file, const std::string& path);

}  // namespace forerun
