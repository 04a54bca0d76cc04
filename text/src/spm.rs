//! SentencePiece BPE by scores (`tokenizer.ggml.model` = "llama"): of all neighbours whose
//! concatenation is a token, the one with the highest score merges first, the leftmost on a tie.

use crate::spec::{TokenType, Tokens};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

/// SentencePiece writes a space as U+2581.
pub const SPACE: &str = "\u{2581}";

pub struct Spm {
    scores: Vec<f32>,
    byte_ids: [Option<u32>; 256],
    unknown_id: Option<u32>,
}

/// A run of text that is one token so far; merged-away symbols have length 0.
struct Symbol {
    start: usize,
    size: usize,
    previous: Option<usize>,
    next: Option<usize>,
}

struct Candidate {
    score: f32,
    left: usize,
    right: usize,
    /// Bytes of both symbols when proposed: a later merge makes the candidate stale.
    size: usize,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}
impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Candidate {}

impl Spm {
    pub fn new(tokens: &Tokens, scores: Vec<f32>, unknown_id: Option<u32>) -> Result<Self, String> {
        if scores.len() != tokens.texts.len() {
            return Err(format!(
                "tokenizer.ggml.scores has {} entries and tokenizer.ggml.tokens {}",
                scores.len(),
                tokens.texts.len()
            ));
        }
        if let Some(id) = scores.iter().position(|score| score.is_nan()) {
            return Err(format!("tokenizer.ggml.scores[{id}] is not a number"));
        }
        let mut byte_ids = [None; 256];
        for (id, text) in tokens.texts.iter().enumerate() {
            if tokens.types[id] == TokenType::Byte {
                let byte = byte_of_token(text)
                    .ok_or_else(|| format!("token {id} is a byte token but not like '<0x0A>'"))?;
                byte_ids[byte as usize] = Some(id as u32);
            }
        }
        Ok(Self { scores, byte_ids, unknown_id })
    }

    /// Appends the ids of a stretch of text without special tokens.
    pub fn encode(&self, id_of: &HashMap<String, u32>, text: &str, ids: &mut Vec<u32>) {
        let text = text.replace(' ', SPACE);
        let mut merger = Merger::new(self, id_of, &text);
        merger.merge();
        for symbol in merger.symbols.iter().filter(|symbol| symbol.size > 0) {
            let piece = &text[symbol.start..symbol.start + symbol.size];
            match id_of.get(piece) {
                Some(id) => ids.push(*id),
                None => self.encode_bytes(piece, ids),
            }
        }
    }

    fn encode_bytes(&self, piece: &str, ids: &mut Vec<u32>) {
        let byte_id = |byte: u8| self.byte_ids[byte as usize];
        if piece.bytes().all(|byte| byte_id(byte).is_some()) {
            ids.extend(piece.bytes().filter_map(byte_id));
        } else {
            ids.extend(self.unknown_id);
        }
    }
}

struct Merger<'a> {
    spm: &'a Spm,
    id_of: &'a HashMap<String, u32>,
    text: &'a str,
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Candidate>,
}

impl<'a> Merger<'a> {
    fn new(spm: &'a Spm, id_of: &'a HashMap<String, u32>, text: &'a str) -> Self {
        let num_chars = text.chars().count();
        let symbol = |(index, (start, character)): (usize, (usize, char))| Symbol {
            start,
            size: character.len_utf8(),
            previous: index.checked_sub(1),
            next: (index + 1 < num_chars).then_some(index + 1),
        };
        let symbols = text.char_indices().enumerate().map(symbol).collect();
        Self { spm, id_of, text, symbols, queue: BinaryHeap::new() }
    }

    fn merge(&mut self) {
        for left in 1..self.symbols.len() {
            self.propose(Some(left - 1), Some(left));
        }
        while let Some(candidate) = self.queue.pop() {
            let (left, right) = (candidate.left, candidate.right);
            let right_size = self.symbols[right].size;
            let stale = self.symbols[left].size == 0
                || right_size == 0
                || self.symbols[left].size + right_size != candidate.size;
            if stale {
                continue;
            }
            self.symbols[left].size += right_size;
            self.symbols[right].size = 0;
            let next = self.symbols[right].next;
            self.symbols[left].next = next;
            if let Some(next) = next {
                self.symbols[next].previous = Some(left);
            }
            self.propose(self.symbols[left].previous, Some(left));
            self.propose(Some(left), next);
        }
    }

    fn propose(&mut self, left: Option<usize>, right: Option<usize>) {
        let (Some(left), Some(right)) = (left, right) else { return };
        let size = self.symbols[left].size + self.symbols[right].size;
        let start = self.symbols[left].start;
        if let Some(id) = self.id_of.get(&self.text[start..start + size]) {
            let score = self.spm.scores[*id as usize];
            self.queue.push(Candidate { score, left, right, size });
        }
    }
}

/// The byte of a token spelled '<0x0A>'.
pub fn byte_of_token(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let hexadecimal = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    hexadecimal.then(|| u8::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(tokens: &[(&str, f32, i32)], text: &str) -> Vec<u32> {
        let texts = tokens.iter().map(|token| token.0.to_string()).collect();
        let types: Vec<i32> = tokens.iter().map(|token| token.2).collect();
        let scores = tokens.iter().map(|token| token.1).collect();
        let tokens = Tokens::check(texts, &types).unwrap();
        let spm = Spm::new(&tokens, scores, Some(0)).unwrap();
        let mut ids = Vec::new();
        spm.encode(&tokens.id_of, text, &mut ids);
        ids
    }

    #[test]
    fn the_best_score_merges_first_and_bytes_fall_back() {
        let tokens = [
            ("<unk>", 0.0, 2),
            ("<0xC3>", 0.0, 6),
            ("<0xA9>", 0.0, 6),
            ("a", -9.0, 1),
            ("b", -9.0, 1),
            ("ab", -2.0, 1),
            ("ba", -1.0, 1),
            ("\u{2581}", -9.0, 1),
            ("\u{2581}ab", -3.0, 1),
        ];
        assert_eq!(encode(&tokens, "aba"), [3, 6]);
        assert_eq!(encode(&tokens, " ab"), [8]);
        assert_eq!(encode(&tokens, "é"), [1, 2]);
        assert_eq!(encode(&tokens, "漢a"), [0, 3]);
        assert_eq!(encode(&tokens, ""), [0u32; 0]);
        // Equal scores: the leftmost pair wins.
        assert_eq!(encode(&[("a", 0.0, 1), ("aa", 0.0, 1)], "aaa"), [1, 0]);
    }

    #[test]
    fn byte_tokens_are_read_strictly() {
        assert_eq!(byte_of_token("<0x0A>"), Some(10));
        for text in ["<0x0>", "<0x+A>", "<0xZZ>", "0x0A", "<0x0A"] {
            assert_eq!(byte_of_token(text), None, "{text}");
        }
    }
}
