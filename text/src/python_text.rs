//! Values as Python writes them: `str`, `repr` and `json.dumps`.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};
use std::borrow::Cow;

/// Deeper values are refused: printing recurses.
const MAX_DEPTH: usize = 64;
/// Longer text is refused: one value may be repeated many times inside another.
const MAX_BYTES: usize = 4 << 20;

#[derive(Default)]
pub struct JsonLayout {
    pub indent: Option<usize>,
    pub separators: Option<(String, String)>,
    pub ensure_ascii: bool,
    pub sort_keys: bool,
}

/// `str(value)`; undefined is empty, as in Jinja.
pub fn str(value: &Value) -> Result<Cow<'_, str>, Error> {
    if let Some(text) = value.as_str() {
        return Ok(Cow::Borrowed(text));
    }
    let mut text = String::new();
    if !value.is_undefined() {
        write_repr(value, MAX_DEPTH, &mut text)?;
    }
    Ok(Cow::Owned(text))
}

fn refuse(text: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}

fn check_bounds(depth: usize, text: &str) -> Result<(), Error> {
    if depth == 0 {
        return Err(refuse(format!("a value to print is nested deeper than {MAX_DEPTH} levels")));
    }
    if text.len() > MAX_BYTES {
        return Err(refuse(format!("a value to print has more than {MAX_BYTES} bytes")));
    }
    Ok(())
}

fn write_repr(value: &Value, depth: usize, text: &mut String) -> Result<(), Error> {
    check_bounds(depth, text)?;
    match value.kind() {
        ValueKind::None => text.push_str("None"),
        ValueKind::Bool => text.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => text.push_str(&number(value)),
        ValueKind::String => write_repr_of_string(value.as_str().unwrap_or_default(), text),
        ValueKind::Seq | ValueKind::Iterable => {
            text.push('[');
            for (index, item) in value.try_iter()?.enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                write_repr(&item, depth - 1, text)?;
            }
            text.push(']');
        }
        ValueKind::Map => {
            text.push('{');
            for (index, key) in value.try_iter()?.enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                write_repr(&key, depth - 1, text)?;
                text.push_str(": ");
                write_repr(&value.get_item(&key)?, depth - 1, text)?;
            }
            text.push('}');
        }
        ValueKind::Undefined => text.push_str("Undefined"),
        _ => text.push_str(&value.to_string()),
    }
    Ok(())
}

/// Python prefers single quotes unless the text has some and no double ones.
fn write_repr_of_string(value: &str, text: &mut String) {
    let quote = if value.contains('\'') && !value.contains('"') { '"' } else { '\'' };
    text.push(quote);
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            character if character == quote => text.extend(['\\', quote]),
            character if (character as u32) < 0x20 || character as u32 == 0x7f => {
                text.push_str(&format!("\\x{:02x}", character as u32))
            }
            character => text.push(character),
        }
    }
    text.push(quote);
}

fn number(value: &Value) -> String {
    match f64::try_from(value.clone()) {
        Ok(float) if !value.is_integer() => python_float(float),
        _ => value.to_string(),
    }
}

/// Rust's shortest form with Python's exponent: two digits and a sign.
fn python_float(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    let text = format!("{value:?}");
    match text.split_once('e') {
        None => text,
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
    }
}

/// `json.dumps(value, ensure_ascii=False, ...)`, the `tojson` of transformers.
pub fn json(value: &Value, layout: &JsonLayout) -> Result<String, Error> {
    let mut text = String::new();
    JsonWriter { layout, text: &mut text }.write(value, MAX_DEPTH)?;
    Ok(text)
}

struct JsonWriter<'a> {
    layout: &'a JsonLayout,
    text: &'a mut String,
}

impl JsonWriter<'_> {
    fn write(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        check_bounds(depth, self.text)?;
        match value.kind() {
            ValueKind::None => self.text.push_str("null"),
            ValueKind::Bool => self.text.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.write_number(value),
            ValueKind::String => self.write_string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.write_items('[', ']', depth, items, |writer, item| {
                    writer.write(&item, depth - 1)
                })?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.layout.sort_keys {
                    keys.sort();
                }
                self.write_items('{', '}', depth, keys, |writer, key| {
                    writer.write_string(&str(&key)?);
                    let separator = writer.layout.separators.as_ref();
                    writer.text.push_str(separator.map_or(": ", |(_, colon)| colon));
                    writer.write(&value.get_item(&key)?, depth - 1)
                })?;
            }
            kind => return Err(refuse(format!("tojson cannot write a value of kind {kind}"))),
        }
        Ok(())
    }

    fn write_items(
        &mut self,
        open: char,
        close: char,
        depth: usize,
        items: Vec<Value>,
        mut write_item: impl FnMut(&mut Self, Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.text.push(open);
        let empty = items.is_empty();
        let level = MAX_DEPTH - depth;
        let between = match (&self.layout.separators, self.layout.indent) {
            (Some((comma, _)), _) => comma.clone(),
            (None, Some(_)) => ",".to_string(),
            (None, None) => ", ".to_string(),
        };
        for (index, item) in items.into_iter().enumerate() {
            self.text.push_str(if index > 0 { &between } else { "" });
            self.start_line(level + 1);
            write_item(self, item)?;
        }
        if !empty {
            self.start_line(level);
        }
        self.text.push(close);
        Ok(())
    }

    fn start_line(&mut self, level: usize) {
        if let Some(indent) = self.layout.indent {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n(' ', indent * level));
        }
    }

    fn write_number(&mut self, value: &Value) {
        let text = number(value);
        self.text.push_str(match text.as_str() {
            "nan" => "NaN",
            "inf" => "Infinity",
            "-inf" => "-Infinity",
            text => text,
        });
    }

    fn write_string(&mut self, value: &str) {
        self.text.push('"');
        for character in value.chars() {
            match character {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                character if (character as u32) < 0x20 => self.escape(character),
                character if self.layout.ensure_ascii && !character.is_ascii() => {
                    self.escape(character)
                }
                character => self.text.push(character),
            }
        }
        self.text.push('"');
    }

    fn escape(&mut self, character: char) {
        for unit in character.encode_utf16(&mut [0; 2]) {
            self.text.push_str(&format!("\\u{unit:04x}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_pythons() {
        for (value, text) in [(1.0, "1.0"), (1e16, "1e+16"), (1e-5, "1e-05"), (0.1, "0.1")] {
            assert_eq!(python_float(value), text);
        }
        assert_eq!(python_float(f64::NEG_INFINITY), "-inf");
    }

    #[test]
    fn json_options_are_pythons() {
        let value = Value::from_serialize(serde_json::json!({"b": "é😀\u{1}", "a": [], "c": [{}]}));
        let layout = JsonLayout { ensure_ascii: true, sort_keys: true, ..JsonLayout::default() };
        assert_eq!(
            json(&value, &layout).unwrap(),
            r#"{"a": [], "b": "\u00e9\ud83d\ude00\u0001", "c": [{}]}"#
        );
        let separators = Some((",".to_string(), ":".to_string()));
        let layout = JsonLayout { separators, ..JsonLayout::default() };
        assert_eq!(json(&value, &layout).unwrap(), "{\"b\":\"é😀\\u0001\",\"a\":[],\"c\":[{}]}");
        let layout = JsonLayout { indent: Some(1), ..JsonLayout::default() };
        assert_eq!(
            json(&value, &layout).unwrap(),
            "{\n \"b\": \"é😀\\u0001\",\n \"a\": [],\n \"c\": [\n  {}\n ]\n}"
        );
    }

    #[test]
    fn repr_quotes_as_python() {
        let text = str(&Value::from(vec!["a", "it's", "'\"", "\n\u{1}"])).unwrap().into_owned();
        assert_eq!(text, r#"['a', "it's", '\'"', '\n\x01']"#);
    }
}
