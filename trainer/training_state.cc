#include "training_state.h"

#include <bit>
#include <unordered_set>
#include <utility>
#include <vector>

#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"
#include "tensor_files.h"

namespace forerun {
namespace {

constexpr int64_t Progress::* kProgress[] = {
    &Progress::epochs,        &Progress::records,        &Progress::skipped,
    &Progress::earlier_steps, &Progress::trained_tokens, &Progress::generation,
    &Progress::last_record,   &Progress::told_record,    &Progress::new_records};

// Of the moments of parameter `i`: the trained ones are the first of the table.
std::string moment_name(const char* which, size_t i) {
  return std::string(which) + "." + kHeadTensors[i].name;
}

std::vector<at::Tensor> trained(Head& head, bool freeze_output) {
  std::vector<at::Tensor> parameters;
  for (const HeadTensor& row : kHeadTensors) {
    if (freeze_output && row.tensor == &Head::lm_head) break;  // the last row
    parameters.push_back((head.*row.tensor).set_requires_grad(true));
  }
  return parameters;
}

// "draft_vocabulary" as a list of tokens of the target.
Result<DraftVocabulary> read_vocabulary(const Safetensors& file, int64_t vocab_size) {
  const Result<std::vector<int64_t>> tokens = file.read_int64("draft_vocabulary");
  if (!tokens.ok()) return tokens.error();
  std::vector<int32_t> token_of;
  std::unordered_set<int64_t> seen;
  for (const int64_t token : *tokens) {
    if (token < 0 || token >= vocab_size || !seen.insert(token).second) {
      return Error{file.path() + ": draft_vocabulary does not hold different tokens below " +
                   std::to_string(vocab_size)};
    }
    token_of.push_back(static_cast<int32_t>(token));
  }
  return DraftVocabulary(std::move(token_of), vocab_size);
}

// Copies a tensor of the file into `out`.
Status read_into(const Safetensors& file, const std::string& name, at::Tensor& out) {
  const Result<at::Tensor> stored = view_tensor(file, name, out.sizes().vec());
  if (!stored.ok()) return stored.error();
  const c10::NoGradGuard no_grad;
  out.copy_(*stored);
  return {};
}

Status read_tensors(const Safetensors& file, TrainingState& state) {
  for (const HeadTensor& row : kHeadTensors) {
    if (Status status = read_into(file, row.name, state.head.*row.tensor); !status.ok()) {
      return status;
    }
  }
  for (size_t i = 0; i < state.adam.first_moments.size(); ++i) {
    for (auto [which, moments] : {std::pair("first", &state.adam.first_moments),
                                  std::pair("second", &state.adam.second_moments),
                                  std::pair("average", &state.adam.averages)}) {
      Status status = read_into(file, moment_name(which, i), (*moments)[i]);
      if (!status.ok()) return status;
    }
  }
  return {};
}

Status read_progress(const Safetensors& file, TrainingState& state) {
  const Result<std::vector<int64_t>> values = file.read_int64("progress");
  if (!values.ok()) return values.error();
  if (values->size() != 1 + std::size(kProgress)) {
    return Error{file.path() + ": progress is of another version of this program"};
  }
  auto value = values->begin();
  state.adam.num_steps = *value++;
  for (const auto member : kProgress) state.progress.*member = *value++;
  return {};
}

Status check_target(const Safetensors& file, const LearningTarget& target) {
  const Result<std::vector<int64_t>> weights = file.read_int64("target");
  if (!weights.ok()) return weights.error();
  if (weights->size() == 1 && std::bit_cast<uint64_t>((*weights)[0]) == target.fingerprint) {
    return {};
  }
  return Error{file.path() + " is of a head of another target's weights"};
}

}  // namespace

TrainingState::TrainingState(Head initial, DraftVocabulary draft_vocabulary,
                             const AdamOptions& options, bool freeze_output)
    : head(std::move(initial)),
      vocabulary(std::move(draft_vocabulary)),
      adam(trained(head, freeze_output), options) {}

Head TrainingState::averaged() const {
  Head averaged = head;
  // The trained ones are the first of the table.
  for (size_t i = 0; i < adam.averages.size(); ++i) {
    averaged.*kHeadTensors[i].tensor = adam.averages[i];
  }
  return averaged;
}

void change_vocabulary(TrainingState& state, DraftVocabulary next, const at::Tensor& output) {
  std::vector<int64_t> from;
  std::vector<int64_t> to;
  for (int64_t i = 0; i < next.size(); ++i) {
    const int64_t old = state.vocabulary.draft_id(next.token_of()[static_cast<size_t>(i)]);
    if (old < 0) continue;
    from.push_back(old);
    to.push_back(i);
  }
  const at::Tensor from_rows = at::tensor(from, at::kLong);
  const at::Tensor to_rows = at::tensor(to, at::kLong);
  const at::Tensor rows = next.rows_of(output).to(at::kFloat);
  const auto move_rows = [&](at::Tensor& matrix, const at::Tensor& others) {
    matrix = others.index_copy(0, to_rows, matrix.detach().index_select(0, from_rows));
  };
  const bool is_trained = state.head.lm_head.requires_grad();
  move_rows(state.head.lm_head, rows);
  state.head.sizes.draft_vocab_size = next.size();
  state.vocabulary = std::move(next);
  if (!is_trained) return;
  state.adam.exchange_last(state.head.lm_head.set_requires_grad(true));
  move_rows(state.adam.averages.back(), rows);
  for (auto* moments : {&state.adam.first_moments, &state.adam.second_moments}) {
    move_rows(moments->back(), at::zeros_like(rows));
  }
}

Status save_state(const std::string& path, const TrainingState& state,
                  const LearningTarget& target) {
  SafetensorsWriter writer;
  Status status;
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    if (status.ok()) status = add_tensor(writer, name, tensor, at::kFloat);
  };
  for (const HeadTensor& row : kHeadTensors) add(row.name, state.head.*row.tensor);
  for (size_t i = 0; i < state.adam.first_moments.size(); ++i) {
    add(moment_name("first", i), state.adam.first_moments[i]);
    add(moment_name("second", i), state.adam.second_moments[i]);
    add(moment_name("average", i), state.adam.averages[i]);
  }
  if (!status.ok()) return status;
  std::vector<int64_t> progress = {state.adam.num_steps};
  for (const auto member : kProgress) progress.push_back(state.progress.*member);
  const std::vector<int32_t>& token_of = state.vocabulary.token_of();
  writer.add_int64_tensor("progress", progress);
  writer.add_int64_tensor("draft_vocabulary",
                          std::vector<int64_t>(token_of.begin(), token_of.end()));
  writer.add_int64_tensor("target", std::vector{std::bit_cast<int64_t>(target.fingerprint)});
  return writer.write(path);
}

Result<TrainingState> load_state(const std::string& path, const LearningTarget& target,
                                 const AdamOptions& options, bool freeze_output) {
  const Result<Safetensors> file = Safetensors::open(path);
  if (!file.ok()) return file.error();
  if (Status status = check_target(*file, target); !status.ok()) return status.error();
  Result<DraftVocabulary> vocabulary = read_vocabulary(*file, target.vocab_size);
  if (!vocabulary.ok()) return vocabulary.error();
  Head head;
  head.sizes = target.sizes;
  head.sizes.draft_vocab_size = vocabulary->size();
  for (const HeadTensor& row : kHeadTensors) head.*row.tensor = at::empty(row.shape(head.sizes));
  TrainingState state(std::move(head), *std::move(vocabulary), options, freeze_output);
  if (Status status = read_tensors(*file, state); !status.ok()) return status.error();
  if (Status status = read_progress(*file, state); !status.ok()) return status.error();
  return state;
}

}  // namespace forerun
