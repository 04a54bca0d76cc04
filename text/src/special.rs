//! Cutting text at the tokens that are found in it as they stand, before any merging.

use crate::spec::{TokenType, Tokens};
use aho_corasick::{AhoCorasick, MatchKind};

/// A stretch of text, or a token found whole.
#[derive(Debug, PartialEq)]
pub enum Piece<'t> {
    Text(&'t str),
    Token(u32),
}

/// The leftmost and, from there, longest token wins.
pub struct SpecialTokens {
    always: Finder,
    when_parsing: Finder,
}

struct Finder {
    automaton: Option<AhoCorasick>,
    ids: Vec<u32>,
}

impl SpecialTokens {
    /// User-defined tokens are always found, control tokens only when the caller trusts the text.
    pub fn of(tokens: &Tokens) -> Result<Self, String> {
        Ok(Self {
            always: Finder::of(tokens, |kind| kind == TokenType::UserDefined)?,
            when_parsing: Finder::of(tokens, |kind| {
                kind == TokenType::UserDefined || kind.is_special()
            })?,
        })
    }

    pub fn cut<'t>(&self, text: &'t str, parse_special: bool) -> Vec<Piece<'t>> {
        let finder = if parse_special { &self.when_parsing } else { &self.always };
        finder.cut(text)
    }
}

impl Finder {
    fn of(tokens: &Tokens, wanted: impl Fn(TokenType) -> bool) -> Result<Self, String> {
        let is_wanted =
            |id: &u32| wanted(tokens.types[*id as usize]) && !tokens.texts[*id as usize].is_empty();
        let ids: Vec<u32> = (0..tokens.texts.len() as u32).filter(is_wanted).collect();
        if ids.is_empty() {
            return Ok(Self { automaton: None, ids });
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(ids.iter().map(|id| &tokens.texts[*id as usize]))
            .map_err(|error| format!("the special tokens cannot be searched for: {error}"))?;
        Ok(Self { automaton: Some(automaton), ids })
    }

    fn cut<'t>(&self, text: &'t str) -> Vec<Piece<'t>> {
        let mut pieces = Vec::new();
        let mut end = 0;
        for found in self.automaton.iter().flat_map(|automaton| automaton.find_iter(text)) {
            if found.start() > end {
                pieces.push(Piece::Text(&text[end..found.start()]));
            }
            pieces.push(Piece::Token(self.ids[found.pattern().as_usize()]));
            end = found.end();
        }
        if end < text.len() {
            pieces.push(Piece::Text(&text[end..]));
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_tokens_are_found_only_when_asked_and_the_longest_wins() {
        let texts = ["<s>", "<s>>", "\n\n", "plain"].map(String::from).to_vec();
        let tokens = Tokens::check(texts, &[3, 3, 4, 1]).unwrap();
        let special = SpecialTokens::of(&tokens).unwrap();
        assert_eq!(
            special.cut("plain<s>>\n\n<s>", true),
            [Piece::Text("plain"), Piece::Token(1), Piece::Token(2), Piece::Token(0)]
        );
        assert_eq!(special.cut("plain<s>\n\n", false), [Piece::Text("plain<s>"), Piece::Token(2)]);
        assert_eq!(special.cut("", true), []);
    }
}
