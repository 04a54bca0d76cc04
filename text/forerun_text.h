// C ABI of the crate `text/`. Every function is safe to call from any thread; a handle may be
// shared by threads as long as nobody frees it. No function unwinds, aborts or prints.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ForerunTokenizer ForerunTokenizer;
typedef struct ForerunGrammarEnvironment ForerunGrammarEnvironment;  // a tokenizer's tokens
typedef struct ForerunGrammar ForerunGrammar;
typedef struct ForerunMatcher ForerunMatcher;  // one thread at a time

// Bytes owned by the crate; given back with forerun_bytes_free.
typedef struct {
  uint8_t* data;
  size_t size;
  size_t capacity;
} ForerunBytes;

// Token ids owned by the crate; given back with forerun_ids_free.
typedef struct {
  int32_t* data;
  size_t size;
  size_t capacity;
} ForerunIds;

// `count` strings in one blob: string i is bytes [offsets[i], offsets[i + 1]).
typedef struct {
  const uint8_t* bytes;
  size_t size_bytes;
  const uint64_t* offsets;  // [count + 1]
  size_t count;
} ForerunStrings;

typedef struct {
  const char* model;  // zero-terminated, as is `pre`
  const char* pre;
  ForerunStrings tokens;
  ForerunStrings merges;
  const float* scores;  // [num_scores]
  size_t num_scores;
  const int32_t* token_types;  // [num_token_types]
  size_t num_token_types;
  int32_t bos_id;  // -1: none; the same for the others
  int32_t eos_id;
  int32_t unknown_id;
  bool add_bos;
  bool add_eos;
  bool add_space_prefix;
} ForerunTokenizerSpec;

// What a caller needs to decode without the crate: the bytes each id stands for.
typedef struct {
  ForerunBytes bytes;  // all tokens' bytes, one after the other
  uint64_t* offsets;   // [num_tokens + 1]
  uint8_t* special;    // [num_tokens], 1 where a decoder may be told to skip the token
  size_t num_tokens;
  bool strips_leading_space;  // whole-text decoding drops one space at the start
} ForerunVocabulary;

typedef enum {
  kForerunJsonObject = 0,  // any JSON object; no text
  kForerunJsonSchema = 1,
  kForerunRegex = 2,  // of the whole text; Rust's syntax
  kForerunLark = 3,   // llguidance's dialect
} ForerunGrammarKind;

// What may follow in a matcher's text.
typedef struct {
  bool accepting;  // its end
  bool complete;   // nothing but its end
} ForerunNext;

// Each returns true on success; on failure *error holds a sentence (UTF-8).
bool forerun_tokenizer_from_spec(const ForerunTokenizerSpec* spec, ForerunTokenizer** tokenizer,
                                 ForerunBytes* error);
bool forerun_tokenizer_from_json(const uint8_t* json, size_t size, ForerunTokenizer** tokenizer,
                                 ForerunBytes* error);
bool forerun_tokenizer_vocabulary(const ForerunTokenizer* tokenizer, ForerunVocabulary* vocabulary,
                                  ForerunBytes* error);
// Bytes of `text` that are not UTF-8 are read as U+FFFD.
bool forerun_tokenizer_encode(const ForerunTokenizer* tokenizer, const uint8_t* text, size_t size,
                              bool add_special, bool parse_special, ForerunIds* ids,
                              ForerunBytes* error);
// Renders a chat template with the variables of a JSON object.
bool forerun_template_render(const uint8_t* source, size_t source_size, const uint8_t* variables,
                             size_t variables_size, ForerunBytes* text, ForerunBytes* error);

// `end_ids` end a text. Takes some 10 to 100 ms: make one for a tokenizer, which it does not need
// after this.
bool forerun_grammar_environment_new(const ForerunTokenizer* tokenizer, const int32_t* end_ids,
                                     size_t num_end_ids, ForerunGrammarEnvironment** environment,
                                     ForerunBytes* error);
bool forerun_grammar_compile(const ForerunGrammarEnvironment* environment, uint32_t kind,
                             const uint8_t* text, size_t size, ForerunGrammar** grammar,
                             ForerunBytes* error);
// What it takes of memory, about; a matcher takes no more at its beginning.
size_t forerun_grammar_bytes(const ForerunGrammar* grammar);
// A matcher at the beginning of a text, and one where another is. They need nothing else to live.
bool forerun_matcher_new(const ForerunGrammar* grammar, ForerunMatcher** matcher,
                         ForerunBytes* error);
bool forerun_matcher_clone(const ForerunMatcher* matcher, ForerunMatcher** copy,
                           ForerunBytes* error);
// Bit t of words, lowest first: token t may come next; an end exactly where `accepting`. Words
// beyond the vocabulary become 0.
bool forerun_matcher_mask(ForerunMatcher* matcher, uint32_t* words, size_t num_words,
                          ForerunNext* next, ForerunBytes* error);
bool forerun_matcher_accept(ForerunMatcher* matcher, int32_t token, ForerunNext* next,
                            ForerunBytes* error);
// How many of the tokens may come, one after the other; the matcher stays where it is.
bool forerun_matcher_count_valid(ForerunMatcher* matcher, const int32_t* tokens, size_t num_tokens,
                                 size_t* num_valid, ForerunBytes* error);
// Takes the last tokens back.
bool forerun_matcher_rollback(ForerunMatcher* matcher, size_t num_tokens, ForerunNext* next,
                              ForerunBytes* error);
void forerun_grammar_environment_free(ForerunGrammarEnvironment* environment);
void forerun_grammar_free(ForerunGrammar* grammar);
void forerun_matcher_free(ForerunMatcher* matcher);

void forerun_tokenizer_free(ForerunTokenizer* tokenizer);
void forerun_vocabulary_free(ForerunVocabulary vocabulary);
void forerun_bytes_free(ForerunBytes bytes);
void forerun_ids_free(ForerunIds ids);

#ifdef __cplusplus
}
#endif
