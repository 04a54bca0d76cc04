//! The C ABI of `forerun_text.h`.

use crate::spec::Spec;
use crate::template;
use crate::tokenizer::Tokenizer;
use std::any::Any;
use std::cell::RefCell;
use std::ffi::{c_char, CStr};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Once;

#[repr(C)]
pub struct Owned<T> {
    data: *mut T,
    size: usize,
    capacity: usize,
}

impl<T> Owned<T> {
    fn of(values: Vec<T>) -> Self {
        let mut values = std::mem::ManuallyDrop::new(values);
        Self { data: values.as_mut_ptr(), size: values.len(), capacity: values.capacity() }
    }

    /// # Safety
    /// `self` came from `of` and is given back once.
    unsafe fn free(self) {
        if !self.data.is_null() {
            drop(Vec::from_raw_parts(self.data, self.size, self.capacity));
        }
    }
}

#[repr(C)]
pub struct Strings {
    bytes: *const u8,
    size_bytes: usize,
    offsets: *const u64,
    count: usize,
}

#[repr(C)]
pub struct CSpec {
    model: *const c_char,
    pre: *const c_char,
    tokens: Strings,
    merges: Strings,
    scores: *const f32,
    num_scores: usize,
    token_types: *const i32,
    num_token_types: usize,
    bos_id: i32,
    eos_id: i32,
    unknown_id: i32,
    add_bos: bool,
    add_eos: bool,
    add_space_prefix: bool,
}

#[repr(C)]
pub struct CVocabulary {
    bytes: Owned<u8>,
    offsets: *mut u64,
    special: *mut u8,
    num_tokens: usize,
    strips_leading_space: bool,
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps what a panic says for the error instead of printing it.
fn keep_panic_messages() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let printing = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let told = payload.downcast_ref::<String>().cloned();
            let told = told.or_else(|| payload.downcast_ref::<&str>().map(|it| it.to_string()));
            PANIC.with(|panic| *panic.borrow_mut() = told);
            // A confined thread may stop for ever in here, with the printer's lock.
            if cfg!(test) && std::thread::current().name() != Some("confined") {
                printing(info);
            }
        }));
    });
}

/// Runs `body`; an error or a panic becomes a sentence in `error` and the answer false.
pub fn guarded<T>(body: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    keep_panic_messages();
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload: Box<dyn Any + Send>| {
        // Dropping a payload may panic in its turn; that one's payload is left alone.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
        let told = PANIC.with(|panic| panic.borrow_mut().take()).unwrap_or_default();
        Err(format!("the text library failed on this input: {}", told.replace('\n', " ")))
    })
}

pub unsafe fn answer<T>(
    out: *mut T,
    error: *mut Owned<u8>,
    body: impl FnOnce() -> Result<T, String>,
) -> bool {
    match guarded(body) {
        Ok(value) => {
            out.write(value);
            true
        }
        Err(sentence) => {
            error.write(Owned::of(sentence.into_bytes()));
            false
        }
    }
}

pub unsafe fn slice<'a, T>(data: *const T, size: usize) -> &'a [T] {
    // C++ may give null for an empty range.
    if size == 0 {
        &[]
    } else {
        std::slice::from_raw_parts(data, size)
    }
}

unsafe fn strings(key: &str, strings: &Strings) -> Result<Vec<String>, String> {
    let bytes = slice(strings.bytes, strings.size_bytes);
    let offsets = slice(strings.offsets, if strings.count == 0 { 0 } else { strings.count + 1 });
    let string = |(index, range): (usize, &[u64])| {
        let part = bytes.get(range[0] as usize..range[1] as usize);
        let part = part.ok_or_else(|| format!("{key}[{index}] lies outside its text"))?;
        String::from_utf8(part.to_vec()).map_err(|_| format!("{key}[{index}] is not UTF-8"))
    };
    offsets.windows(2).enumerate().map(string).collect()
}

unsafe fn spec(spec: &CSpec) -> Result<Spec, String> {
    let text = |pointer| CStr::from_ptr(pointer).to_string_lossy().into_owned();
    Ok(Spec {
        model: text(spec.model),
        pre: text(spec.pre),
        tokens: strings("tokenizer.ggml.tokens", &spec.tokens)?,
        merges: strings("tokenizer.ggml.merges", &spec.merges)?,
        scores: slice(spec.scores, spec.num_scores).to_vec(),
        token_types: slice(spec.token_types, spec.num_token_types).to_vec(),
        bos_id: u32::try_from(spec.bos_id).ok(),
        eos_id: u32::try_from(spec.eos_id).ok(),
        unknown_id: u32::try_from(spec.unknown_id).ok(),
        add_bos: spec.add_bos,
        add_eos: spec.add_eos,
        add_space_prefix: spec.add_space_prefix,
    })
}

/// # Safety
/// As `forerun_text.h` says; the same holds for every function below.
#[no_mangle]
pub unsafe extern "C" fn forerun_tokenizer_from_spec(
    c_spec: *const CSpec,
    tokenizer: *mut *mut Tokenizer,
    error: *mut Owned<u8>,
) -> bool {
    answer(tokenizer, error, || {
        let made = Tokenizer::from_spec(spec(&*c_spec)?)?;
        Ok(Box::into_raw(Box::new(made)))
    })
}

#[no_mangle]
pub unsafe extern "C" fn forerun_tokenizer_from_json(
    json: *const u8,
    size: usize,
    tokenizer: *mut *mut Tokenizer,
    error: *mut Owned<u8>,
) -> bool {
    answer(tokenizer, error, || {
        let made = Tokenizer::from_json(slice(json, size))?;
        Ok(Box::into_raw(Box::new(made)))
    })
}

#[no_mangle]
pub unsafe extern "C" fn forerun_tokenizer_vocabulary(
    tokenizer: *const Tokenizer,
    vocabulary: *mut CVocabulary,
    error: *mut Owned<u8>,
) -> bool {
    answer(vocabulary, error, || {
        let made = (*tokenizer).vocabulary();
        let num_tokens = made.bytes.len();
        let mut offsets = Vec::with_capacity(num_tokens + 1);
        let mut bytes = Vec::new();
        offsets.push(0);
        for token in &made.bytes {
            bytes.extend_from_slice(token);
            offsets.push(bytes.len() as u64);
        }
        let special: Vec<u8> = made.special.iter().map(|special| *special as u8).collect();
        Ok(CVocabulary {
            bytes: Owned::of(bytes),
            offsets: Box::into_raw(offsets.into_boxed_slice()).cast(),
            special: Box::into_raw(special.into_boxed_slice()).cast(),
            num_tokens,
            strips_leading_space: made.strips_leading_space,
        })
    })
}

#[no_mangle]
pub unsafe extern "C" fn forerun_tokenizer_encode(
    tokenizer: *const Tokenizer,
    text: *const u8,
    size: usize,
    add_special: bool,
    parse_special: bool,
    ids: *mut Owned<i32>,
    error: *mut Owned<u8>,
) -> bool {
    answer(ids, error, || {
        let text = String::from_utf8_lossy(slice(text, size));
        let found = (*tokenizer).encode(&text, add_special, parse_special)?;
        Ok(Owned::of(found.into_iter().map(|id| id as i32).collect()))
    })
}

#[no_mangle]
pub unsafe extern "C" fn forerun_template_render(
    source: *const u8,
    source_size: usize,
    variables: *const u8,
    variables_size: usize,
    text: *mut Owned<u8>,
    error: *mut Owned<u8>,
) -> bool {
    answer(text, error, || {
        let source = std::str::from_utf8(slice(source, source_size))
            .map_err(|_| "the chat template is not UTF-8".to_string())?;
        let rendered = template::render(source, slice(variables, variables_size))?;
        Ok(Owned::of(rendered.into_bytes()))
    })
}

#[no_mangle]
pub unsafe extern "C" fn forerun_tokenizer_free(tokenizer: *mut Tokenizer) {
    drop_handle(tokenizer);
}

/// Frees what a handle stands for, if anything. A destructor that panics leaks what is left rather
/// than unwinding into C++.
pub unsafe fn drop_handle<T>(handle: *mut T) {
    if !handle.is_null() {
        let _ = guarded(|| {
            drop(Box::from_raw(handle));
            Ok(())
        });
    }
}

#[no_mangle]
pub unsafe extern "C" fn forerun_vocabulary_free(vocabulary: CVocabulary) {
    let num_tokens = vocabulary.num_tokens;
    vocabulary.bytes.free();
    if !vocabulary.offsets.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(vocabulary.offsets, num_tokens + 1)));
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(vocabulary.special, num_tokens)));
    }
}

#[no_mangle]
pub unsafe extern "C" fn forerun_bytes_free(bytes: Owned<u8>) {
    bytes.free();
}

#[no_mangle]
pub unsafe extern "C" fn forerun_ids_free(ids: Owned<i32>) {
    ids.free();
}
