#include "text/tool_grammar.h"

#include <algorithm>
#include <vector>

#include "formats/quote.h"

namespace forerun {
namespace {

using Mode = ToolChoice::Mode;

std::string dumped(const OrderedJson& json) {
  return json.dump(/*indent=*/-1, ' ', /*ensure_ascii=*/false,
                   OrderedJson::error_handler_t::replace);
}

// A string of Lark is written like one of JSON.
std::string literal(std::string_view text) {
  return dumped(OrderedJson(text));
}

// `parameters` with the spaces that models put into JSON, and no others: white space without end
// would be JSON too.
std::string parameters_json(const OrderedJson& function) {
  OrderedJson schema = OrderedJson::object();
  if (const auto found = function.find("parameters"); found != function.end()) schema = *found;
  if (!schema.is_object() || schema.empty()) {
    schema = {{"properties", OrderedJson::object()}, {"additionalProperties", false}};
  }
  schema["type"] = "object";
  schema["x-guidance"] = {
      {"whitespace_flexible", false}, {"item_separator", ", "}, {"key_separator", ": "}};
  return dumped(schema);
}

constexpr char kAnyArguments[] = R"({"type":"object","x-guidance":{"whitespace_flexible":false,)"
                                 R"("item_separator":", ","key_separator":": "}})";

bool is_strict(const OrderedJson& function) {
  const auto strict = function.find("strict");
  return strict != function.end() && *strict == true;
}

class Grammar final {
 public:
  Grammar(const ToolGrammarOptions& options, std::vector<const OrderedJson*> functions)
      : options_(options),
        markers_(tool_markers(options.format.tools)),
        functions_(std::move(functions)) {}

  std::string text() {
    const bool must_call = options_.choice.mode != Mode::kAuto;
    add("start", thinking() + (must_call ? calls() : calls_or_text()));
    add_functions();
    if (needs_text_) add("TEXT", "/(?s:.*)/");
    return text_;
  }

 private:
  void add(const std::string& rule, const std::string& body) { text_ += rule + ": " + body + "\n"; }

  // A mark as it is written: a control token cannot be spelled by others.
  std::string mark(std::string_view text) const {
    const std::optional<int32_t> id = control_token(text);
    return id ? "<[" + std::to_string(*id) + "]>" : literal(text);
  }

  std::optional<int32_t> control_token(std::string_view text) const {
    const Vocabulary* vocabulary = options_.vocabulary;
    for (int32_t id = 0; vocabulary != nullptr && id < vocabulary->size(); ++id) {
      if (vocabulary->is_special(id) && vocabulary->token_bytes(id) == text) return id;
    }
    return std::nullopt;
  }

  // A rule that takes any text up to a mark, and the mark.
  std::string up_to(const std::string& rule, std::string_view end) {
    needs_text_ = true;
    if (control_token(end)) return "TEXT " + mark(end);
    add(rule + "[suffix=" + literal(end) + "]", "TEXT");
    return rule;
  }

  std::string thinking() {
    if (options_.thinking == ThinkingStart::kNone) return "";
    std::string reasoning = up_to("reasoning", kThinkClose) + " /\\n{0,2}/ ";
    if (options_.thinking == ThinkingStart::kOpen) return reasoning;
    return "(" + mark(kThinkOpen) + " " + reasoning + ")? ";
  }

  // `more`, as often as calls may be.
  std::string repeated(const std::string& more) const {
    return options_.parallel_calls ? " (" + more + ")*" : "";
  }

  std::string calls() {
    switch (options_.format.tools) {
      case ToolSyntax::kHermes:
        add("call", mark(markers_.open) + " \"\\n\" function \"\\n\" " + mark(markers_.close));
        return "call" + repeated("\"\\n\" call");
      case ToolSyntax::kMistral:
        return mark(markers_.open) + " " + list();
      default:
        return "function" + repeated("\"; \" function");
    }
  }

  std::string list() const { return "\"[\" function" + repeated("\", \" function") + " \"]\""; }

  // Text in which a mark makes a call of what follows; Llama's calls are the whole answer.
  std::string calls_or_text() {
    if (options_.format.tools == ToolSyntax::kLlama3) {
      add("OTHER", "/(\\s*[^{\\s](?s:.*))?/");
      return "(OTHER | " + calls() + ")";
    }
    needs_text_ = true;
    const std::string begin = up_to("begin", markers_.open);
    if (options_.format.tools == ToolSyntax::kMistral)
      return "(TEXT | " + begin + " " + list() + ")";
    const std::string call = begin + " \"\\n\" function \"\\n\" " + mark(markers_.close);
    return "(" + call + ")" + (options_.parallel_calls ? "*" : "?") + " TEXT";
  }

  void add_functions() {
    std::string all;
    for (size_t i = 0; i < functions_.size(); ++i) {
      const std::string number = std::to_string(i);
      const OrderedJson& function = *functions_[i];
      const std::string begin = "{\"name\": " + dumped(function.at("name")) + ", \"" +
                                std::string(markers_.arguments) + "\": ";
      all += (i > 0 ? " | function" : "function") + number;
      add("function" + number, literal(begin) + " arguments" + number + " \"}\"");
      add("arguments" + number, "%json " + arguments_of(function));
    }
    add("function", all);
  }

  std::string arguments_of(const OrderedJson& function) const {
    const bool held = options_.choice.mode != Mode::kAuto || is_strict(function);
    return held ? parameters_json(function) : kAnyArguments;
  }

  const ToolGrammarOptions& options_;
  const ToolMarkers& markers_;
  std::vector<const OrderedJson*> functions_;
  std::string text_;
  bool needs_text_ = false;
};

std::vector<const OrderedJson*> wanted_functions(const OrderedJson& tools,
                                                 const ToolChoice& choice) {
  std::vector<const OrderedJson*> functions;
  for (const OrderedJson& tool : tools) {
    const auto function = tool.find("function");
    if (function == tool.end() || !function->contains("name")) continue;
    const bool wanted = choice.mode != Mode::kFunction || function->at("name") == choice.function;
    if (wanted) functions.push_back(&*function);
  }
  return functions;
}

}  // namespace

Result<std::optional<std::string>> tool_grammar(const OrderedJson& tools,
                                                const ToolGrammarOptions& options) {
  const Mode mode = options.choice.mode;
  std::vector<const OrderedJson*> functions = wanted_functions(tools, options.choice);
  if (mode == Mode::kFunction && functions.empty()) {
    return Error{"tool_choice: " + quote(options.choice.function) + " is none of the tools"};
  }
  const bool must_call = mode == Mode::kRequired || mode == Mode::kFunction;
  const bool any_strict = std::ranges::any_of(
      functions, [](const OrderedJson* function) { return is_strict(*function); });
  if (mode == Mode::kNone || (!must_call && !any_strict)) return std::optional<std::string>();
  if (functions.empty()) return Error{"tool_choice: a call is required, and there are no tools"};
  if (options.format.tools == ToolSyntax::kUnknown) {
    return Error{
        std::string(must_call ? "tool_choice" : "tools: strict") +
        ": this model writes its calls in a form that cannot be held to; leave it out, and "
        "they come as text"};
  }
  return std::optional(Grammar(options, std::move(functions)).text());
}

}  // namespace forerun
