//! The text edge of forerun: tokenizers, chat templates and grammars behind the C ABI of `forerun_text.h`.

mod bpe;
mod byte_level;
mod confined;
mod ffi;
mod grammar;
mod grammar_ffi;
mod grammar_matcher;
mod grammar_source;
mod id_bytes;
mod json_tokenizer;
mod pre_tokenizer;
mod python_filters;
mod python_methods;
mod python_text;
mod spec;
mod special;
mod split_pattern;
mod spm;
mod strftime;
mod template;
mod template_scan;
mod tokenizer;
