//! The text edge of forerun: tokenizers and chat templates behind the C ABI of `forerun_text.h`.

mod bpe;
mod byte_level;
mod confined;
mod ffi;
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
