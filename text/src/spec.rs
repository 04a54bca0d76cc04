//! A tokenizer as a GGUF's keys describe it, checked once so that the encoders need not doubt it.

use std::collections::HashMap;

/// `tokenizer.ggml.token_type`, in llama.cpp's numbering.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenType {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl TokenType {
    fn of(number: i32) -> Option<Self> {
        Some(match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }

    /// Whether decoding may be told to leave the token out.
    pub fn is_special(self) -> bool {
        matches!(self, Self::Unknown | Self::Control)
    }
}

#[derive(Default)]
pub struct Spec {
    pub model: String,
    pub pre: String,
    pub tokens: Vec<String>,
    pub merges: Vec<String>,
    pub scores: Vec<f32>,
    pub token_types: Vec<i32>,
    pub bos_id: Option<u32>,
    pub eos_id: Option<u32>,
    pub unknown_id: Option<u32>,
    pub add_bos: bool,
    pub add_eos: bool,
    pub add_space_prefix: bool,
}

/// The tokens of a spec: every id has a type and no two ids have one text.
pub struct Tokens {
    pub texts: Vec<String>,
    pub types: Vec<TokenType>,
    pub id_of: HashMap<String, u32>,
}

impl Tokens {
    pub fn check(texts: Vec<String>, types: &[i32]) -> Result<Self, String> {
        if texts.is_empty() {
            return Err("tokenizer.ggml.tokens is empty".into());
        }
        if texts.len() > i32::MAX as usize {
            return Err("tokenizer.ggml.tokens has more than 2^31 - 1 entries".into());
        }
        let types = check_types(types, texts.len())?;
        let mut id_of = HashMap::with_capacity(texts.len());
        for (id, text) in texts.iter().enumerate() {
            if let Some(first) = id_of.insert(text.clone(), id as u32) {
                return Err(format!(
                    "tokenizer.ggml.tokens[{id}] repeats the text of token {first}, {}",
                    quoted(text)
                ));
            }
        }
        Ok(Self { texts, types, id_of })
    }
}

fn check_types(types: &[i32], num_tokens: usize) -> Result<Vec<TokenType>, String> {
    if types.is_empty() {
        return Ok(vec![TokenType::Normal; num_tokens]);
    }
    if types.len() != num_tokens {
        return Err(format!(
            "tokenizer.ggml.token_type has {} entries and tokenizer.ggml.tokens {num_tokens}",
            types.len()
        ));
    }
    let typed = |(id, number): (usize, &i32)| {
        TokenType::of(*number)
            .ok_or_else(|| format!("tokenizer.ggml.token_type[{id}] is {number}, not 1 to 6"))
    };
    types.iter().enumerate().map(typed).collect()
}

/// A special id of the spec, checked against the vocabulary.
pub fn check_id(key: &str, id: Option<u32>, num_tokens: usize) -> Result<Option<u32>, String> {
    match id {
        Some(id) if id as usize >= num_tokens => {
            Err(format!("tokenizer.ggml.{key} is {id} and the vocabulary has {num_tokens} tokens"))
        }
        id => Ok(id),
    }
}

/// A stranger's text as it may stand in a sentence: quoted, short, without control characters.
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 40;
    let short: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    let ellipsis = if text.chars().nth(LONGEST).is_some() { "…" } else { "" };
    format!("'{short}{ellipsis}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(tokens: &[&str], types: &[i32]) -> String {
        Tokens::check(tokens.iter().map(|text| text.to_string()).collect(), types).err().unwrap()
    }

    #[test]
    fn faults_are_named() {
        assert!(error(&[], &[]).contains("is empty"));
        assert!(error(&["a", "b", "a"], &[]).contains("[2] repeats the text of token 0, 'a'"));
        assert!(error(&["a"], &[1, 1]).contains("token_type has 2 entries"));
        assert!(error(&["a"], &[9]).contains("token_type[0] is 9"));
        assert!(check_id("bos_token_id", Some(3), 3).unwrap_err().contains("bos_token_id is 3"));
        assert_eq!(quoted(&"\n".repeat(50)), format!("'{}…'", "\\n".repeat(40)));
    }
}
