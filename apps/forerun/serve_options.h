#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "engine/engine.h"
#include "learn_options.h"
#include "server/server_options.h"
#include "trace_recording.h"

namespace forerun {

// What `forerun serve` takes: by flag, FORERUN_<FLAG> or the file of --config.
struct ServeOptions {
  std::string model;
  std::string embedding_model;      // empty: none
  std::string chat_template;        // a file that takes the place of the model's own; empty: none
  std::string api_key_file;         // a key a line
  std::string unrecorded_key_file;  // likewise
  std::string config;
  ServerOptions server;

  int threads = 0;
  std::optional<KvType> kv_type;
  int64_t kv_tokens = 0;
  int max_sequences = 64;
  double max_step_ms = 0.0;
  std::string speculation = "auto";
  int max_draft = SpeculationOptions().max_draft;
  int64_t history_tokens = SpeculationOptions().history_tokens;
  std::string history_file;  // empty: what is drafted from ends with the process
  TraceOptions trace;
  LearnOptions learn;

  LogFormat log_format = LogFormat::kText;
  LogLevel log_level = LogLevel::kInfo;
  bool access_log = false;
  double statistics_seconds = 10.0;  // between two lines; 0: none
};

void add_serve_options(CLI::App& command, ServeOptions& options);

// What the arguments did not say, from the file of --config and from --api-key-file. An Error names
// the file and what is wrong; or that there is no model.
Status complete_serve_options(CLI::App& command, ServeOptions& options);

}  // namespace forerun
