#include "server/model_field.h"

#include <algorithm>

namespace forerun {

bool is_served(const ServerOptions& options, const std::string& name) {
  return std::ranges::find(options.model_names, name) != options.model_names.end();
}

RequestError model_not_found(const ServerOptions& options, const std::string& name) {
  std::string served;
  for (const std::string& one : options.model_names) {
    served += (served.empty() ? "" : ", ") + one;
  }
  return {404, "the model \"" + name.substr(0, 200) + "\" is not served here; there is " + served,
          "model", "model_not_found"};
}

std::string read_model(JsonFields& fields, const ServerOptions& options) {
  std::string name = fields.text("model").value_or("");
  if (name.empty()) return options.model_names.empty() ? "" : options.model_names.front();
  if (!is_served(options, name)) fields.refuse_with(model_not_found(options, name));
  return name;
}

}  // namespace forerun
