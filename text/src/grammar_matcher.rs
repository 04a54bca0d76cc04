//! A text on its way through a grammar.

use crate::grammar_source::{sentence, Kind};
use llguidance::Matcher;
use std::fmt::Display;
use std::sync::Arc;

/// Which tokens may come next, as bits of words, lowest first.
///
/// What a matcher does depends on its grammar and tokens alone: it shares no caches with others,
/// whose limits would otherwise end one text for what another has used up.
pub struct GrammarMatcher {
    kind: Kind,
    matcher: Matcher,
    ends: Arc<[u32]>,
    /// Ended by one of `ends`.
    ended: bool,
    mask: Option<Vec<u32>>,
}

impl Clone for GrammarMatcher {
    fn clone(&self) -> Self {
        Self {
            kind: self.kind,
            matcher: self.matcher.deep_clone(),
            ends: self.ends.clone(),
            ended: self.ended,
            mask: self.mask.clone(),
        }
    }
}

impl GrammarMatcher {
    pub fn new(kind: Kind, matcher: Matcher, ends: Arc<[u32]>) -> Result<Self, String> {
        let mut made = Self { kind, matcher, ends, ended: false, mask: None };
        // Notices a grammar of the empty text.
        made.matcher.consume_tokens(&[]).map_err(|error| made.sentence(&error))?;
        Ok(made)
    }

    fn sentence(&self, error: &impl Display) -> String {
        sentence(self.kind, &error.to_string())
    }

    /// Whether the text may end here.
    pub fn is_accepting(&mut self) -> Result<bool, String> {
        self.matcher.is_accepting().map_err(|error| self.sentence(&error))
    }

    /// Whether nothing but an end may follow.
    pub fn is_complete(&self) -> bool {
        self.ended || self.matcher.stop_reason().is_ok() && self.matcher.is_stopped()
    }

    /// The tokens that may come next: ends exactly where the text may end. All zeros after an end.
    pub fn compute_mask(&mut self) -> Result<&[u32], String> {
        if self.mask.is_none() {
            self.mask = Some(self.make_mask()?);
        }
        Ok(self.mask.as_deref().unwrap_or_default())
    }

    fn make_mask(&mut self) -> Result<Vec<u32>, String> {
        let num_tokens = self.num_tokens()?;
        let mut mask = vec![0; num_tokens.div_ceil(32)];
        if self.ended {
            return Ok(mask);
        }
        let accepting = self.is_accepting()?;
        if !self.is_complete() {
            let allowed = self.matcher.compute_mask().map_err(|error| self.sentence(&error))?;
            // It may have a word more than there are tokens.
            let num_words = mask.len();
            mask.copy_from_slice(&allowed.as_slice()[..num_words]);
        }
        for end in self.ends.iter() {
            let bit = 1 << (end % 32);
            let word = &mut mask[*end as usize / 32];
            *word = if accepting { *word | bit } else { *word & !bit };
        }
        Ok(mask)
    }

    fn num_tokens(&self) -> Result<usize, String> {
        let environment = self.matcher.tok_env().map_err(|error| self.sentence(&error))?;
        Ok(environment.tok_trie().vocab_size())
    }

    /// Goes on by one token; an error when it may not come next. After an error other than that the
    /// matcher is of no more use.
    pub fn accept(&mut self, token: u32) -> Result<(), String> {
        if self.try_accept(token)? {
            return Ok(());
        }
        Err(format!("{} does not allow token {token} here", self.kind.name()))
    }

    fn try_accept(&mut self, token: u32) -> Result<bool, String> {
        if self.ended || token as usize >= self.num_tokens()? {
            return Ok(false);
        }
        if self.ends.contains(&token) {
            self.ended = self.is_accepting()?;
        } else {
            let taken = self.matcher.try_consume_tokens(&[token]);
            if taken.map_err(|error| self.sentence(&error))? == 0 {
                return Ok(false);
            }
        }
        if !self.ends.contains(&token) || self.ended {
            self.mask = None;
            return Ok(true);
        }
        Ok(false)
    }

    /// How many of `tokens` may come next, one after the other. Changes nothing.
    pub fn count_valid(&mut self, tokens: &[u32]) -> Result<usize, String> {
        let mask = self.mask.clone();
        let mut count = 0;
        while count < tokens.len() && self.try_accept(tokens[count])? {
            count += 1;
        }
        self.rollback(count)?;
        self.mask = mask;
        Ok(count)
    }

    /// Takes the last `count` tokens back.
    pub fn rollback(&mut self, count: usize) -> Result<(), String> {
        if count == 0 {
            return Ok(());
        }
        self.mask = None;
        let in_grammar = count - usize::from(self.ended);
        self.ended = false;
        self.matcher.rollback(in_grammar).map_err(|error| self.sentence(&error))
    }
}
