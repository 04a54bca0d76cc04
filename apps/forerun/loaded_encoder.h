#pragma once

#include <memory>
#include <string>

#include "base/parallel.h"
#include "base/result.h"
#include "models/sentence_encoder.h"
#include "text/tokenizer.h"

namespace forerun {

// A sentence encoder ready to run: its threads, its weights and its tokenizer.
struct LoadedEncoder {
  std::unique_ptr<Team> team;
  std::unique_ptr<SentenceEncoder> encoder;
  Tokenizer tokenizer;
};

// `argument` is a short name or a directory. `num_threads` 0 is every usable processor.
Result<LoadedEncoder> load_encoder(const std::string& argument, int num_threads);

}  // namespace forerun
