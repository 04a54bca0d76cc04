//! Chat templates: Jinja as `transformers` runs it, on text from strangers.
//!
//! minijinja bounds instructions and recursion; the writer bounds output while it is written; and
//! what the interpreter itself does not bound (constant folding, string doubling, filters) runs on
//! a confined thread with a memory budget and a deadline (see `confined`).

use crate::confined::{self, Abandoned, Limits};
use crate::python_filters;
use crate::python_methods;
use crate::python_text;
use crate::strftime;
use crate::template_scan;
use minijinja::value::{Rest, Value};
use minijinja::{Environment, Error, ErrorKind, Output, State};
use minijinja_contrib::globals::{cycler, joiner};
use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// The longest published templates have some 30 KiB.
const MAX_SOURCE_BYTES: usize = 256 << 10;
/// Published templates take 50 to 300 instructions a message: room for thousands of messages, and
/// under a second of work.
const MAX_INSTRUCTIONS: u64 = 1_000_000;
/// About a million tokens.
const MAX_OUTPUT_BYTES: usize = 4 << 20;
/// Text passes through a macro or a captured block before it is put out.
const MAX_EMITTED_BYTES: usize = 8 * MAX_OUTPUT_BYTES;
const MAX_RECURSION: usize = 100;
/// A render may hold this and `MEMORY_PER_INPUT_BYTE` bytes for each of its input.
const MEMORY_BYTES: usize = 96 << 20;
const MEMORY_PER_INPUT_BYTE: usize = 64;
const DEADLINE: Duration = Duration::from_secs(10);
/// At the default budget these hold some 1.5 GiB.
static ABANDONED: Abandoned = Abandoned::at_most(16);

/// Renders `source` with the variables of a JSON object.
pub fn render(source: &str, variables: &[u8]) -> Result<String, String> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(format!(
            "the chat template has {} bytes; the limit is {MAX_SOURCE_BYTES}",
            source.len()
        ));
    }
    let limits = Limits {
        memory_bytes: MEMORY_BYTES + MEMORY_PER_INPUT_BYTE * (source.len() + variables.len()),
        deadline: DEADLINE,
    };
    let (source, variables) = (source.to_string(), variables.to_vec());
    confined::run("the chat template", &ABANDONED, limits, move || {
        render_unconfined(&source, &variables)
    })
}

fn render_unconfined(source: &str, variables: &[u8]) -> Result<String, String> {
    let variables: serde_json::Value = serde_json::from_slice(variables)
        .map_err(|error| format!("the chat template's variables: {error}"))?;
    let source = template_scan::rewrite(source);
    let environment = environment();
    let template = environment
        .template_from_named_str("chat template", &source)
        .map_err(|error| sentence(&error))?;
    let mut text = BoundedText::default();
    let rendered = template.render_captured_to(Value::from_serialize(&variables), &mut text);
    if text.overflowed {
        return Err(output_limit());
    }
    rendered.map_err(|error| sentence(&error))?;
    String::from_utf8(text.bytes).map_err(|_| "the chat template put out invalid UTF-8".into())
}

fn output_limit() -> String {
    format!("the chat template's output is larger than the limit of {MAX_OUTPUT_BYTES} bytes")
}

/// An output that refuses the first byte over the limit.
#[derive(Default)]
struct BoundedText {
    bytes: Vec<u8>,
    overflowed: bool,
}

impl io::Write for BoundedText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_OUTPUT_BYTES {
            self.overflowed = true;
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    // The settings transformers renders with.
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(MAX_INSTRUCTIONS));
    environment.set_recursion_limit(MAX_RECURSION);
    environment.set_formatter(formatter());
    environment.set_unknown_method_callback(python_methods::call);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_function("cycler", |items: Rest<Value>| cycler(items.0));
    environment.add_function("joiner", joiner);
    python_filters::add_to(&mut environment);
    environment.add_filter(template_scan::STORED_FILTER, template_scan::stored);
    environment
}

/// Writes values as Python's `str` does, counting bytes so that captured blocks are bounded too.
fn formatter() -> impl Fn(&mut Output, &State, &Value) -> Result<(), Error> + Send + Sync {
    let emitted = Arc::new(AtomicUsize::new(0));
    move |output: &mut Output, _: &State, value: &Value| {
        let text = python_text::str(value)?;
        let total = emitted.fetch_add(text.len(), Ordering::Relaxed) + text.len();
        if total > MAX_EMITTED_BYTES {
            return Err(Error::new(ErrorKind::InvalidOperation, output_limit()));
        }
        output.write_str(&text).map_err(Error::from)
    }
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{message}")))
}

fn strftime_now(format: String) -> Result<String, Error> {
    strftime::now(&format).map_err(|error| Error::new(ErrorKind::InvalidOperation, error))
}

const RAISED: &str = "the template says: ";

/// One sentence that names the limit or the fault, and the line.
fn sentence(error: &Error) -> String {
    let detail = error.detail().unwrap_or_default();
    let mut text = String::from("the chat template ");
    if error.kind() == ErrorKind::OutOfFuel {
        let _ = write!(text, "runs more than the limit of {MAX_INSTRUCTIONS} instructions");
    } else if detail.contains("recursion limit exceeded") {
        let _ = write!(text, "recurses deeper than the limit of {MAX_RECURSION}");
    } else if let Some(raised) = detail.strip_prefix(RAISED) {
        return format!("{text}refuses these messages: {raised}");
    } else if detail.starts_with("the chat template") {
        return detail.to_string();
    } else {
        let _ = write!(text, "fails: {}", error.kind());
        if !detail.is_empty() {
            let _ = write!(text, ": {detail}");
        }
    }
    if let Some(line) = error.line() {
        let _ = write!(text, " (line {line})");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(source: &str, variables: &str) -> String {
        render(source, variables.as_bytes()).unwrap()
    }

    fn error(source: &str) -> String {
        render(source, br#"{"messages": [{"role": "user", "content": "x"}]}"#).unwrap_err()
    }

    #[test]
    fn values_print_as_in_python() {
        assert_eq!(rendered("{{ true }} {{ none }} {{ x }} {{ 1.0 }}", "{}"), "True None  1.0");
        assert_eq!(
            rendered("{{ v }}", r#"{"v": {"a": [1, "it's", false], "b": 1e-7}}"#),
            r#"{'a': [1, "it's", False], 'b': 1e-07}"#
        );
    }

    #[test]
    fn tojson_is_pythons() {
        let variables = r#"{"v": {"b": "<é'\">", "a": [1, 2.0, null, true], "c": {}}}"#;
        assert_eq!(
            rendered("{{ v|tojson }}", variables),
            r#"{"b": "<é'\">", "a": [1, 2.0, null, true], "c": {}}"#
        );
        assert_eq!(
            rendered("{{ v.a|tojson(indent=2) }}", variables),
            "[\n  1,\n  2.0,\n  null,\n  true\n]"
        );
    }

    #[test]
    fn pythons_methods_work() {
        assert_eq!(rendered("{{ ' a '.strip() }}|{{ 'a,b'.split(',')[-1] }}", "{}"), "a|b");
        assert_eq!(rendered("{{ 'abc'.startswith('ab') }}{{ 'aa'.count('') }}", "{}"), "True3");
        assert_eq!(
            rendered(
                "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
                r#"{"d":{"b":1,"a":2}}"#
            ),
            "b=1;a=2;"
        );
        assert_eq!(rendered("{{ d.get('z', 'no') }}{{ d.get('a') }}", r#"{"d": {"a": 2}}"#), "no2");
        assert_eq!(rendered("{{ 'abc'.removeprefix('a').removesuffix('c') }}", "{}"), "b");
        assert_eq!(rendered("{{ strftime_now('%Y')|length }}", "{}"), "4");
        assert_eq!(
            rendered("{{ range(3)|join(',') }}{{ range(5, 1, -2)|list }}", "{}"),
            "0,1,2[5, 3]"
        );
        assert_eq!(rendered("{{ 'a\nb'|indent }}", "{}"), "a\n    b");
    }

    #[test]
    fn blocks_swallow_their_line_as_in_transformers() {
        let source =
            "{% for m in messages %}\n  {% if true %}\n{{ m }}\n  {% endif %}\n{% endfor %}";
        assert_eq!(rendered(source, r#"{"messages": [1, 2]}"#), "1\n2\n");
        assert_eq!(rendered("a{% generation %}b{% endgeneration %}c", "{}"), "abc");
    }

    #[test]
    fn namespaces_hold_values() {
        let source = "{% set ns = namespace(n=0, t='') %}{% for i in range(3) %}\
                      {% set ns.n = ns.n + i if i else ns.n %}{% set ns.t = ns.t ~ i %}{% endfor %}\
                      {{ ns.n }}{{ ns.t }}";
        assert_eq!(rendered(source, "{}"), "3012");
    }

    #[test]
    fn a_refusal_is_told() {
        let text = error("{{ raise_exception('no system role') }}");
        assert_eq!(text, "the chat template refuses these messages: no system role");
        assert!(error("\n{{ messages[0].nope.x }}").contains("line 2"));
        assert!(error("{% for %}").contains("syntax error"));
        assert!(error("{% include '/etc/passwd' %}").contains("fails"));
    }

    #[test]
    fn endless_loops_end() {
        let nested = "{% for a in range(9999) %}".repeat(5) + &"{% endfor %}".repeat(5);
        assert!(error(&nested).contains("limit of 1000000 instructions"), "{}", error(&nested));
        assert!(error("{{ range(10**15)|sum }}").contains("limit of 100000"));
        assert!(error("{{ ([1] * 10**12)|list|length }}").contains("limit of"));
    }

    #[test]
    fn recursion_ends() {
        let text = error("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}");
        assert!(text.contains("recurses deeper than the limit of 100"), "{text}");
        let brackets = "{{ ".to_string() + &"[".repeat(10_000);
        assert!(error(&brackets).contains("fails"));
        assert!(error(&("{{ ".to_string() + &"(".repeat(100_000))).contains("fails"));
    }

    #[test]
    fn output_is_bounded_while_it_is_written() {
        let limit = "limit of 4194304 bytes";
        let text = error("{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}");
        assert!(text.contains(limit), "{text}");
        let raw = format!("{{% for i in range(99999) %}}{}{{% endfor %}}", "x".repeat(1000));
        assert!(error(&raw).contains(limit));
        let captured =
            "{% set x %}{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}{% endset %}";
        assert!(error(captured).contains(limit));
    }

    #[test]
    fn memory_is_bounded() {
        let doubling =
            "{% set x = 'xxxxxxxxxxxxxxxx' %}".to_string() + &"{% set x = x ~ x %}".repeat(40);
        assert!(error(&doubling).contains("memory"), "{}", error(&doubling));
        let folded = format!("{{{{ 1 if '{}' }}}}", "x' * 100000000 ~ '".repeat(20));
        assert!(error(&folded).contains("the chat template"), "{}", error(&folded));
        let _ = render("{{ 'x'|indent(10**15) }}", b"{}");
        let _ = render("{{ '%1000000000d'|format(1) }}", b"{}");
        let _ = render("{{ [1]|batch(10**12, 0)|list }}", b"{}");
        let _ = render("{{ [1]|slice(10**12)|list }}", b"{}");
    }

    #[test]
    fn values_that_hold_themselves_are_refused() {
        let text = error("{% set n = namespace() %}{% set n.x = [n] %}{{ n ~ '' }}");
        assert!(text.contains("namespace"), "{text}");
        assert!(error("{% set n = namespace() %}{% set n.x, y = n, 1 %}{{ n ~ '' }}")
            .contains("namespace"));
        assert!(error("{% set n = namespace() %}{% set n.x = {'a': n}.items() %}{{ n ~ '' }}")
            .contains("namespace"));
        let deep = "{% set x = [] %}".to_string()
            + &"{%set x=[x]%}".repeat(19_000)
            + "{{ x ~ '' }}{{ x == [x] }}";
        assert!(render(&deep, b"{}").is_err() || deep.len() < MAX_SOURCE_BYTES);
        assert!(error(
            &("{% set x = [] %}".to_string() + &"{%set x=[x]%}".repeat(9000) + "{{ x }}")
        )
        .contains("nested"));
        assert!(error(
            &("{% set x = [] %}".to_string() + &"{%set x=[x]%}".repeat(9000) + "{{ x|tojson }}")
        )
        .contains("nested"));
    }

    #[test]
    fn sources_are_bounded() {
        assert!(error(&"x".repeat(MAX_SOURCE_BYTES + 1)).contains("limit is 262144"));
    }
}
