#include "serve_options.h"

#include <limits>
#include <sstream>

#include "configuration.h"
#include "model_options.h"
#include "speculation_options.h"
#include "text_input.h"

namespace forerun {
namespace {

constexpr char kNetwork[] = "Network";
constexpr char kAccess[] = "Access";
constexpr char kLoad[] = "Load";
constexpr char kLearning[] = "Learning";
constexpr char kTelling[] = "What it tells";
constexpr size_t kMostKeyFileBytes = 1'000'000;

// A number of seconds, zero included.
CLI::Option* add_seconds(CLI::App& command, const char* name, double& seconds, const char* help) {
  return command.add_option(name, seconds, help)
      ->check(CLI::Range(0.0, 1e6).description(""))
      ->type_name("S")
      ->capture_default_str();
}

CLI::Option* add_list(CLI::App& command, const char* name, std::vector<std::string>& list,
                      const char* help) {
  return command.add_option(name, list, help)->delimiter(',')->allow_extra_args(false);
}

// An option whose words are read by `parse`, with a sentence for those it does not know.
template <typename T>
CLI::Option* add_word(CLI::App& command, const char* name, T& value,
                      Result<T> (*parse)(std::string_view), const char* help) {
  const auto check = [parse](const std::string& word) {
    const Result<T> parsed = parse(word);
    return parsed.ok() ? std::string() : parsed.error().message;
  };
  return command
      .add_option_function<std::string>(
          name, [&value, parse](const std::string& word) { value = *parse(word); }, help)
      ->check(check);
}

void add_models(CLI::App& command, ServeOptions& options) {
  constexpr char kGroup[] = "Models";
  // Not required() here: the file of --config may name it.
  add_model(command, options.model)->required(false);
  add_list(command, "--served-model-name", options.server.model_names,
           "Names that clients may ask for (repeatable); else the model's own")
      ->type_name("NAME")
      ->group(kGroup);
  command
      .add_option("--embedding-model", options.embedding_model,
                  "A sentence encoder for /v1/embeddings")
      ->type_name("MODEL")
      ->group(kGroup);
  command
      .add_option("--chat-template", options.chat_template,
                  "A Jinja file that takes the place of the model's own template")
      ->type_name("FILE")
      ->group(kGroup);
}

void add_network(CLI::App& command, ServerOptions& server) {
  command.add_option("--host", server.host, "Address to listen at; 0.0.0.0 is all of IPv4")
      ->type_name("HOST")
      ->capture_default_str()
      ->group(kNetwork);
  add_count(command, "--port", server.port, 0, 65535, "Port to listen at; 0: any free one")
      ->group(kNetwork);
  add_count(command, "--max-connections", server.max_connections, 1, 1'000'000,
            "Connections at a time")
      ->group(kNetwork);
  constexpr int64_t kMost = int64_t{1} << 40;
  add_count<int64_t>(command, "--max-body-bytes", server.max_body_bytes, 1024, kMost,
                     "Largest request")
      ->group(kNetwork);
  add_count<int64_t>(command, "--max-buffered-bytes", server.max_buffered_bytes, 1024, kMost,
                     "How far a stream's reader may fall behind")
      ->group(kNetwork);
  add_seconds(command, "--body-seconds", server.body_seconds, "Time a request's body may take")
      ->group(kNetwork);
  add_seconds(command, "--idle-seconds", server.idle_seconds,
              "Time a connection may wait between requests")
      ->group(kNetwork);
}

void add_access(CLI::App& command, ServeOptions& options) {
  add_list(command, "--api-key", options.server.api_keys,
           "Let in who has this key (repeatable); else everyone")
      ->type_name("KEY")
      ->group(kAccess);
  command.add_option("--api-key-file", options.api_key_file, "A file with a key on each line")
      ->type_name("FILE")
      ->group(kAccess);
  add_list(command, "--unrecorded-key", options.server.unrecorded_keys,
           "Likewise, and nobody records its answers or learns from them")
      ->type_name("KEY")
      ->group(kAccess);
  command
      .add_option("--unrecorded-key-file", options.unrecorded_key_file,
                  "A file with such a key on each line")
      ->type_name("FILE")
      ->group(kAccess);
  command
      .add_option("--admin-key", options.server.admin_key,
                  "The key for paths that change the server; else any key")
      ->type_name("KEY")
      ->group(kAccess);
  add_list(command, "--allow-origin", options.server.allowed_origins,
           "Let web pages from there call it (CORS; repeatable); * is all")
      ->type_name("ORIGIN")
      ->group(kAccess);
  command
      .add_flag("--share-prefix", options.server.share_prefix,
                "One prefix cache for all keys; else each has its own")
      ->group(kAccess);
  command
      .add_flag("--share-history", options.server.share_history,
                "Draft from the answers of all keys; else of the same key's")
      ->group(kAccess);
}

void add_load(CLI::App& command, ServeOptions& options) {
  add_count(command, "--max-sequences", options.max_sequences, 1, 4096, "Answers made at a time")
      ->group(kLoad);
  add_count(command, "--max-waiting", options.server.max_waiting, 0, 1'000'000,
            "Requests that may wait; more are told to come back (429)")
      ->group(kLoad);
  add_seconds(command, "--max-step-ms", options.max_step_ms,
              "Longest step while answers are under way; 0: as it fits")
      ->type_name("MS")
      ->group(kLoad);
  add_speculation(command, options.speculation)->group(kLoad);
  add_max_draft(command, options.max_draft)->group(kLoad);
  add_count<int64_t>(command, "--history-tokens", options.history_tokens, 4096, int64_t{1} << 30,
                     "Tokens kept to draft from (24 bytes each)")
      ->group(kLoad);
  command
      .add_option("--history-file", options.history_file,
                  "Keeps them from one start to the next; only its owner can read it")
      ->type_name("FILE")
      ->group(kLoad);
  add_seconds(command, "--drain-seconds", options.server.drain_seconds,
              "Time that requests get to finish after SIGTERM")
      ->group(kLoad);
  add_seconds(command, "--stuck-seconds", options.server.stuck_seconds,
              "Without a step for this long, /health says 503")
      ->group(kLoad);
}

void add_learning(CLI::App& command, ServeOptions& options) {
  add_learn_options(command, options.learn);
  command
      .add_option("--trace-dir", options.trace.folder,
                  "Record answers there, to train heads with; its owner's alone")
      ->type_name("FOLDER")
      ->group(kLearning);
  command.add_option("--trace-rate", options.trace.rate, "Share of the conversations recorded")
      ->check(CLI::Range(0.0, 1.0).description(""))
      ->type_name("SHARE")
      ->capture_default_str()
      ->group(kLearning);
  add_count<int64_t>(command, "--trace-positions", options.trace.max_positions, 16,
                     int64_t{Eagle3Head::kWindow},
                     "The newest tokens of a request whose states are recorded")
      ->group(kLearning);
  add_count<uint64_t>(command, "--trace-bytes", options.trace.max_bytes, uint64_t{1} << 20,
                      uint64_t{1} << 50, "Room for all traces; the oldest make place")
      ->group(kLearning);
}

void add_machine(CLI::App& command, ServeOptions& options) {
  add_threads(command, options.threads);
  add_kv_type(command, options.kv_type);
  add_count<int64_t>(command, "--kv-tokens", options.kv_tokens, 0,
                     std::numeric_limits<int64_t>::max(),
                     "Room for keys and values; 0: as the engine sees fit")
      ->group(kMachineOptions);
}

void add_telling(CLI::App& command, ServeOptions& options) {
  add_word(command, "--log-format", options.log_format, &parse_log_format, "text or json")
      ->type_name("FORMAT (text)")
      ->group(kTelling);
  add_word(command, "--log-level", options.log_level, &parse_log_level,
           "debug, info, warning, error or off")
      ->type_name("LEVEL (info)")
      ->group(kTelling);
  command.add_flag("--access-log", options.access_log, "A line for every request")->group(kTelling);
  add_seconds(command, "--statistics-seconds", options.statistics_seconds,
              "A line of figures this often while there is work; 0: none")
      ->group(kTelling);
  command
      .add_option("--metrics-prefix", options.server.metrics_prefix,
                  "Before the names in /metrics: vllm or forerun")
      ->check(CLI::IsMember({"vllm", "forerun"}).description(""))
      ->capture_default_str()
      ->type_name("NAME")
      ->group(kTelling);
}

// Lines without their blanks; empty ones and those that begin with # are none.
Status read_keys(const std::string& path, std::vector<std::string>& keys) {
  const Result<std::string> text = read_text(path, kMostKeyFileBytes);
  if (!text.ok()) return text.error();
  std::istringstream lines(*text);
  const size_t before = keys.size();
  for (std::string line; std::getline(lines, line);) {
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos || line[begin] == '#') continue;
    keys.push_back(line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1));
  }
  // Else the server would be open to everyone.
  if (keys.size() == before) return Error{path + " holds no key"};
  return {};
}

// Of the files as well; who is not recorded is let in as all others are.
Status complete_keys(ServeOptions& options) {
  ServerOptions& server = options.server;
  for (const auto& [file, keys] :
       {std::pair(&options.api_key_file, &server.api_keys),
        std::pair(&options.unrecorded_key_file, &server.unrecorded_keys)}) {
    if (file->empty()) continue;
    if (Status status = read_keys(*file, *keys); !status.ok()) return status;
  }
  server.api_keys.insert(server.api_keys.end(), server.unrecorded_keys.begin(),
                         server.unrecorded_keys.end());
  return {};
}

}  // namespace

void add_serve_options(CLI::App& command, ServeOptions& options) {
  add_models(command, options);
  add_network(command, options.server);
  add_access(command, options);
  add_load(command, options);
  add_learning(command, options);
  add_machine(command, options);
  add_telling(command, options);
  take_from_environment(command);
  command.add_option("--config", options.config, "A YAML file of these options")
      ->type_name("FILE")
      ->envname("FORERUN_CONFIG");
}

Status complete_serve_options(CLI::App& command, ServeOptions& options) {
  if (!options.config.empty()) {
    if (Status status = take_from_file(command, options.config); !status.ok()) return status;
  }
  if (Status status = complete_keys(options); !status.ok()) return status;
  if (options.model.empty()) {
    return Error{"there is no model; name one: forerun serve smollm2-135m"};
  }
  return {};
}

}  // namespace forerun
