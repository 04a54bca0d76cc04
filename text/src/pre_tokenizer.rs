//! How text is cut into words before byte-level BPE: one row per `tokenizer.ggml.pre`.
//!
//! The published patterns end in `\s+(?!\S)|\s+`: a run of spaces leaves its last one to the word
//! that follows. Engines with lookahead backtrack over the run and give up on long ones, so here the
//! pattern ends in `\s+` and `spare_last_space` does the rest, in linear time.

use regex::Regex;
use std::ops::Range;

struct Row {
    names: &'static [&'static str],
    /// Applied one after the other, each to the pieces the one before left.
    patterns: &'static [&'static str],
    /// A whole word that is a token is taken as it is, without replaying its merges.
    ignore_merges: bool,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";
const LLAMA3: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const QWEN2: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const QWEN35: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";

/// Where a pattern has this part, a run of spaces that ends in a newline is a word of its own.
const NEWLINES: &str = r"\s*[\r\n]+";

const ROWS: &[Row] = &[
    Row {
        names: &["default"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"],
        ignore_merges: false,
    },
    Row {
        names: &["gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion"],
        patterns: &[GPT2],
        ignore_merges: false,
    },
    Row {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"],
        patterns: &[r"\p{N}", GPT2],
        ignore_merges: false,
    },
    Row {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "lfm2"],
        patterns: &[LLAMA3],
        ignore_merges: true,
    },
    Row { names: &["dbrx", "smaug-bpe"], patterns: &[LLAMA3], ignore_merges: false },
    Row {
        names: &["qwen2", "deepseek-r1-qwen", "stablelm2"],
        patterns: &[QWEN2],
        ignore_merges: false,
    },
    Row { names: &["qwen35"], patterns: &[QWEN35], ignore_merges: false },
];

struct Pattern {
    regex: Regex,
    newlines_stand_alone: bool,
}

pub struct PreTokenizer {
    patterns: Vec<Pattern>,
    pub ignore_merges: bool,
}

impl PreTokenizer {
    pub fn named(pre: &str) -> Result<Self, String> {
        let row = ROWS.iter().find(|row| row.names.contains(&pre)).ok_or_else(|| {
            let known: Vec<&str> = ROWS.iter().flat_map(|row| row.names).copied().collect();
            format!("tokenizer.ggml.pre is '{pre}'; known are {}", known.join(", "))
        })?;
        let patterns = row.patterns.iter().map(|pattern| Pattern {
            regex: Regex::new(pattern).expect("the table's patterns are valid"),
            newlines_stand_alone: pattern.contains(NEWLINES),
        });
        Ok(Self { patterns: patterns.collect(), ignore_merges: row.ignore_merges })
    }

    /// The words of `text`, in order; together they are the whole of it.
    pub fn words(&self, text: &str) -> Vec<Range<usize>> {
        let whole = 0..text.len();
        let mut pieces = vec![whole];
        for pattern in &self.patterns {
            let mut cut = Vec::with_capacity(pieces.len());
            for piece in pieces {
                pattern.split(text, piece, &mut cut);
            }
            pieces = cut;
        }
        pieces
    }
}

impl Pattern {
    /// Cuts one piece into the pattern's matches and what lies between them.
    fn split(&self, text: &str, piece: Range<usize>, pieces: &mut Vec<Range<usize>>) {
        let base = piece.start;
        let inside = &text[piece];
        let mut end = 0;
        while let Some(found) = self.regex.find_at(inside, end) {
            if found.start() > end {
                pieces.push(base + end..base + found.start());
            }
            end =
                found.start() + self.spare_last_space(found.as_str(), found.end() == inside.len());
            pieces.push(base + found.start()..base + end);
        }
        if end < inside.len() {
            pieces.push(base + end..base + inside.len());
        }
    }

    /// The bytes of a match that stay in it: all but the last of several spaces before a word.
    fn spare_last_space(&self, found: &str, at_end: bool) -> usize {
        let last = found.chars().next_back().unwrap_or_default();
        let stays = at_end
            || !last.is_whitespace()
            || found.len() == last.len_utf8()
            || (self.newlines_stand_alone && matches!(last, '\r' | '\n'))
            || !found.chars().all(char::is_whitespace);
        found.len() - if stays { 0 } else { last.len_utf8() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<'t>(pre: &str, text: &'t str) -> Vec<&'t str> {
        let pre_tokenizer = PreTokenizer::named(pre).unwrap();
        pre_tokenizer.words(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn each_row_cuts_as_published() {
        assert_eq!(words("gpt-2", "I'll  pay 120"), ["I", "'ll", " ", " pay", " 120"]);
        assert_eq!(words("smollm", "a 120 \n"), ["a", " ", "1", "2", "0", " \n"]);
        assert_eq!(
            words("llama-bpe", "It'S 1234\n\n x"),
            ["It", "'S", " ", "123", "4", "\n\n", " x"]
        );
        assert_eq!(words("qwen2", "(foo 12"), ["(foo", " ", "1", "2"]);
        assert_eq!(words("gpt-2", ""), [""; 0]);
        assert_eq!(words("gpt-2", "a \n\u{a0} b \u{3000}"), ["a", " \n\u{a0}", " b", " \u{3000}"]);
        assert_eq!(words("qwen2", "a  \n \n  b"), ["a", "  \n \n", " ", " b"]);
        assert_eq!(words("llama-bpe", "a!\n\n \t\tb"), ["a", "!\n\n", " \t", "\tb"]);
    }

    #[test]
    fn every_row_compiles_and_keeps_all_text() {
        for row in ROWS {
            for name in row.names {
                let text = "Hi, it's 42\u{a0}\u{3000} \t\r\n été 漢字 🤖\u{200d} '";
                assert_eq!(words(name, text).concat(), text, "{name}");
            }
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_says_it() {
        let error = PreTokenizer::named("nonesuch").err().unwrap();
        assert!(error.contains("'nonesuch'") && error.contains("smollm"), "{error}");
    }

    #[test]
    fn long_runs_are_cut_without_giving_up() {
        for text in [" ".repeat(3_000_000) + "x", "a".repeat(3_000_000), "\n ".repeat(1_000_000)] {
            for pre in ["smollm", "llama-bpe", "qwen2"] {
                let total: usize = words(pre, &text).iter().map(|word| word.len()).sum();
                assert_eq!(total, text.len());
            }
        }
    }
}
