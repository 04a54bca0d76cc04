#include "server/embeddings.h"

#include <bit>
#include <cstring>
#include <exception>
#include <utility>

#include "server/answer_text.h"
#include "server/json_reply.h"
#include "server/model_field.h"
#include "server/on_worker.h"
#include "server/prompt_fields.h"

namespace forerun {
namespace {

constexpr size_t kMaxTexts = 2048;  // OpenAI's

struct EmbeddingQuery {
  std::vector<TokenIds> texts;
  bool base64 = false;
  std::string model;
};

std::string base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = (group << 8) | (j < count ? static_cast<uint8_t>(bytes[i + j]) : 0);
    }
    for (size_t j = 0; j < 4; ++j) {
      text += j <= count ? kDigits[(group >> (18 - 6 * j)) & 63] : '=';
    }
  }
  return text;
}

std::string vector_json(std::span<const float> vector, bool as_base64) {
  static_assert(std::endian::native == std::endian::little, "clients read little-endian floats");
  if (as_base64) {
    return "\"" + base64({reinterpret_cast<const char*>(vector.data()), vector.size_bytes()}) +
           "\"";
  }
  return OrderedJson(std::vector<float>(vector.begin(), vector.end())).dump();
}

TokenIds read_text(JsonFields& fields, const EmbeddingService& embedding, const OrderedJson& value,
                   const std::string& name) {
  TokenIds ids;
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (text.empty()) fields.refuse(name, "is empty");
    Result<TokenIds> encoded =
        embedding.tokenizer().encode(text, /*add_special=*/true, /*parse_special=*/false);
    if (!encoded.ok()) fields.refuse(name, "cannot be tokenized: " + encoded.error().message);
    if (encoded.ok()) ids = std::move(*encoded);
  } else if (value.is_array()) {
    for (const OrderedJson& element : value) {
      const std::optional<int32_t> id = read_token_id(element, embedding.vocab_size());
      if (id) ids.push_back(*id);
      if (!id) {
        fields.refuse(name, "must be a string or token ids from 0 to " +
                                std::to_string(embedding.vocab_size() - 1));
        break;
      }
    }
    if (value.empty()) fields.refuse(name, "is empty");
  } else {
    fields.refuse(name, std::string("is ") + json_kind(value) + "; it must be a string or a list");
  }
  const auto tokens = static_cast<int64_t>(ids.size());
  if (tokens > embedding.max_tokens()) {
    fields.refuse(name,
                  "has " + std::to_string(tokens) + " tokens; the limit is " +
                      std::to_string(embedding.max_tokens()),
                  "context_length_exceeded");
  }
  return ids;
}

std::vector<TokenIds> read_input(JsonFields& fields, const EmbeddingService& embedding) {
  const OrderedJson* input = fields.any("input");
  if (input == nullptr) {
    fields.refuse("input", "is missing");
    return {};
  }
  const bool is_one = !input->is_array() || (!input->empty() && input->front().is_number());
  if (is_one) return {read_text(fields, embedding, *input, "input")};
  if (input->empty() || input->size() > kMaxTexts) {
    fields.refuse("input", "has " + std::to_string(input->size()) + " texts; it must have 1 to " +
                               std::to_string(kMaxTexts));
    return {};
  }
  std::vector<TokenIds> texts;
  for (size_t i = 0; i < input->size() && fields.ok(); ++i) {
    texts.push_back(read_text(fields, embedding, (*input)[i], "input[" + std::to_string(i) + "]"));
  }
  return texts;
}

Checked<EmbeddingQuery> read_query(const ModelService& service, const OrderedJson& body) {
  const EmbeddingService& embedding = *service.embedding;
  JsonFields fields(body);
  EmbeddingQuery query;
  query.model = embedding.name();
  const std::string model = fields.text("model").value_or(query.model);
  if (model != query.model) {
    fields.refuse_with(RequestError{404,
                                    "the model \"" + model.substr(0, 200) +
                                        "\" makes no vectors here; " + query.model + " does",
                                    "model", "model_not_found"});
  }
  const std::string format = fields.text("encoding_format").value_or("float");
  query.base64 = format == "base64";
  if (!query.base64 && format != "float") {
    fields.refuse("encoding_format", "must be \"float\" or \"base64\"");
  }
  fields.integer("dimensions", embedding.dimension(), embedding.dimension());
  query.texts = read_input(fields, embedding);
  if (!fields.ok()) return fields.error();
  return query;
}

std::string answer(const EmbeddingQuery& query, std::span<const float> vectors) {
  const size_t dimension = vectors.size() / query.texts.size();
  size_t num_tokens = 0;
  std::string data;
  for (size_t i = 0; i < query.texts.size(); ++i) {
    num_tokens += query.texts[i].size();
    data += (i > 0 ? "," : "") + std::string("{\"object\":\"embedding\",\"index\":") +
            std::to_string(i) + ",\"embedding\":" +
            vector_json(vectors.subspan(i * dimension, dimension), query.base64) + "}";
  }
  const std::string tokens = std::to_string(num_tokens);
  return "{\"object\":\"list\",\"data\":[" + data + "],\"model\":" + json_string(query.model) +
         ",\"usage\":{\"prompt_tokens\":" + tokens + ",\"total_tokens\":" + tokens + "}}";
}

HttpResponse encode(EmbeddingService& embedding, const EmbeddingQuery& query) {
  try {
    const std::vector<std::span<const int32_t>> texts(query.texts.begin(), query.texts.end());
    const Result<std::vector<float>> vectors = embedding.encode(texts);
    if (!vectors.ok()) return to_response({400, vectors.error().message, "input", {}});
    HttpResponse response;
    response.body = answer(query, *vectors);
    return response;
  } catch (const std::exception& error) {
    return to_response({500, error.what(), {}, {}});
  }
}

// On the encoder's own thread; the answer goes back by the I/O thread.
void encode_on_thread(ModelService& service, const ExchangePtr& exchange, EmbeddingQuery query) {
  const auto held = std::make_shared<ExchangePtr>(exchange);
  const bool taken = service.embedding->post([&service, held, query = std::move(query)] {
    service.post([response = encode(*service.embedding, query), to = std::move(*held)]() mutable {
      to->reply(std::move(response));
    });
  });
  if (!taken)
    exchange->reply(to_response({429, "too many texts are waiting; try again later", {}, {}}));
}

Conclusion prepare(ModelService& service, const HttpRequest& request) {
  Checked<OrderedJson> body = parse_body(request.body);
  Checked<EmbeddingQuery> query = RequestError();
  if (const auto* error = std::get_if<RequestError>(&body)) {
    query = *error;
  } else {
    query = read_query(service, std::get<OrderedJson>(body));
  }
  return [&service, query = std::move(query)](const ExchangePtr& exchange) {
    if (const auto* error = std::get_if<RequestError>(&query)) {
      return exchange->reply(to_response(*error));
    }
    encode_on_thread(service, exchange, std::get<EmbeddingQuery>(query));
  };
}

}  // namespace

void add_embedding_routes(Router& router, ModelService& service) {
  router.add({"POST", "/v1/embeddings", Access::kUser, [&service](const ExchangePtr& exchange) {
                if (service.embedding == nullptr) {
                  return exchange->reply(to_response(
                      {400,
                       "this server has no embedding model; start it with --embedding-model",
                       "model",
                       {}}));
                }
                on_worker(service, exchange, [&service](const HttpRequest& request) {
                  return prepare(service, request);
                });
              }});
}

}  // namespace forerun
