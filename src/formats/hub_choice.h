#pragma once

#include <vector>

#include "base/result.h"
#include "formats/hub_client.h"
#include "formats/hub_name.h"

namespace forerun {

// Which of a repository's files are fetched: the file that the name gives (all parts of a split
// GGUF), else its safetensors with configuration, tokenizer and chat template. An Error lists the
// GGUF files where there are no others and one has to be named, or says that there is nothing but
// pickles, which run code when they are opened and are never fetched.
Result<std::vector<HubEntry>> choose_files(const HubName& name, const std::vector<HubEntry>& files);

// All parts of a split GGUF by the name of one ("x-00002-of-00003.gguf"); of another file itself.
std::vector<std::string> parts_of(const std::string& path);

}  // namespace forerun
