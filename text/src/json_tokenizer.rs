//! A Hugging Face `tokenizer.json`, run by the library that defines the format.

use crate::confined::{self, Abandoned, Limits};
use crate::id_bytes::IdBytes;
use crate::pre_tokenizer::GPT2;
use crate::split_pattern::SplitPattern;
use crate::tokenizer::Vocabulary;
use std::time::Duration;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern as Published};
use tokenizers::tokenizer::AddedVocabulary;
use tokenizers::{
    Model, OffsetType, PreTokenizedString, PreTokenizer, PreTokenizerWrapper,
    SplitDelimiterBehavior, Tokenizer,
};

/// Ids above this would make the table of token bytes larger than any real vocabulary's.
const MAX_TOKENS: u32 = 1 << 24;

pub struct JsonTokenizer {
    tokenizer: Tokenizer,
    /// As the tokenizer's own, but blind to special tokens.
    plain: AddedVocabulary,
    cutting: Vec<Cutting>,
    num_ids: u32,
}

/// A stranger's file may hold patterns and tables of any size. The largest published files have 33 MB
/// and are read in some seconds, with about ten bytes of memory for each of their own.
const MEMORY_BYTES: usize = 96 << 20;
const MEMORY_PER_INPUT_BYTE: usize = 64;
const DEADLINE: Duration = Duration::from_secs(60);
static ABANDONED: Abandoned = Abandoned::at_most(16);

impl JsonTokenizer {
    pub fn new(json: &[u8]) -> Result<Self, String> {
        let json = json.to_vec();
        let limits = Limits {
            memory_bytes: MEMORY_BYTES + MEMORY_PER_INPUT_BYTE * json.len(),
            deadline: DEADLINE,
        };
        confined::run("the tokenizer.json", &ABANDONED, limits, move || Self::parse(&json))
    }

    fn parse(json: &[u8]) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(json)
            .map_err(|error| format!("the tokenizer.json cannot be read: {error}"))?;
        // A prompt is never cut or filled up behind the caller's back.
        tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
        tokenizer.with_padding(None);
        let mut plain = tokenizer.get_added_vocabulary().clone();
        plain.set_encode_special_tokens(true);
        let mut cutting = Vec::new();
        if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
            Cutting::steps_of(pre_tokenizer, &mut cutting);
        }
        let highest = tokenizer.get_vocab(true).into_values().max();
        match highest {
            None => Err("the tokenizer.json has an empty vocabulary".into()),
            Some(id) if id >= MAX_TOKENS => {
                Err(format!("the tokenizer.json has token id {id}; the limit is {MAX_TOKENS}"))
            }
            Some(id) => Ok(Self { tokenizer, plain, cutting, num_ids: id + 1 }),
        }
    }

    pub fn encode(
        &self,
        text: &str,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Vec<u32>, String> {
        let added = if parse_special { self.tokenizer.get_added_vocabulary() } else { &self.plain };
        let encoding = self.encode_with(added, text, add_special);
        encoding
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|error| format!("the text cannot be encoded: {error}"))
    }

    /// The library's own `encode`, with our steps in place of its pre-tokenizer.
    fn encode_with(
        &self,
        added: &AddedVocabulary,
        text: &str,
        add_special: bool,
    ) -> tokenizers::Result<tokenizers::Encoding> {
        let mut words = added.extract_and_normalize(self.tokenizer.get_normalizer(), text);
        for step in &self.cutting {
            step.apply(&mut words)?;
        }
        let model = self.tokenizer.get_model();
        words.tokenize(|word| model.tokenize(word.get()))?;
        let encoding = words.into_encoding(None, 0, OffsetType::None)?;
        self.tokenizer.post_process(encoding, None, add_special)
    }

    pub fn vocabulary(&self) -> Vocabulary {
        let id_bytes = IdBytes::of(self.tokenizer.get_decoder());
        let added = self.tokenizer.get_added_vocabulary();
        let model = self.tokenizer.get_model();
        let mut vocabulary = Vocabulary {
            bytes: Vec::with_capacity(self.num_ids as usize),
            special: Vec::with_capacity(self.num_ids as usize),
            strips_leading_space: id_bytes.strips_leading_space,
        };
        for id in 0..self.num_ids {
            // As decoding looks ids up: added tokens come first, in their normalised form.
            let text = added.simple_id_to_token(id).or_else(|| model.id_to_token(id));
            let text = text.unwrap_or_default();
            let listed = added.get_added_tokens_decoder().get(&id);
            let special =
                listed.is_some_and(|token| token.special) || added.is_special_token(&text);
            vocabulary.special.push(special);
            vocabulary.bytes.push(if text.is_empty() { Vec::new() } else { id_bytes.bytes(text) });
        }
        vocabulary
    }
}

/// A step of cutting text into words.
enum Cutting {
    Library(PreTokenizerWrapper),
    /// A regular expression that the library would give up on in long texts.
    Pattern(SplitPattern, SplitDelimiterBehavior),
}

impl Cutting {
    fn steps_of(pre_tokenizer: &PreTokenizerWrapper, steps: &mut Vec<Self>) {
        match pre_tokenizer {
            PreTokenizerWrapper::Sequence(sequence) => {
                sequence.as_ref().iter().for_each(|step| Self::steps_of(step, steps));
            }
            PreTokenizerWrapper::ByteLevel(step) if step.use_regex && !step.add_prefix_space => {
                steps.extend(Self::pattern(GPT2, SplitDelimiterBehavior::Isolated));
                steps.push(Self::Library((*step).use_regex(false).into()));
            }
            PreTokenizerWrapper::Split(step) => steps
                .push(Self::split(step).unwrap_or_else(|| Self::Library(pre_tokenizer.clone()))),
            other => steps.push(Self::Library(other.clone())),
        }
    }

    fn split(step: &Split) -> Option<Self> {
        match &step.pattern {
            Published::Regex(pattern) if !step.invert => Self::pattern(pattern, step.behavior),
            _ => None,
        }
    }

    fn pattern(pattern: &str, behavior: SplitDelimiterBehavior) -> Option<Self> {
        Some(Self::Pattern(SplitPattern::new(pattern)?, behavior))
    }

    fn apply(&self, words: &mut PreTokenizedString) -> tokenizers::Result<()> {
        match self {
            Self::Library(step) => step.pre_tokenize(words),
            Self::Pattern(pattern, behavior) => {
                words.split(|_, piece| piece.split(pattern, *behavior))
            }
        }
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

    /// The library takes a text for one word when its own engine gives up on it.
    #[test]
    fn a_run_of_spaces_of_any_length_is_cut() {
        let pairs = json(BYTE_LEVEL)
            .replace(r#""Ġa": 2"#, r#""ĠĠ": 2"#)
            .replace(r#"["Ġ a"]"#, r#"["Ġ Ġ"]"#);
        let tokenizer = JsonTokenizer::new(pairs.as_bytes()).unwrap();
        let text = " ".repeat(2_000_000) + "a";
        let ids = tokenizer.encode(&text, false, true).unwrap();
        // The last space is the word's: 999,999 pairs and one, then it.
        assert_eq!(ids.len(), 1_000_002);
        assert_eq!(ids[999_998..], [2, 1, 1, 0]);
    }

    #[test]
    fn bad_files_are_errors() {
        assert!(JsonTokenizer::new(b"{").err().unwrap().contains("cannot be read"));
        let far = json("null").replace(r#""Ġ": 1"#, r#""Ġ": 4000000000"#);
        assert!(JsonTokenizer::new(far.as_bytes()).err().unwrap().contains("16777216"));
    }
}
