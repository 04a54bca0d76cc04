#include "server/prediction_field.h"

#include <string>
#include <utility>

#include "server/prompt_fields.h"

namespace forerun {
namespace {

constexpr size_t kMostParts = 1024;

// The texts of a list of {"type": "text", "text": …}, one after the other.
std::string read_parts(JsonFields& prediction, const OrderedJson& parts) {
  std::string text;
  if (parts.size() > kMostParts) {
    prediction.refuse("content", "has more than " + std::to_string(kMostParts) + " parts");
  }
  for (size_t i = 0; i < parts.size() && prediction.ok(); ++i) {
    const std::string name = "content[" + std::to_string(i) + "]";
    if (!parts[i].is_object()) {
      prediction.refuse(name, std::string("is ") + json_kind(parts[i]) + "; it must be an object");
      break;
    }
    JsonFields part(parts[i], "prediction." + name + ".");
    const std::optional<std::string> one = part.text("text");
    if (part.ok() && !one) part.refuse("text", "is missing");
    if (part.ok()) {
      text += *one;
    } else {
      prediction.take_error(part);
    }
  }
  return text;
}

std::string read_content(JsonFields& prediction) {
  const OrderedJson* content = prediction.any("content");
  if (content == nullptr) {
    prediction.refuse("content", "is missing");
    return {};
  }
  if (content->is_array()) return read_parts(prediction, *content);
  return prediction.text("content").value_or("");
}

}  // namespace

void read_prediction(JsonFields& fields, const ModelService& service, Request& request) {
  const OrderedJson* given = fields.object("prediction");
  if (given == nullptr || !need_tokenizer(fields, "prediction", service)) return;
  JsonFields prediction(*given, "prediction.");
  const std::string text = read_content(prediction);
  if (!prediction.ok()) return fields.take_error(prediction);
  Result<std::vector<int32_t>> ids =
      service.tokenizer->encode(text, /*add_special=*/false, /*parse_special=*/false);
  if (!ids.ok()) return fields.refuse_with("prediction", ids.error().message);
  // What lies behind the context can never be output.
  if (std::ssize(*ids) > service.context_length) ids->resize(service.context_length);
  request.prediction = std::move(*ids);
}

}  // namespace forerun
