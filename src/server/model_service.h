#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sampling/params.h"
#include "server/embedding_service.h"
#include "server/engine_thread.h"
#include "server/exchange.h"
#include "server/metrics.h"
#include "server/running_requests.h"
#include "server/server_options.h"
#include "server/worker_pool.h"
#include "text/chat_format.h"
#include "text/grammar_compiler.h"
#include "text/tokenizer.h"

namespace forerun {

// What every handler that talks to the model is given. Outlives all of them.
struct ModelService {
  const ServerOptions& options;
  const Tokenizer* tokenizer = nullptr;  // null: the model has none; token ids only
  std::string tokenizer_error;           // why
  SamplingParams sampling_defaults;      // what the model's makers advise
  std::string fingerprint;               // system_fingerprint
  int64_t context_length = 0;            // tokens a sequence may hold
  int64_t vocab_size = 0;                // of the model; its tokenizer may have fewer
  int64_t created = 0;                   // Unix time, for /v1/models
  EngineThread& engine;
  WorkerPool& workers;
  Metrics& metrics;
  PostToIo post;                          // from a worker back to the I/O thread
  ChatFormat chat_format = {};            // of the tokenizer's template
  GrammarCompiler* grammars = nullptr;    // null: no constrained output
  EmbeddingService* embedding = nullptr;  // null: /v1/embeddings has no model
  bool records = false;                   // answers are recorded: conversations are told apart
  RunningRequests running = {};
};

}  // namespace forerun
