#include "loaded_encoder.h"

#include "formats/hf_directory.h"
#include "formats/model_path.h"
#include "kernels/isa.h"
#include "kernels/kernel_table.h"

namespace forerun {

Result<LoadedEncoder> load_encoder(const std::string& argument, int num_threads) {
  const Result<std::string> path = resolve_model(argument);
  if (!path.ok()) return path.error();
  Result<HfDirectory> opened = HfDirectory::open(*path);
  if (!opened.ok()) return opened.error();
  const auto directory = std::make_shared<const HfDirectory>(std::move(*opened));
  Result<Tokenizer> tokenizer = Tokenizer::from_file(directory->tokenizer_json_path());
  if (!tokenizer.ok()) return tokenizer.error();
  const Result<SentencePooling> pooling = SentencePooling::read(*path);
  if (!pooling.ok()) return pooling.error();
  const Result<Isa> isa = choose_isa();
  if (!isa.ok()) return isa.error();
  auto team = std::make_unique<Team>(num_threads > 0 ? num_threads : usable_processors());
  Result<std::unique_ptr<SentenceEncoder>> encoder =
      SentenceEncoder::load(directory, directory->config(), *pooling, *team, kernel_table(*isa));
  if (!encoder.ok()) return encoder.error();
  return LoadedEncoder{std::move(team), std::move(*encoder), std::move(*tokenizer)};
}

}  // namespace forerun
