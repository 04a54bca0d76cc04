//! The tokenizer behind a handle: either of the GGUF kinds, or a `tokenizer.json`.

use crate::bpe::ByteLevelBpe;
use crate::byte_level;
use crate::json_tokenizer::JsonTokenizer;
use crate::spec::{check_id, Spec, TokenType, Tokens};
use crate::special::{Piece, SpecialTokens};
use crate::spm::{byte_of_token, Spm, SPACE};

/// What each id stands for, without the need to ask again.
pub struct Vocabulary {
    pub bytes: Vec<Vec<u8>>,
    pub special: Vec<bool>,
    /// Decoding a whole text drops one space at its start: encoding put it there.
    pub strips_leading_space: bool,
}

pub enum Tokenizer {
    Gguf(Box<GgufTokenizer>),
    Json(Box<JsonTokenizer>),
}

impl Tokenizer {
    pub fn from_spec(spec: Spec) -> Result<Self, String> {
        Ok(Self::Gguf(Box::new(GgufTokenizer::new(spec)?)))
    }

    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        Ok(Self::Json(Box::new(JsonTokenizer::new(json)?)))
    }

    pub fn encode(
        &self,
        text: &str,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Vec<u32>, String> {
        match self {
            Self::Gguf(tokenizer) => tokenizer.encode(text, add_special, parse_special),
            Self::Json(tokenizer) => tokenizer.encode(text, add_special, parse_special),
        }
    }

    pub fn vocabulary(&self) -> Vocabulary {
        match self {
            Self::Gguf(tokenizer) => tokenizer.vocabulary(),
            Self::Json(tokenizer) => tokenizer.vocabulary(),
        }
    }
}

enum Merging {
    ByteLevel(Box<ByteLevelBpe>),
    Scores(Box<Spm>),
}

pub struct GgufTokenizer {
    tokens: Tokens,
    special: SpecialTokens,
    merging: Merging,
    first_id: Option<u32>,
    last_id: Option<u32>,
    add_space_prefix: bool,
}

impl GgufTokenizer {
    fn new(spec: Spec) -> Result<Self, String> {
        let tokens = Tokens::check(spec.tokens, &spec.token_types)?;
        let num_tokens = tokens.texts.len();
        let bos_id = check_id("bos_token_id", spec.bos_id, num_tokens)?;
        let eos_id = check_id("eos_token_id", spec.eos_id, num_tokens)?;
        let unknown_id = check_id("unknown_token_id", spec.unknown_id, num_tokens)?;
        let merging = match spec.model.as_str() {
            "gpt2" => {
                Merging::ByteLevel(Box::new(ByteLevelBpe::new(&spec.pre, &tokens, &spec.merges)?))
            }
            "llama" => Merging::Scores(Box::new(Spm::new(&tokens, spec.scores, unknown_id)?)),
            other => {
                return Err(format!("tokenizer.ggml.model is '{other}'; known are gpt2 and llama"))
            }
        };
        Ok(Self {
            special: SpecialTokens::of(&tokens)?,
            tokens,
            merging,
            first_id: bos_id.filter(|_| spec.add_bos),
            last_id: eos_id.filter(|_| spec.add_eos),
            add_space_prefix: spec.add_space_prefix,
        })
    }

    fn encode(
        &self,
        text: &str,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Vec<u32>, String> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 2);
        ids.extend(self.first_id.filter(|_| add_special));
        let mut after_special = true;
        for piece in self.special.cut(text, parse_special) {
            match piece {
                Piece::Token(id) => ids.push(id),
                Piece::Text(stretch) => self.encode_stretch(stretch, after_special, &mut ids)?,
            }
            after_special = matches!(piece, Piece::Token(_));
        }
        ids.extend(self.last_id.filter(|_| add_special));
        Ok(ids)
    }

    fn encode_stretch(
        &self,
        text: &str,
        after_special: bool,
        ids: &mut Vec<u32>,
    ) -> Result<(), String> {
        match &self.merging {
            Merging::ByteLevel(bpe) => bpe.encode(text, ids)?,
            Merging::Scores(spm) if self.add_space_prefix && after_special => {
                spm.encode(&self.tokens.id_of, &format!(" {text}"), ids)
            }
            Merging::Scores(spm) => spm.encode(&self.tokens.id_of, text, ids),
        }
        Ok(())
    }

    fn vocabulary(&self) -> Vocabulary {
        let ids = 0..self.tokens.texts.len();
        Vocabulary {
            bytes: ids.map(|id| self.bytes_of(id)).collect(),
            special: self.tokens.types.iter().map(|kind| kind.is_special()).collect(),
            strips_leading_space: matches!(self.merging, Merging::Scores(_))
                && self.add_space_prefix,
        }
    }

    fn bytes_of(&self, id: usize) -> Vec<u8> {
        let text = &self.tokens.texts[id];
        match (self.tokens.types[id], &self.merging) {
            (TokenType::Control | TokenType::UserDefined | TokenType::Unknown, _) => {
                text.as_bytes().to_vec()
            }
            (_, Merging::ByteLevel(_)) => byte_level::bytes_of_token(text),
            (TokenType::Byte, _) => byte_of_token(text).into_iter().collect(),
            (_, Merging::Scores(_)) => text.replace(SPACE, " ").into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec {
            model: "gpt2".into(),
            pre: "gpt-2".into(),
            tokens: ["a", "b", "ab", "<s>", "</s>"].map(String::from).to_vec(),
            merges: vec!["a b".into()],
            token_types: vec![1, 1, 1, 3, 3],
            bos_id: Some(3),
            eos_id: Some(4),
            add_bos: true,
            add_eos: true,
            ..Spec::default()
        }
    }

    #[test]
    fn special_tokens_frame_the_text_only_when_asked() {
        let tokenizer = Tokenizer::from_spec(spec()).unwrap();
        assert_eq!(tokenizer.encode("ab</s>b", true, true).unwrap(), [3, 2, 4, 1, 4]);
        assert_eq!(tokenizer.encode("ab</s>", false, false).unwrap(), [2]);
        assert_eq!(tokenizer.encode("", false, true).unwrap(), [0u32; 0]);
    }

    #[test]
    fn faults_are_named() {
        let error = |change: fn(&mut Spec)| {
            let mut spec = spec();
            change(&mut spec);
            Tokenizer::from_spec(spec).err().unwrap()
        };
        assert!(error(|spec| spec.model = "bert".into()).contains("model is 'bert'"));
        assert!(error(|spec| spec.bos_id = Some(5)).contains("bos_token_id is 5"));
        assert!(error(|spec| spec.model = "llama".into()).contains("scores has 0 entries"));
        assert!(error(|spec| spec.tokens.clear()).contains("is empty"));
    }

    #[test]
    fn a_space_is_put_before_text_and_taken_off_again() {
        let tokenizer = Tokenizer::from_spec(Spec {
            model: "llama".into(),
            tokens: ["\u{2581}", "a", "<s>", "<0x0A>"].map(String::from).to_vec(),
            token_types: vec![1, 1, 3, 6],
            scores: vec![0.0; 4],
            add_space_prefix: true,
            ..Spec::default()
        })
        .unwrap();
        assert_eq!(tokenizer.encode("a<s>a\na", false, true).unwrap(), [0, 1, 2, 0, 1, 3, 1]);
        let vocabulary = tokenizer.vocabulary();
        assert_eq!(vocabulary.bytes, [b" ".to_vec(), b"a".to_vec(), b"<s>".to_vec(), vec![10]]);
        assert_eq!(vocabulary.special, [false, false, true, false]);
        assert!(vocabulary.strips_leading_space);
    }
}
