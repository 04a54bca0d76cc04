#include "server/prompt_fields.h"

#include <utility>

#include "server/sampling_fields.h"

namespace forerun {
namespace {

// Reads one prompt after the other; an error ends it.
class PromptReader final {
 public:
  PromptReader(JsonFields& fields, const std::string& name, PromptKind kind,
               const ModelService& service, bool add_special)
      : fields_(fields), name_(name), kind_(kind), service_(service), add_special_(add_special) {}

  std::vector<TokenIds> read(const OrderedJson& value) {
    const bool is_one =
        value.is_string() || (value.is_array() && !value.empty() && value.front().is_number());
    if (is_one) {
      add(value, name_);
    } else if (!value.is_array()) {
      refuse(name_, value);
    } else if (value.empty()) {
      fields_.refuse(name_, "is empty; it needs at least one token");
    } else if (value.size() > kMaxChoices) {
      fields_.refuse(name_, "has " + std::to_string(value.size()) + " prompts; the limit is " +
                                std::to_string(kMaxChoices));
    } else {
      add_all(value);
    }
    return std::move(prompts_);
  }

 private:
  void add_all(const OrderedJson& list) {
    for (size_t i = 0; i < list.size() && fields_.ok(); ++i) {
      const std::string name = name_ + "[" + std::to_string(i) + "]";
      const bool alike = list[i].type() == list.front().type();
      alike ? add(list[i], name) : refuse(name, list[i]);
    }
  }

  void add(const OrderedJson& value, const std::string& name) {
    if (value.is_string() && kind_ != PromptKind::kIds) {
      add_text(value.get_ref<const std::string&>(), name);
    } else if (value.is_array() && kind_ != PromptKind::kTexts) {
      add_ids(value, name);
    } else {
      return refuse(name, value);
    }
    if (fields_.ok() && prompts_.back().empty()) {
      fields_.refuse(name, "is empty; it needs at least one token");
    }
  }

  void add_text(const std::string& text, const std::string& name) {
    if (!need_tokenizer(fields_, name, service_)) return;
    if (text.empty()) return fields_.refuse(name, "is empty; it needs at least one token");
    Result<TokenIds> ids = service_.tokenizer->encode(text, add_special_, /*parse_special=*/true);
    if (!ids.ok()) return fields_.refuse(name, "cannot be tokenized: " + ids.error().message);
    prompts_.push_back(std::move(*ids));
  }

  void add_ids(const OrderedJson& list, const std::string& name) {
    // Longer ones are refused before they are copied.
    check_length(fields_, name, service_, list.size(), /*answer_tokens=*/0);
    TokenIds ids;
    for (size_t i = 0; i < list.size() && fields_.ok(); ++i) {
      if (const auto id = read_token_id(list[i], service_.vocab_size)) {
        ids.push_back(*id);
      } else {
        fields_.refuse(name + "[" + std::to_string(i) + "]",
                       "must be a token id from 0 to " + std::to_string(service_.vocab_size - 1));
      }
    }
    prompts_.push_back(std::move(ids));
  }

  void refuse(const std::string& name, const OrderedJson& value) {
    constexpr const char* kWanted[] = {"a string, or a list of strings",
                                       "a list of token ids, or a list of such lists",
                                       "a string, token ids, or a list of either"};
    fields_.refuse(name, std::string("is ") + json_kind(value) + "; " + name_ + " must be " +
                             kWanted[static_cast<size_t>(kind_)]);
  }

  JsonFields& fields_;
  const std::string& name_;
  const PromptKind kind_;
  const ModelService& service_;
  const bool add_special_;
  std::vector<TokenIds> prompts_;
};

}  // namespace

std::vector<TokenIds> read_prompts(JsonFields& fields, const std::string& name, PromptKind kind,
                                   const ModelService& service, bool add_special) {
  const OrderedJson* value = fields.any(name);
  if (value == nullptr) {
    fields.refuse(name, "is missing");
    return {};
  }
  if (!fields.ok()) return {};
  return PromptReader(fields, name, kind, service, add_special).read(*value);
}

void check_length(JsonFields& fields, const std::string& name, const ModelService& service,
                  size_t prompt_tokens, int64_t answer_tokens) {
  const auto tokens = static_cast<int64_t>(prompt_tokens);
  if (tokens + answer_tokens <= service.context_length) return;
  fields.refuse(name,
                "has " + std::to_string(tokens) + " tokens; the context holds " +
                    std::to_string(service.context_length) +
                    (answer_tokens > 0 ? ", and one must be left for the answer" : ""),
                "context_length_exceeded");
}

void check_choices(JsonFields& fields, const std::string& name, size_t num_prompts, int64_t n) {
  const int64_t choices = static_cast<int64_t>(num_prompts) * n;
  if (choices <= kMaxChoices) return;
  fields.refuse(name, "times n makes " + std::to_string(choices) + " choices; the limit is " +
                          std::to_string(kMaxChoices));
}

bool need_tokenizer(JsonFields& fields, const std::string& name, const ModelService& service) {
  if (service.tokenizer != nullptr) return true;
  fields.refuse(name, "needs a tokenizer: " + service.tokenizer_error);
  return false;
}

}  // namespace forerun
