//! Changes to a template's source before it is compiled, found with the engine's own lexer.
//!
//! - Lines end in a line feed, as Jinja has it.
//! - `{% generation %}` marks the assistant's words for training; here it groups and no more.
//! - `{% set ns.x = value %}` passes the value through a filter that refuses namespaces. A namespace
//!   inside itself would be printed and compared for ever, and the stack is not bounded by fuel.

use minijinja::machinery::{tokenize, Span, Token, WhitespaceConfig};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

pub const STORED_FILTER: &str = "forerun_stored";

const MAX_STORED_DEPTH: usize = 32;
const MAX_STORED_VALUES: usize = 100_000;

/// `text` replaces the bytes [start, end) of the source.
struct Edit {
    start: usize,
    end: usize,
    text: String,
}

/// The source with every edit made. A source the lexer refuses comes back as it is: compiling it
/// gives the error.
pub fn rewrite(source: &str) -> String {
    let source = &source.replace("\r\n", "\n").replace('\r', "\n");
    let tokens: Result<Vec<(Token, Span)>, Error> =
        tokenize(source, false, SyntaxConfig, WhitespaceConfig::default()).collect();
    let Ok(tokens) = tokens else { return source.to_string() };
    let blocks =
        tokens.split_inclusive(|(token, _)| matches!(token, Token::BlockEnd)).filter_map(|part| {
            let start = part.iter().position(|(token, _)| matches!(token, Token::BlockStart))?;
            Some(&part[start + 1..])
        });
    apply(source, blocks.flat_map(edits_of_block))
}

fn apply(source: &str, edits: impl Iterator<Item = Edit>) -> String {
    let mut rewritten = String::with_capacity(source.len() + 256);
    let mut done = 0;
    for edit in edits {
        rewritten.push_str(&source[done..edit.start]);
        rewritten.push_str(&edit.text);
        done = edit.end;
    }
    rewritten.push_str(&source[done..]);
    rewritten
}

/// `block` is what follows a `{%`, up to and with its `%}`.
fn edits_of_block(block: &[(Token, Span)]) -> Vec<Edit> {
    let replace = |span: &Span, text: &str| Edit {
        start: span.start_offset as usize,
        end: span.end_offset as usize,
        text: text.into(),
    };
    let insert =
        |at: u32, text: &str| Edit { start: at as usize, end: at as usize, text: text.into() };
    match block {
        [(Token::Ident("generation"), span), (Token::BlockEnd, _)] => {
            vec![replace(span, "if true")]
        }
        [(Token::Ident("endgeneration"), span), (Token::BlockEnd, _)] => {
            vec![replace(span, "endif")]
        }
        [(Token::Ident("set"), _), .., (_, last), (Token::BlockEnd, _)] => {
            let assign = block.iter().position(|(token, _)| matches!(token, Token::Assign));
            match assign {
                Some(at) if block[..at].iter().any(|(token, _)| matches!(token, Token::Dot)) => {
                    vec![
                        insert(block[at].1.end_offset, " (("),
                        insert(last.end_offset, &format!("))|{STORED_FILTER} ")),
                    ]
                }
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

/// The filter: its value, unless it holds a namespace or is too deep or large to tell.
pub fn stored(value: Value) -> Result<Value, Error> {
    let mut budget = MAX_STORED_VALUES;
    check(&value, MAX_STORED_DEPTH, &mut budget)?;
    Ok(value)
}

fn check(value: &Value, depth: usize, budget: &mut usize) -> Result<(), Error> {
    let refuse = |text: String| Err(Error::new(ErrorKind::InvalidOperation, text));
    if *budget == 0 {
        return refuse(format!("a stored value has more than {MAX_STORED_VALUES} parts"));
    }
    *budget -= 1;
    let Some(object) = value.as_object() else { return Ok(()) };
    if object.type_name().ends_with("::Namespace") {
        return refuse("a namespace cannot be stored in a namespace".into());
    }
    match value.kind() {
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable if depth == 0 => {
            refuse(format!("a stored value is nested deeper than {MAX_STORED_DEPTH} levels"))
        }
        ValueKind::Map => {
            value.try_iter()?.try_for_each(|key| check(&value.get_item(&key)?, depth - 1, budget))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter()?.try_for_each(|item| check(&item, depth - 1, budget))
        }
        ValueKind::Plain => refuse("only plain values can be stored in a namespace".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_attribute_assignments_and_generation_blocks_change() {
        for same in [
            "{% set x = a.b %}",
            "{{ a.b }} set a.b = 1",
            "{# {% set a.b = 1 %} #}",
            "{% set a.b %}x{% endset %}",
            "{% raw %}{% set a.b = 1 %}{% endraw %}",
            "{% for",
        ] {
            assert_eq!(rewrite(same), same);
        }
        assert_eq!(
            rewrite("é{%- set a.b = 'é%}' -%}"),
            "é{%- set a.b = (( 'é%}'))|forerun_stored  -%}"
        );
        assert_eq!(rewrite("{%set a.b=1%}"), "{%set a.b= ((1))|forerun_stored %}");
        assert_eq!(rewrite("{% generation -%}x{% endgeneration %}"), "{% if true -%}x{% endif %}");
    }
}
