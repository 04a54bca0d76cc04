//! A regular expression that cuts text into words, in time linear in the text.
//!
//! The published patterns end in `\s+(?!\S)|\s+`: a run of spaces leaves its last one to the word
//! that follows. Engines with lookahead backtrack over the run, give up on long ones, and the
//! tokenizers library then takes the rest of the text for one word. So that ending is done here by
//! hand, and the rest by an engine that never backtracks.

use regex_automata::meta::{Config, Regex};
use regex_automata::util::syntax;
use regex_automata::Input;
use tokenizers::pattern::Pattern;
use tokenizers::Offsets;

const SPACES: &str = r"\s+";
const LAST_SPACE_SPARED: &str = r"|\s+(?!\S)|\s+";
/// A compiled pattern of the published kind takes some hundred kB.
const MAX_COMPILED_BYTES: usize = 10 << 20;

pub struct SplitPattern {
    /// The pattern's own part first; where the ending is cut off, `\s+` as the second.
    regex: Regex,
}

impl SplitPattern {
    /// None where the pattern looks around, matches nothing or is not valid.
    pub fn new(pattern: &str) -> Option<Self> {
        let parts = match pattern.strip_suffix(LAST_SPACE_SPARED) {
            Some(own) => vec![own, SPACES],
            None => vec![pattern],
        };
        let parsed = syntax::parse_many(&parts).ok()?;
        if parsed.iter().any(|part| part.properties().minimum_len().unwrap_or(0) == 0) {
            return None;
        }
        let config = Config::new().nfa_size_limit(Some(MAX_COMPILED_BYTES));
        let regex = Regex::builder().configure(config).build_many_from_hir(&parsed).ok()?;
        Some(Self { regex })
    }

    /// The end of the match that begins first at or after `start`, with that beginning.
    fn find(&self, text: &str, start: usize) -> Option<Offsets> {
        let found = self.regex.find(Input::new(text).range(start..))?;
        let mut end = found.end();
        if found.pattern().as_usize() == 1 && end < text.len() {
            let last = text[..end].chars().next_back().map_or(0, char::len_utf8);
            if found.start() + last < end {
                end -= last;
            }
        }
        Some((found.start(), end))
    }
}

impl Pattern for &SplitPattern {
    fn find_matches(&self, text: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        if text.is_empty() {
            return Ok(vec![((0, 0), false)]);
        }
        let mut pieces = Vec::new();
        let mut end = 0;
        while let Some((from, to)) = self.find(text, end) {
            if from > end {
                pieces.push(((end, from), false));
            }
            pieces.push(((from, to), true));
            end = to;
        }
        if end < text.len() {
            pieces.push(((end, text.len()), false));
        }
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces<'t>(pattern: &str, text: &'t str) -> Vec<&'t str> {
        let pattern = SplitPattern::new(pattern).unwrap();
        let found = (&pattern).find_matches(text).unwrap();
        found.into_iter().map(|((from, to), _)| &text[from..to]).collect()
    }

    #[test]
    fn a_run_of_spaces_leaves_its_last_one() {
        let pattern = r" ?\p{L}+|\s*[\r\n]+|\s+(?!\S)|\s+";
        assert_eq!(pieces(pattern, "a  b"), ["a", " ", " b"]);
        assert_eq!(pieces(pattern, "a b\tc \t"), ["a", " b", "\t", "c", " \t"]);
        assert_eq!(pieces(pattern, "a  \n \u{3000}b"), ["a", "  \n", " ", "\u{3000}", "b"]);
        assert_eq!(pieces(pattern, "1  2"), ["1", " ", " ", "2"]);
        assert_eq!(pieces(r"\d", "a12 "), ["a", "1", "2", " "]);
        assert_eq!(pieces(pattern, ""), [""]);
    }

    #[test]
    fn what_cannot_be_done_so_is_left_alone() {
        for pattern in [r"(?=a)b|\s+(?!\S)|\s+", r"a*", "(", r"\s+(?!\S)"] {
            assert!(SplitPattern::new(pattern).is_none(), "{pattern}");
        }
        assert!(SplitPattern::new(r"\p{L}{1,50000}").is_none());
    }
}
