//! How text is cut into words before byte-level BPE: one row per `tokenizer.ggml.pre`.
//!
//! The patterns are those of the models' own tokenizers. Where llama.cpp stands in for one with
//! something simpler (letters beyond ASCII have no case in its `gpt-4o` and `tekken`), the model's
//! own is kept: that is what it was trained with.

use crate::split_pattern::SplitPattern;
use std::ops::Range;
use tokenizers::pattern::Pattern;

struct Row {
    names: &'static [&'static str],
    /// Applied one after the other, each to the pieces the one before left.
    patterns: &'static [&'static str],
    /// A whole word that is a token is taken as it is, without replaying its merges.
    ignore_merges: bool,
}

pub const GPT2: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;

const ROWS: &[Row] = &[
    Row {
        names: &["default"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"],
        ignore_merges: false,
    },
    Row {
        names: &["gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "exaone4"],
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
    Row { names: &["gpt-4o", "llama4"], patterns: &[GPT4O], ignore_merges: false },
    Row { names: &["tekken"], patterns: &[TEKKEN], ignore_merges: true },
    Row {
        names: &["deepseek-v3", "hunyuan-dense"],
        patterns: &[
            r"\p{N}{1,3}",
            r"[\u{4e00}-\u{9fa5}\u{3040}-\u{309f}\u{30a0}-\u{30ff}]+",
            DEEPSEEK3,
        ],
        ignore_merges: false,
    },
    Row { names: &["glm4"], patterns: &[LLAMA3], ignore_merges: true },
    Row { names: &["chatglm-bpe"], patterns: &[LLAMA3], ignore_merges: false },
];

pub struct PreTokenizer {
    patterns: Vec<SplitPattern>,
    pub ignore_merges: bool,
}

impl PreTokenizer {
    pub fn named(pre: &str) -> Result<Self, String> {
        let row = ROWS.iter().find(|row| row.names.contains(&pre)).ok_or_else(|| {
            let known: Vec<&str> = ROWS.iter().flat_map(|row| row.names).copied().collect();
            format!("tokenizer.ggml.pre is '{pre}'; known are {}", known.join(", "))
        })?;
        let compiled = |pattern: &&str| {
            SplitPattern::new(pattern).expect("the table's patterns need no look-around")
        };
        Ok(Self {
            patterns: row.patterns.iter().map(compiled).collect(),
            ignore_merges: row.ignore_merges,
        })
    }

    /// The words of `text`, in order; together they are the whole of it.
    pub fn words(&self, text: &str) -> Result<Vec<Range<usize>>, String> {
        let mut pieces = Vec::new();
        if !text.is_empty() {
            pieces.push(0..text.len());
        }
        for pattern in &self.patterns {
            let mut cut = Vec::with_capacity(pieces.len());
            for piece in pieces {
                let found = pattern.find_matches(&text[piece.clone()]);
                let found = found.map_err(|error| error.to_string())?;
                let base = piece.start;
                cut.extend(found.into_iter().map(|((from, to), _)| base + from..base + to));
            }
            pieces = cut;
        }
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::pre_tokenizers::split::{Split, SplitPattern as Published};
    use tokenizers::{
        OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _,
        SplitDelimiterBehavior,
    };

    fn words<'t>(pre: &str, text: &'t str) -> Vec<&'t str> {
        let pre_tokenizer = PreTokenizer::named(pre).unwrap();
        pre_tokenizer.words(text).unwrap().into_iter().map(|range| &text[range]).collect()
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
        assert_eq!(words("gpt-4o", "HTMLÄrger's a/\n"), ["HTMLÄrger's", " a", "/\n"]);
        assert_eq!(words("gpt-4o", "überÄrger 1234"), ["über", "Ärger", " ", "123", "4"]);
        assert_eq!(words("tekken", "it's 12"), ["it", "'s", " ", "1", "2"]);
        assert_eq!(
            words("deepseek-v3", "x漢字 a-b\u{301} 1234 \u{1}"),
            ["x", "漢字", " a", "-b", "\u{301}", " ", "123", "4", " ", "\u{1}"]
        );
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

    /// What the tokenizers library makes of a row's patterns.
    fn library_words(row: &Row, text: &str) -> Vec<String> {
        let mut words = PreTokenizedString::from(text);
        for pattern in row.patterns {
            let pattern = Published::Regex(pattern.to_string());
            let step = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).unwrap();
            step.pre_tokenize(&mut words).unwrap();
        }
        let splits = words.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|split| split.0.to_string()).collect()
    }

    #[test]
    fn every_row_cuts_as_the_library() {
        const PARTS: &[&str] = &[
            " ", " ", "\n", "\r", "\t", "\u{a0}", "\u{3000}", "\u{85}", "a", "Ä", "ſ", "ǅ", "ʰ",
            "漢", "ひ", "\u{301}", "'", "s", "LL", "'s", "’", "1", "²", "٣", "Ⅷ", ".", "/", "$",
            "€", "\u{1}", "\u{200d}", "🤖", "\u{ad}",
        ];
        let mut state = 1u64;
        let mut below = |limit: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % limit
        };
        for _ in 0..300 {
            let text: String = (0..below(40)).map(|_| PARTS[below(PARTS.len())]).collect();
            for row in ROWS {
                assert_eq!(words(row.names[0], &text), library_words(row, &text), "{text:?}");
            }
        }
    }

    #[test]
    fn long_runs_are_cut_without_giving_up() {
        for text in [" ".repeat(3_000_000) + "x", "a".repeat(3_000_000), "\n ".repeat(1_000_000)] {
            for pre in ["smollm", "llama-bpe", "qwen2", "gpt-4o", "deepseek-v3"] {
                let total: usize = words(pre, &text).iter().map(|word| word.len()).sum();
                assert_eq!(total, text.len());
            }
        }
    }
}
