//! Byte-level BPE (`tokenizer.ggml.model` = "gpt2").

use crate::byte_level;
use crate::pre_tokenizer::PreTokenizer;
use crate::spec::{quoted, Tokens};
use std::collections::HashSet;
use tokenizers::models::bpe::BPE;
use tokenizers::Model;

pub struct ByteLevelBpe {
    pre_tokenizer: PreTokenizer,
    model: BPE,
}

impl ByteLevelBpe {
    pub fn new(pre: &str, tokens: &Tokens, merges: &[String]) -> Result<Self, String> {
        let pre_tokenizer = PreTokenizer::named(pre)?;
        let vocabulary = tokens.id_of.iter().map(|(text, id)| (text.clone(), *id)).collect();
        let model = BPE::builder()
            .vocab_and_merges::<tokenizers::models::bpe::Vocab>(
                vocabulary,
                check_merges(tokens, merges)?,
            )
            // The library's cache lives in thread-locals that outlast the tokenizer.
            .cache_capacity(0)
            .ignore_merges(pre_tokenizer.ignore_merges)
            .build()
            .map_err(|error| format!("tokenizer.ggml.merges: {error}"))?;
        Ok(Self { pre_tokenizer, model })
    }

    /// Appends the ids of a stretch of text without special tokens. Bytes whose token the
    /// vocabulary lacks are left out, as llama.cpp does.
    pub fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        let mut spelled = String::new();
        for word in self.pre_tokenizer.words(text)? {
            spelled.clear();
            byte_level::spell(text[word].as_bytes(), &mut spelled);
            let tokens = self.model.tokenize(&spelled).map_err(|error| error.to_string())?;
            ids.extend(tokens.iter().map(|token| token.id));
        }
        Ok(())
    }
}

fn check_merges(tokens: &Tokens, merges: &[String]) -> Result<Vec<(String, String)>, String> {
    let mut seen = HashSet::with_capacity(merges.len());
    let mut pairs = Vec::with_capacity(merges.len());
    for (rank, merge) in merges.iter().enumerate() {
        let named = || format!("tokenizer.ggml.merges[{rank}], {},", quoted(merge));
        let (left, right) =
            merge.split_once(' ').ok_or_else(|| format!("{} is not two tokens", named()))?;
        for part in [left, right, &format!("{left}{right}")] {
            if !tokens.id_of.contains_key(part) {
                return Err(format!(
                    "{} needs the token {}, which tokenizer.ggml.tokens lacks",
                    named(),
                    quoted(part)
                ));
            }
        }
        if !seen.insert(merge) {
            return Err(format!("{} stands there twice", named()));
        }
        pairs.push((left.to_string(), right.to_string()));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        let texts = ["a", "b", "c", "ab", "abc", "Ġ"].map(String::from).to_vec();
        Tokens::check(texts, &[]).unwrap()
    }

    fn bpe(merges: &[&str]) -> Result<ByteLevelBpe, String> {
        let merges: Vec<String> = merges.iter().map(|merge| merge.to_string()).collect();
        ByteLevelBpe::new("gpt-2", &tokens(), &merges)
    }

    #[test]
    fn merges_apply_in_order_and_unknown_bytes_drop_out() {
        let mut ids = Vec::new();
        bpe(&["a b", "ab c"]).unwrap().encode("abcabz c", &mut ids).unwrap();
        assert_eq!(ids, [4, 3, 5, 2]);
    }

    #[test]
    fn faults_are_named() {
        let error = |merges: &[&str]| bpe(merges).err().unwrap();
        assert!(error(&["a z"]).contains("merges[0], 'a z', needs the token 'z'"));
        assert!(error(&["b c"]).contains("needs the token 'bc'"));
        assert!(error(&["ab"]).contains("is not two tokens"));
        assert!(error(&["a b", "a b"]).contains("twice"));
        assert!(ByteLevelBpe::new("nonesuch", &tokens(), &[]).is_err());
    }
}
