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

void forerun_tokenizer_free(ForerunTokenizer* tokenizer);
void forerun_vocabulary_free(ForerunVocabulary vocabulary);
void forerun_bytes_free(ForerunBytes bytes);
void forerun_ids_free(ForerunIds ids);

#ifdef __cplusplus
}
#endif
