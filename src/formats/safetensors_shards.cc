#include "formats/safetensors_shards.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "formats/quote.h"
#include "formats/small_json_file.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

constexpr char kWholeFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";
constexpr uint64_t kMaxIndexBytes = 100'000'000;

bool is_plain_file_name(std::string_view name) {
  return name.ends_with(".safetensors") && name[0] != '.' &&
         std::ranges::none_of(name, [](char c) { return c == '/' || c == '\\' || c == '\0'; });
}

bool is_there(const std::string& path) {
  std::error_code failure;
  return fs::exists(path, failure);
}

}  // namespace

Result<std::map<std::string, std::string, std::less<>>> read_weight_map(const Json& index) {
  const auto weight_map = index.find("weight_map");
  if (weight_map == index.end() || !weight_map->is_object()) {
    return Error{"has no object 'weight_map'"};
  }
  std::map<std::string, std::string, std::less<>> files;
  for (const auto& [tensor, file] : weight_map->items()) {
    if (!file.is_string() || !is_plain_file_name(file.get_ref<const std::string&>())) {
      return Error{"places tensor " + quote(tensor) + " in " +
                   quote(file.dump(-1, ' ', false, Json::error_handler_t::replace)) +
                   "; the name of a .safetensors file in the same folder is expected"};
    }
    files.emplace(tensor, file.get<std::string>());
  }
  return files;
}

Result<SafetensorsShards> SafetensorsShards::open(const std::string& folder) {
  SafetensorsShards shards(folder);
  const std::string index = folder + "/" + kIndexFile;
  Status status;
  if (is_there(folder + "/" + kWholeFile)) {
    status = shards.open_file(kWholeFile);
  } else if (is_there(index)) {
    status = shards.open_shards(index);
  } else {
    status = missing_from(folder);
  }
  if (!status.ok()) return status.error();
  return shards;
}

SafetensorsShards SafetensorsShards::of(Safetensors file) {
  SafetensorsShards shards(file.path());
  shards.files_.push_back(std::move(file));
  return shards;
}

bool SafetensorsShards::are_in(const std::string& folder) {
  return is_there(folder + "/" + kWholeFile) || is_there(folder + "/" + kIndexFile);
}

Error SafetensorsShards::missing_from(const std::string& folder) {
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder, failure)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("pytorch_model") && name.ends_with(".bin")) {
      return Error{folder + " has its weights in " + quote(name) +
                   ", a Python pickle, which is not read (it could run code); save the model again "
                   "as safetensors"};
    }
  }
  return Error{folder + " has no weights: neither " + kWholeFile + " nor " + kIndexFile};
}

Status SafetensorsShards::open_file(const std::string& name) {
  Result<Safetensors> file = Safetensors::open(folder_ + "/" + name);
  if (!file.ok()) return file.error();
  files_.push_back(*std::move(file));
  return {};
}

Status SafetensorsShards::open_shards(const std::string& index_path) {
  const Result<Json> index = read_json_object(index_path, kMaxIndexBytes);
  if (!index.ok()) return index.error();
  const auto weight_map = read_weight_map(*index);
  if (!weight_map.ok()) return Error{index_path + " " + weight_map.error().message};
  std::map<std::string, size_t> opened;
  for (const auto& [tensor, file] : *weight_map) {
    const auto [place, is_new] = opened.emplace(file, files_.size());
    if (is_new) {
      if (!is_there(folder_ + "/" + file)) {
        return Error{index_path + " places tensor " + quote(tensor) + " in " + quote(file) +
                     ", which is not there; fetch that file too"};
      }
      if (Status status = open_file(file); !status.ok()) return status;
    }
    if (Status status = this->place(tensor, file, place->second); !status.ok()) return status;
  }
  return {};
}

Status SafetensorsShards::place(const std::string& tensor, const std::string& file,
                                size_t file_index) {
  if (files_[file_index].find(tensor) == nullptr) {
    return Error{folder_ + "/" + kIndexFile + " places tensor " + quote(tensor) + " in " +
                 quote(file) + ", which does not have it; fetch the model again"};
  }
  file_of_tensor_.emplace(tensor, file_index);
  return {};
}

const SafetensorsTensor* SafetensorsShards::find(std::string_view name) const {
  if (file_of_tensor_.empty()) return files_.empty() ? nullptr : files_[0].find(name);
  const auto place = file_of_tensor_.find(name);
  return place == file_of_tensor_.end() ? nullptr : files_[place->second].find(name);
}

const TensorView* SafetensorsShards::find_tensor(std::string_view name) const {
  const SafetensorsTensor* tensor = find(name);
  return tensor == nullptr ? nullptr : &tensor->view;
}

std::string_view SafetensorsShards::type_name(std::string_view name) const {
  const SafetensorsTensor* tensor = find(name);
  return tensor == nullptr ? "" : tensor->type->name;
}

Result<std::vector<int64_t>> SafetensorsShards::read_int64(std::string_view name) const {
  for (const Safetensors& file : files_) {
    if (file.find(name) != nullptr) return file.read_int64(name);
  }
  return Error{folder_ + ": there is no tensor " + quote(name)};
}

uint64_t SafetensorsShards::size_bytes() const {
  uint64_t total = 0;
  for (const Safetensors& file : files_) total += file.size_bytes();
  return total;
}

}  // namespace forerun
