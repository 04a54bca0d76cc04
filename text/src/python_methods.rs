//! The methods of Python's strings and lists that chat templates call, where minijinja's own
//! emulation lacks them or counts bytes, or takes an empty text for one of every kind.

use crate::python_text;
use minijinja::value::{from_args, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;

/// Wider padding is refused; templates line up a few columns.
const MAX_WIDTH: usize = 4096;

/// The callback for methods that minijinja does not know.
pub fn call(state: &State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let own = match (value.as_str(), value.kind()) {
        (Some(text), _) => of_string(text, name, args)?,
        (None, ValueKind::Seq) => of_list(value, name, args)?,
        _ => None,
    };
    match own {
        Some(result) => Ok(result),
        None => pycompat::unknown_method_callback(state, value, name, args),
    }
}

fn refuse(text: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}

fn list<'t>(texts: impl IntoIterator<Item = &'t str>) -> Value {
    texts.into_iter().map(Value::from).collect()
}

fn of_string(text: &str, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let strip = |from_start, from_end| -> Result<Value, Error> {
        let (characters,): (Option<&str>,) = from_args(args)?;
        Ok(Value::from(stripped(text, characters, from_start, from_end)))
    };
    let is = |holds: fn(char) -> bool| -> Result<Value, Error> {
        let () = from_args(args)?;
        Ok(Value::from(!text.is_empty() && text.chars().all(holds)))
    };
    Ok(Some(match name {
        "strip" => strip(true, true)?,
        "lstrip" => strip(true, false)?,
        "rstrip" => strip(false, true)?,
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "find" | "index" => position(name, found(text, args, str::find)?)?,
        "rfind" | "rindex" => position(name, found(text, args, str::rfind)?)?,
        "count" => {
            let (what,): (&str,) = from_args(args)?;
            let gaps = text.chars().count() + 1;
            Value::from(if what.is_empty() { gaps } else { text.matches(what).count() })
        }
        "partition" => {
            let (separator,): (&str,) = from_args(args)?;
            check_separator(separator)?;
            let parts = text.split_once(separator);
            list(parts.map_or([text, "", ""], |(left, right)| [left, separator, right]))
        }
        "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            check_separator(separator)?;
            let parts = text.rsplit_once(separator);
            list(parts.map_or(["", "", text], |(left, right)| [left, separator, right]))
        }
        "rsplit" => Value::from(split_from_end(text, args)?),
        "splitlines" => {
            let (keep_ends,): (Option<bool>,) = from_args(args)?;
            list(lines(text, keep_ends.unwrap_or(false)))
        }
        "isspace" => is(is_space)?,
        "isdigit" | "isnumeric" | "isdecimal" => is(char::is_numeric)?,
        "isalpha" => is(char::is_alphabetic)?,
        "isalnum" => is(char::is_alphanumeric)?,
        "isupper" => Value::from(has_case(text, char::is_uppercase, char::is_lowercase)),
        "islower" => Value::from(has_case(text, char::is_lowercase, char::is_uppercase)),
        "title" => Value::from(title(text)),
        "swapcase" => Value::from(swapped_case(text)),
        "casefold" => Value::from(text.to_lowercase()),
        "zfill" => {
            let (width,): (usize,) = from_args(args)?;
            let (sign, digits) = text.split_at(text.starts_with(['+', '-']) as usize);
            let zeros = missing(width, text)?;
            Value::from(format!("{sign}{}{digits}", "0".repeat(zeros)))
        }
        "ljust" | "rjust" | "center" => Value::from(padded(text, name, args)?),
        _ => return Ok(None),
    }))
}

fn of_list(value: &Value, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    if name != "index" {
        return Ok(None);
    }
    let (wanted,): (Value,) = from_args(args)?;
    let index = value.try_iter()?.position(|item| item == wanted);
    index.map(|index| Some(Value::from(index))).ok_or_else(|| {
        let shown = python_text::str(&wanted).unwrap_or_default().into_owned();
        refuse(format!("{shown} is not in the list"))
    })
}

/// `str.isspace`: Unicode's white space and the four separators of ASCII.
fn is_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{1c}'..='\u{1f}')
}

fn stripped<'t>(text: &'t str, set: Option<&str>, from_start: bool, from_end: bool) -> &'t str {
    let taken = |character: char| match set {
        Some(set) => set.contains(character),
        None => is_space(character),
    };
    let text = if from_start { text.trim_start_matches(taken) } else { text };
    if from_end {
        text.trim_end_matches(taken)
    } else {
        text
    }
}

/// The byte offset of the character with an index that may count from the end.
fn byte_offset(text: &str, index: i64) -> usize {
    let count = text.chars().count() as i64;
    let index = if index < 0 { (index + count).max(0) } else { index };
    text.char_indices().nth(index as usize).map_or(text.len(), |(offset, _)| offset)
}

/// The character index at which `search` finds the first argument, between the other two.
fn found<'t>(
    text: &'t str,
    args: &'t [Value],
    search: fn(&'t str, &'t str) -> Option<usize>,
) -> Result<Option<usize>, Error> {
    let (what, start, end): (&str, Option<i64>, Option<i64>) = from_args(args)?;
    let start = start.map_or(0, |start| byte_offset(text, start));
    let end = end.map_or(text.len(), |end| byte_offset(text, end));
    let offset = text.get(start..end).and_then(|inside| search(inside, what));
    Ok(offset.map(|offset| text[..start + offset].chars().count()))
}

/// `find` answers -1 where `index` is an error.
fn position(name: &str, found: Option<usize>) -> Result<Value, Error> {
    match found {
        Some(index) => Ok(Value::from(index)),
        None if name.ends_with("index") => Err(refuse(format!("{name}() found nothing"))),
        None => Ok(Value::from(-1)),
    }
}

fn check_separator(separator: &str) -> Result<(), Error> {
    if separator.is_empty() {
        return Err(refuse("the separator is empty".into()));
    }
    Ok(())
}

fn split_from_end(text: &str, args: &[Value]) -> Result<Vec<String>, Error> {
    let (separator, most): (Option<&str>, Option<i64>) = from_args(args)?;
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX - 1);
    let mut parts: Vec<String> = match separator {
        Some(separator) => {
            check_separator(separator)?;
            text.rsplitn(most + 1, separator).map(str::to_string).collect()
        }
        None => words_from_end(text, most),
    };
    parts.reverse();
    Ok(parts)
}

fn words_from_end(text: &str, most: usize) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_end_matches(is_space);
    while !rest.is_empty() {
        let start = match rest.rfind(is_space) {
            Some(space) if words.len() < most => {
                space + rest[space..].chars().next().map_or(0, char::len_utf8)
            }
            _ => 0,
        };
        words.push(rest[start..].to_string());
        rest = rest[..start].trim_end_matches(is_space);
    }
    words
}

fn lines(text: &str, keep_ends: bool) -> Vec<&str> {
    const ENDS: [char; 10] = [
        '\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}',
        '\u{2029}',
    ];
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(ENDS) {
        let character = rest[end..].chars().next().map_or(0, char::len_utf8);
        let size = if rest[end..].starts_with("\r\n") { 2 } else { character };
        lines.push(&rest[..if keep_ends { end + size } else { end }]);
        rest = &rest[end + size..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// Whether some character has one case and none the other.
fn has_case(text: &str, one: fn(char) -> bool, other: fn(char) -> bool) -> bool {
    text.chars().any(one) && !text.chars().any(other)
}

/// `str.title`: every run of letters begins with a capital, also after an apostrophe.
fn title(text: &str) -> String {
    let mut titled = String::with_capacity(text.len());
    let mut inside_word = false;
    for character in text.chars() {
        if inside_word {
            titled.extend(character.to_lowercase());
        } else {
            titled.extend(character.to_uppercase());
        }
        inside_word = character.is_alphabetic();
    }
    titled
}

fn swapped_case(text: &str) -> String {
    let mut swapped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_uppercase() {
            swapped.extend(character.to_lowercase());
        } else {
            swapped.extend(character.to_uppercase());
        }
    }
    swapped
}

/// How many characters `text` lacks to be `width` wide.
fn missing(width: usize, text: &str) -> Result<usize, Error> {
    if width > MAX_WIDTH {
        return Err(refuse(format!("a width of {width} is above the limit of {MAX_WIDTH}")));
    }
    Ok(width.saturating_sub(text.chars().count()))
}

fn padded(text: &str, name: &str, args: &[Value]) -> Result<String, Error> {
    let (width, fill): (usize, Option<char>) = from_args(args)?;
    let spare = missing(width, text)?;
    let left = match name {
        "ljust" => 0,
        "rjust" => spare,
        // Python's rounding of an odd remainder.
        _ => spare / 2 + (spare & width & 1),
    };
    let fill = fill.unwrap_or(' ').to_string();
    Ok(fill.repeat(left) + text + &fill.repeat(spare - left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let args = [Value::from("b")];
        assert_eq!(found("äöb", &args, str::find).unwrap(), Some(2));
        let args = [Value::from("ä"), Value::from(1), Value::from(-1)];
        assert_eq!(found("äbäbä", &args, str::rfind).unwrap(), Some(2));
        let args = [Value::from("a"), Value::from(9)];
        assert_eq!(found("aaa", &args, str::find).unwrap(), None);
    }

    #[test]
    fn splits_from_the_end() {
        let split = |text, args: &[Value]| split_from_end(text, args).unwrap();
        assert_eq!(split("a,b,c", &[Value::from(","), Value::from(1)]), ["a,b", "c"]);
        assert_eq!(split(" a  b c ", &[]), ["a", "b", "c"]);
        assert_eq!(split(" a  b c ", &[Value::from(()), Value::from(1)]), [" a  b", "c"]);
        assert_eq!(split("\u{2003}é\u{2003}x", &[]), ["é", "x"]);
        assert!(split_from_end("a", &[Value::from("")]).is_err());
    }

    #[test]
    fn lines_end_as_in_python() {
        assert_eq!(lines("a\r\nb\u{2028}c\rd\n", false), ["a", "b", "c", "d"]);
        assert_eq!(lines("a\r\n\nb", true), ["a\r\n", "\n", "b"]);
        assert!(lines("", false).is_empty());
    }

    #[test]
    fn widths_are_bounded() {
        let width = [Value::from(1_000_000_000)];
        assert!(padded("a", "ljust", &width).unwrap_err().to_string().contains("limit of 4096"));
        assert!(of_string("a", "zfill", &width).is_err());
    }
}
