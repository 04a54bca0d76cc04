//! The bytes that each id of a `tokenizer.json` stands for, found from its decoder.
//!
//! Decoders work on the list of all tokens. Those in use treat each token by itself but for the
//! first, which loses its space, and for what works on the joined text; so the bytes of a token are
//! what the decoder makes of it between two others.

use crate::byte_level;
use crate::spm::byte_of_token;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::Decoder;

pub struct IdBytes<'a> {
    /// Up to the one that joins the tokens.
    steps: Vec<&'a DecoderWrapper>,
    /// Without a decoder, tokens are joined by spaces.
    spaced: bool,
    pub strips_leading_space: bool,
}

impl<'a> IdBytes<'a> {
    pub fn of(decoder: Option<&'a DecoderWrapper>) -> Self {
        let mut all = Vec::new();
        flatten(decoder, &mut all);
        let joins = all.iter().position(|step| matches!(step, DecoderWrapper::Fuse(_)));
        let (steps, after) = all.split_at(joins.unwrap_or(all.len()));
        let spaced = decoder.is_none();
        let strips_leading_space = spaced
            || steps.iter().any(|step| takes_the_first_space(step))
            || after.iter().any(|step| strips_a_space(step));
        Self { steps: steps.to_vec(), spaced, strips_leading_space }
    }

    pub fn bytes(&self, token: String) -> Vec<u8> {
        if self.spaced {
            return format!(" {token}").into_bytes();
        }
        let mut token = token;
        for step in &self.steps {
            match step {
                DecoderWrapper::ByteLevel(_) => return byte_level::bytes_of_token(&token),
                DecoderWrapper::ByteFallback(_) => {
                    if let Some(byte) = byte_of_token(&token) {
                        return vec![byte];
                    }
                }
                step => token = between_others(step, token),
            }
        }
        token.into_bytes()
    }
}

fn flatten<'a>(decoder: Option<&'a DecoderWrapper>, steps: &mut Vec<&'a DecoderWrapper>) {
    match decoder {
        Some(DecoderWrapper::Sequence(sequence)) => {
            sequence.get_decoders().iter().for_each(|step| flatten(Some(step), steps))
        }
        Some(step) => steps.push(step),
        None => {}
    }
}

fn takes_the_first_space(step: &DecoderWrapper) -> bool {
    match step {
        DecoderWrapper::Metaspace(step) => step.get_prepend_scheme() != PrependScheme::Never,
        DecoderWrapper::WordPiece(_) => true,
        _ => false,
    }
}

fn strips_a_space(step: &DecoderWrapper) -> bool {
    matches!(step, DecoderWrapper::Strip(step) if step.content == ' ' && step.start > 0)
}

fn between_others(step: &DecoderWrapper, token: String) -> String {
    let others = || "a".to_string();
    match step.decode_chain(vec![others(), token.clone(), others()]) {
        Ok(decoded) if decoded.len() == 3 => decoded.into_iter().nth(1).unwrap_or_default(),
        _ => token,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(decoder: &str, tokens: &[&str]) -> Vec<String> {
        let decoder: Option<DecoderWrapper> = serde_json::from_str(decoder).unwrap();
        let made = IdBytes::of(decoder.as_ref());
        let text =
            |token: &&str| String::from_utf8_lossy(&made.bytes(token.to_string())).into_owned();
        tokens.iter().map(text).collect()
    }

    fn strips(decoder: &str) -> bool {
        let decoder: Option<DecoderWrapper> = serde_json::from_str(decoder).unwrap();
        IdBytes::of(decoder.as_ref()).strips_leading_space
    }

    const REPLACE: &str = r#"{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}"#;
    const FALLBACK: &str = r#"{"type": "ByteFallback"}, {"type": "Fuse"}"#;

    #[test]
    fn each_decoder_reads_its_own_spelling() {
        let gemma = format!(r#"{{"type": "Sequence", "decoders": [{REPLACE}, {FALLBACK}]}}"#);
        assert_eq!(bytes(&gemma, &["▁a▁", "<0x41>", "<0xZZ>", "Ġ"]), [" a ", "A", "<0xZZ>", "Ġ"]);
        assert!(!strips(&gemma));
        let llama = gemma.replace(
            r#"{"type": "Fuse"}"#,
            r#"{"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}"#,
        );
        assert_eq!(bytes(&llama, &["▁a"]), [" a"]);
        assert!(strips(&llama));
        let word_piece = r###"{"type": "WordPiece", "prefix": "##", "cleanup": true}"###;
        assert_eq!(bytes(word_piece, &["a", "##b", ".", "'s"]), [" a", "b", ".", "'s"]);
        assert!(strips(word_piece));
        let metaspace = r#"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}"#;
        assert_eq!(bytes(metaspace, &["▁a", "<0x41>"]), [" a", "<0x41>"]);
        assert!(strips(metaspace));
        assert_eq!(bytes("null", &["a"]), [" a"]);
        assert!(strips("null"));
        let byte_level = r#"{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
            "use_regex": true}"#;
        assert_eq!(bytes(byte_level, &["Ġa", "<｜▁｜>"]), [" a", "<｜▁｜>"]);
        assert!(!strips(byte_level));
    }
}
