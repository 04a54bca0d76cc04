// Parses JSON that a stranger wrote, and reads it as a table of models; what parses must survive
// being written and parsed again.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/json.h"
#include "formats/hub_catalog.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const forerun::Result<forerun::Json> json = forerun::parse_json(text, /*max_depth=*/32);
  const forerun::Result<forerun::HubCatalog> catalog = forerun::HubCatalog::parse(text);
  if (catalog.ok()) (void)catalog->find("no such name");
  if (!json.ok()) return 0;
  const forerun::Result<forerun::Json> again = forerun::parse_json(json->dump(), /*max_depth=*/32);
  if (!again.ok() || again->dump() != json->dump()) std::abort();
  return 0;
}
