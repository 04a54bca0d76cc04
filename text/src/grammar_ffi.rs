//! The C ABI of grammars.

use crate::ffi::{answer, drop_handle, slice, Owned};
use crate::grammar::{Grammar, GrammarEnvironment};
use crate::grammar_matcher::GrammarMatcher;
use crate::grammar_source::Kind;
use crate::tokenizer::Tokenizer;

#[repr(C)]
pub struct Next {
    accepting: bool,
    complete: bool,
}

fn token_id(id: i32) -> Result<u32, String> {
    u32::try_from(id).map_err(|_| format!("{id} is no token id"))
}

/// # Safety
/// As `forerun_text.h` says; the same holds for every function below.
#[no_mangle]
pub unsafe extern "C" fn forerun_grammar_environment_new(
    tokenizer: *const Tokenizer,
    end_ids: *const i32,
    num_end_ids: usize,
    environment: *mut *mut GrammarEnvironment,
    error: *mut Owned<u8>,
) -> bool {
    answer(environment, error, || {
        let ends = slice(end_ids, num_end_ids).iter().map(|id| token_id(*id));
        let ends: Vec<u32> = ends.collect::<Result<_, _>>()?;
        let made = GrammarEnvironment::new(&(*tokenizer).vocabulary(), &ends)?;
        Ok(Box::into_raw(Box::new(made)))
    })
}

#[no_mangle]
pub unsafe extern "C" fn forerun_grammar_compile(
    environment: *const GrammarEnvironment,
    kind: u32,
    text: *const u8,
    size: usize,
    grammar: *mut *mut Grammar,
    error: *mut Owned<u8>,
) -> bool {
    answer(grammar, error, || {
        let made = (*environment).compile(Kind::from_number(kind)?, slice(text, size))?;
        Ok(Box::into_raw(Box::new(made)))
    })
}

#[no_mangle]
pub unsafe extern "C" fn forerun_grammar_bytes(grammar: *const Grammar) -> usize {
    (*grammar).bytes()
}

#[no_mangle]
pub unsafe extern "C" fn forerun_matcher_new(
    grammar: *const Grammar,
    matcher: *mut *mut GrammarMatcher,
    error: *mut Owned<u8>,
) -> bool {
    answer(matcher, error, || Ok(Box::into_raw(Box::new((*grammar).matcher()))))
}

#[no_mangle]
pub unsafe extern "C" fn forerun_matcher_clone(
    matcher: *const GrammarMatcher,
    copy: *mut *mut GrammarMatcher,
    error: *mut Owned<u8>,
) -> bool {
    answer(copy, error, || Ok(Box::into_raw(Box::new((*matcher).clone()))))
}

#[no_mangle]
pub unsafe extern "C" fn forerun_matcher_mask(
    matcher: *mut GrammarMatcher,
    words: *mut u32,
    num_words: usize,
    next: *mut Next,
    error: *mut Owned<u8>,
) -> bool {
    answer(next, error, || {
        let matcher = &mut *matcher;
        let mask = matcher.compute_mask()?;
        let words =
            if num_words == 0 { &mut [] } else { std::slice::from_raw_parts_mut(words, num_words) };
        let shared = mask.len().min(num_words);
        words[..shared].copy_from_slice(&mask[..shared]);
        words[shared..].fill(0);
        Ok(Next { accepting: matcher.is_accepting()?, complete: matcher.is_complete() })
    })
}

#[no_mangle]
pub unsafe extern "C" fn forerun_matcher_accept(
    matcher: *mut GrammarMatcher,
    token: i32,
    next: *mut Next,
    error: *mut Owned<u8>,
) -> bool {
    answer(next, error, || {
        let matcher = &mut *matcher;
        matcher.accept(token_id(token)?)?;
        Ok(Next { accepting: matcher.is_accepting()?, complete: matcher.is_complete() })
    })
}

#[no_mangle]
pub unsafe extern "C" fn forerun_matcher_count_valid(
    matcher: *mut GrammarMatcher,
    tokens: *const i32,
    num_tokens: usize,
    num_valid: *mut usize,
    error: *mut Owned<u8>,
) -> bool {
    answer(num_valid, error, || {
        let tokens: Result<Vec<u32>, String> =
            slice(tokens, num_tokens).iter().map(|id| token_id(*id)).collect();
        (*matcher).count_valid(&tokens?)
    })
}

#[no_mangle]
pub unsafe extern "C" fn forerun_matcher_rollback(
    matcher: *mut GrammarMatcher,
    num_tokens: usize,
    next: *mut Next,
    error: *mut Owned<u8>,
) -> bool {
    answer(next, error, || {
        let matcher = &mut *matcher;
        matcher.rollback(num_tokens)?;
        Ok(Next { accepting: matcher.is_accepting()?, complete: matcher.is_complete() })
    })
}

#[no_mangle]
pub unsafe extern "C" fn forerun_grammar_environment_free(environment: *mut GrammarEnvironment) {
    drop_handle(environment);
}

#[no_mangle]
pub unsafe extern "C" fn forerun_grammar_free(grammar: *mut Grammar) {
    drop_handle(grammar);
}

#[no_mangle]
pub unsafe extern "C" fn forerun_matcher_free(matcher: *mut GrammarMatcher) {
    drop_handle(matcher);
}
