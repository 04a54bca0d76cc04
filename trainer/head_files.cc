#include "head_files.h"

#include <fcntl.h>
#include <stdio.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "formats/eagle3_checkpoint.h"
#include "formats/json_members.h"
#include "formats/quote.h"
#include "formats/safetensors_writer.h"
#include "formats/whole_file.h"
#include "tensor_files.h"

namespace forerun {
namespace {

Json make_config(const Head& head, const DraftVocabulary& vocabulary,
                 const LearningTarget& target) {
  const HeadSizes& sizes = head.sizes;
  Json config = {{"architectures", {"LlamaForCausalLMEagle3"}},
                 {"model_type", "llama"},
                 {"vocab_size", target.vocab_size},
                 {"draft_vocab_size", vocabulary.size()},
                 {"hidden_size", sizes.d_model},
                 {"intermediate_size", sizes.d_ff},
                 {"num_hidden_layers", 1},
                 {"num_attention_heads", sizes.num_heads},
                 {"num_key_value_heads", sizes.num_kv_heads},
                 {"head_dim", sizes.head_dim},
                 {"hidden_act", "silu"},
                 {"rms_norm_eps", sizes.rms_epsilon},
                 {"rope_theta", sizes.rope_theta},
                 {"rope_scaling", nullptr},
                 {"max_position_embeddings", target.context_length},
                 {"attention_bias", false},
                 {"tie_word_embeddings", false},
                 {"torch_dtype", "bfloat16"}};
  if (!target.bos_id.is_null()) config["bos_token_id"] = target.bos_id;
  if (!target.eos_ids.is_null()) config["eos_token_id"] = target.eos_ids;
  if (!target.usual_layers) {
    config["eagle_config"] = {{"eagle_aux_hidden_state_layer_ids", target.state_layers},
                              {"use_aux_hidden_state", true}};
  }
  return config;
}

Status write_files(const std::string& folder, const Head& head, const DraftVocabulary& vocabulary,
                   const LearningTarget& target) {
  SafetensorsWriter writer;
  for (const HeadTensor& row : kHeadTensors) {
    const Status status = add_tensor(writer, row.name, head.*row.tensor, at::kBFloat16);
    if (!status.ok()) return status;
  }
  // A draft token's id in the target, less its own.
  std::vector<int64_t> offsets;
  for (const int32_t token : vocabulary.token_of()) {
    offsets.push_back(token - std::ssize(offsets));
  }
  writer.add_int64_tensor("d2t", offsets);
  if (Status status = writer.write(folder + "/model.safetensors"); !status.ok()) return status;
  Result<WholeFile> file = WholeFile::create(folder + "/config.json");
  if (!file.ok()) return file.error();
  const std::string text = make_config(head, vocabulary, target).dump(1) + "\n";
  file->write({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  return file->finish();
}

// A folder of anything else than a head is somebody's.
Status check_replaceable(const std::string& folder) {
  if (!std::filesystem::exists(folder)) return {};
  std::error_code fault;
  for (std::filesystem::directory_iterator it(folder, fault), end; !fault && it != end;
       it.increment(fault)) {
    const std::string name = it->path().filename().string();
    if (name == "config.json" || name == "model.safetensors") continue;
    return Error{folder + " holds " + quote(name) + ", which is not of a head; it is not replaced"};
  }
  if (fault) return Error{"cannot replace " + folder + ": " + fault.message()};
  return {};
}

std::string partial_path(const std::string& folder) {
  return folder + ".partial";
}

// Empty, and those above it.
Status make_partial(const std::string& folder) {
  std::error_code fault;
  std::filesystem::remove_all(partial_path(folder), fault);
  std::filesystem::create_directories(partial_path(folder), fault);
  if (fault) return Error{"cannot create " + partial_path(folder) + ": " + fault.message()};
  return {};
}

// Puts a finished folder into its place; one that is there changes places with it at once.
Status replace_folder(const std::string& finished, const std::string& folder) {
  const bool is_first = !std::filesystem::exists(folder);
  const unsigned how = is_first ? 0 : RENAME_EXCHANGE;
  if (renameat2(AT_FDCWD, finished.c_str(), AT_FDCWD, folder.c_str(), how) != 0) {
    return Error{"cannot rename " + finished + " to " + folder + ": " + std::strerror(errno)};
  }
  std::error_code ignored;
  if (!is_first) std::filesystem::remove_all(finished, ignored);
  return {};
}

// What the engine would compute otherwise than it was trained.
Status check_config(const Eagle3Checkpoint& checkpoint, const LearningTarget& target) {
  const Eagle3Config& config = checkpoint.config();
  const std::string path = checkpoint.path() + "/config.json";
  if (config.normed_residual) {
    return Error{path + ": norm_before_residual is true; such heads are not trained here"};
  }
  if (config.vocab_size != target.vocab_size) {
    return Error{path + ": vocab_size is " + std::to_string(config.vocab_size) +
                 "; the target's is " + std::to_string(target.vocab_size)};
  }
  if (config.state_layers ? *config.state_layers != target.state_layers : !target.usual_layers) {
    return Error{path + ": the head reads other layers of the target than were recorded"};
  }
  Status status;
  JsonMembers layer(config.layer, path, status);
  const struct {
    const char* key;
    double wanted;
  } rows[] = {{"rope_theta", target.sizes.rope_theta},
              {"rms_norm_eps", target.sizes.rms_epsilon},
              {"num_attention_heads", static_cast<double>(target.sizes.num_heads)},
              {"num_key_value_heads", static_cast<double>(target.sizes.num_kv_heads)}};
  for (const auto& row : rows) {
    const double found = layer.real(row.key);
    if (status.ok() && found != row.wanted) {
      layer.fail(std::string(row.key) + " is not the one of target.json");
    }
  }
  return status;
}

DraftVocabulary vocabulary_of(const Eagle3Checkpoint& checkpoint) {
  const int64_t vocab_size = checkpoint.config().vocab_size;
  std::vector<int32_t> token_of = checkpoint.token_of();
  if (token_of.empty()) {
    for (int32_t token = 0; token < vocab_size; ++token) token_of.push_back(token);
  }
  return {std::move(token_of), vocab_size};
}

// As Eagle3Checkpoint finds it in any of the dialects.
std::string general_name(std::string name) {
  const std::string own = "midlayer.";
  if (name.starts_with(own)) name.replace(0, own.size(), "layers.0.");
  return name;
}

}  // namespace

Status check_place(const std::string& folder) {
  if (Status status = check_replaceable(folder); !status.ok()) return status;
  if (Status status = make_partial(folder); !status.ok()) return status;
  std::filesystem::remove(partial_path(folder));
  return {};
}

Status publish_head(const std::string& folder, const Head& head, const DraftVocabulary& vocabulary,
                    const LearningTarget& target) {
  if (Status status = check_replaceable(folder); !status.ok()) return status;
  if (Status status = make_partial(folder); !status.ok()) return status;
  Status status = write_files(partial_path(folder), head, vocabulary, target);
  if (status.ok()) status = replace_folder(partial_path(folder), folder);
  std::error_code ignored;
  if (!status.ok()) std::filesystem::remove_all(partial_path(folder), ignored);
  return status;
}

Result<StoredHead> load_head(const std::string& folder, const LearningTarget& target) {
  const Result<Eagle3Checkpoint> checkpoint = Eagle3Checkpoint::open(folder);
  if (!checkpoint.ok()) return checkpoint.error();
  if (Status status = check_config(*checkpoint, target); !status.ok()) return status.error();
  StoredHead out{.head = {}, .vocabulary = vocabulary_of(*checkpoint)};
  out.head.sizes = target.sizes;
  out.head.sizes.draft_vocab_size = out.vocabulary.size();
  for (const HeadTensor& row : kHeadTensors) {
    const Result<at::Tensor> tensor =
        view_tensor(*checkpoint, general_name(row.name), row.shape(out.head.sizes));
    if (!tensor.ok()) return tensor.error();
    out.head.*row.tensor = tensor->to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
  }
  return out;
}

}  // namespace forerun
