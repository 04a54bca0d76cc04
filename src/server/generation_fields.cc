#include "server/generation_fields.h"

#include <ctime>

#include "server/model_field.h"

namespace forerun {

AnswerOptions read_answer_options(JsonFields& fields, const ModelService& service,
                                  const std::string& id_prefix, const std::string& object) {
  AnswerOptions options;
  options.head = {.id = new_answer_id(id_prefix),
                  .object = object,
                  .created = static_cast<int64_t>(std::time(nullptr)),
                  .model = read_model(fields, service.options),
                  .fingerprint = service.fingerprint};
  options.stream = fields.flag("stream").value_or(false);
  if (const OrderedJson* stream_options = fields.object("stream_options")) {
    JsonFields inner(*stream_options, "stream_options.");
    options.include_usage = inner.flag("include_usage").value_or(false);
    if (!inner.ok()) fields.take_error(inner);
  }
  options.store = fields.flag("store").value_or(true);
  options.return_token_ids = fields.flag("return_token_ids").value_or(false);
  options.tokens_as_ids = fields.flag("return_tokens_as_token_ids").value_or(false);
  return options;
}

}  // namespace forerun
