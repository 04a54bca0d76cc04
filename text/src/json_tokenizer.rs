//! A Hugging Face `tokenizer.json`, run by the library that defines the format.

use crate::byte_level;
use crate::confined::{self, Limits};
use crate::spm::{byte_of_token, SPACE};
use crate::tokenizer::Vocabulary;
use std::time::Duration;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::tokenizer::AddedVocabulary;
use tokenizers::{Model, OffsetType, PreTokenizer, Tokenizer};

/// Ids above this would make the table of token bytes larger than any real vocabulary's.
const MAX_TOKENS: u32 = 1 << 24;

pub struct JsonTokenizer {
    tokenizer: Tokenizer,
    /// As the tokenizer's own, but blind to special tokens.
    plain: AddedVocabulary,
}

/// A stranger's file may hold patterns and tables of any size. The largest published files have 33 MB
/// and are read in some seconds, with about ten bytes of memory for each of their own.
const MEMORY_BYTES: usize = 96 << 20;
const MEMORY_PER_INPUT_BYTE: usize = 64;
const DEADLINE: Duration = Duration::from_secs(60);

impl JsonTokenizer {
    pub fn new(json: &[u8]) -> Result<Self, String> {
        let json = json.to_vec();
        let limits = Limits {
            memory_bytes: MEMORY_BYTES + MEMORY_PER_INPUT_BYTE * json.len(),
            deadline: DEADLINE,
        };
        confined::run("the tokenizer.json", limits, move || Self::parse(&json))
    }

    fn parse(json: &[u8]) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(json)
            .map_err(|error| format!("the tokenizer.json cannot be read: {error}"))?;
        // A prompt is never cut or filled up behind the caller's back.
        tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
        tokenizer.with_padding(None);
        let mut plain = tokenizer.get_added_vocabulary().clone();
        plain.set_encode_special_tokens(true);
        let highest = tokenizer.get_vocab(true).into_values().max();
        match highest {
            None => Err("the tokenizer.json has an empty vocabulary".into()),
            Some(id) if id >= MAX_TOKENS => {
                Err(format!("the tokenizer.json has token id {id}; the limit is {MAX_TOKENS}"))
            }
            Some(_) => Ok(Self { tokenizer, plain }),
        }
    }

    pub fn encode(
        &self,
        text: &str,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Vec<u32>, String> {
        let encoding = if parse_special {
            self.tokenizer.encode_fast(text, add_special)
        } else {
            self.encode_plain(text, add_special)
        };
        encoding
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|error| format!("the text cannot be encoded: {error}"))
    }

    fn encode_plain(
        &self,
        text: &str,
        add_special: bool,
    ) -> tokenizers::Result<tokenizers::Encoding> {
        let mut words = self.plain.extract_and_normalize(self.tokenizer.get_normalizer(), text);
        if let Some(pre_tokenizer) = self.tokenizer.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut words)?;
        }
        let model = self.tokenizer.get_model();
        words.tokenize(|word| model.tokenize(word.get()))?;
        let encoding = words.into_encoding(None, 0, OffsetType::None)?;
        self.tokenizer.post_process(encoding, None, add_special)
    }

    pub fn vocabulary(&self) -> Vocabulary {
        let spelling = self.tokenizer.get_decoder().map_or(Spelling::Plain, Spelling::of);
        let added = self.tokenizer.get_added_tokens_decoder();
        let texts = self.tokenizer.get_vocab(true);
        let num_tokens = texts.values().max().map_or(0, |id| *id as usize + 1);
        let mut vocabulary = Vocabulary {
            bytes: vec![Vec::new(); num_tokens],
            special: vec![false; num_tokens],
            strips_leading_space: self.tokenizer.get_decoder().is_some_and(strips_leading_space),
        };
        for (text, id) in texts {
            vocabulary.bytes[id as usize] = match added.get(&id) {
                Some(_) => text.into_bytes(),
                None => spelling.bytes(&text),
            };
            vocabulary.special[id as usize] = added.get(&id).is_some_and(|token| token.special);
        }
        vocabulary
    }
}

/// How a vocabulary writes bytes down, told by its decoder.
#[derive(Clone, Copy, PartialEq)]
enum Spelling {
    ByteLevel,
    SentencePiece,
    Plain,
}

impl Spelling {
    fn of(decoder: &DecoderWrapper) -> Self {
        match decoder {
            DecoderWrapper::ByteLevel(_) => Self::ByteLevel,
            DecoderWrapper::Metaspace(_)
            | DecoderWrapper::ByteFallback(_)
            | DecoderWrapper::Replace(_) => Self::SentencePiece,
            DecoderWrapper::Sequence(steps) => steps
                .get_decoders()
                .iter()
                .map(Self::of)
                .find(|spelling| *spelling != Self::Plain)
                .unwrap_or(Self::Plain),
            _ => Self::Plain,
        }
    }

    fn bytes(self, text: &str) -> Vec<u8> {
        match self {
            Self::ByteLevel => byte_level::bytes_of_token(text),
            Self::SentencePiece => match byte_of_token(text) {
                Some(byte) => vec![byte],
                None => text.replace(SPACE, " ").into_bytes(),
            },
            Self::Plain => text.as_bytes().to_vec(),
        }
    }
}

fn strips_leading_space(decoder: &DecoderWrapper) -> bool {
    use tokenizers::pre_tokenizers::metaspace::PrependScheme;
    match decoder {
        DecoderWrapper::Metaspace(step) => step.get_prepend_scheme() != PrependScheme::Never,
        DecoderWrapper::Strip(step) => step.content == ' ' && step.start > 0,
        DecoderWrapper::Sequence(steps) => steps.get_decoders().iter().any(strips_leading_space),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTE_LEVEL: &str = r#"{"type": "ByteLevel", "add_prefix_space": false,
        "trim_offsets": true, "use_regex": true}"#;

    fn json(decoder: &str) -> String {
        format!(
            r#"{{"added_tokens": [{{"id": 3, "content": "<s>", "single_word": false,
                "lstrip": false, "rstrip": false, "normalized": false, "special": true}}],
             "pre_tokenizer": {{"type": "ByteLevel", "add_prefix_space": false,
                "trim_offsets": true, "use_regex": true}},
             "decoder": {decoder},
             "model": {{"type": "BPE", "vocab": {{"a": 0, "Ġ": 1, "Ġa": 2}},
                "merges": ["Ġ a"]}}}}"#
        )
    }

    #[test]
    fn special_tokens_are_found_only_when_asked() {
        let tokenizer = JsonTokenizer::new(json(BYTE_LEVEL).as_bytes()).unwrap();
        assert_eq!(tokenizer.encode("a a<s>", false, true).unwrap(), [0, 2, 3]);
        assert_eq!(tokenizer.encode("a a<s>", false, false).unwrap(), [0, 2]);
        let vocabulary = tokenizer.vocabulary();
        assert_eq!(vocabulary.bytes[2], b" a");
        assert_eq!(vocabulary.special, [false, false, false, true]);
        assert!(!vocabulary.strips_leading_space);
    }

    #[test]
    fn bad_files_are_errors() {
        assert!(JsonTokenizer::new(b"{").err().unwrap().contains("cannot be read"));
        let far = json("null").replace(r#""Ġ": 1"#, r#""Ġ": 4000000000"#);
        assert!(JsonTokenizer::new(far.as_bytes()).err().unwrap().contains("16777216"));
    }
}
