//! From the text of a grammar that a stranger wrote to what `llguidance` compiles: kinds, limits of
//! size and depth, and sentences for what it refuses.

use llguidance::api::TopLevelGrammar;
use serde_json::{json, Map, Value};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    JsonObject,
    JsonSchema,
    Regex,
    Lark,
}

impl Kind {
    pub fn from_number(number: u32) -> Result<Self, String> {
        const KINDS: [Kind; 4] = [Kind::JsonObject, Kind::JsonSchema, Kind::Regex, Kind::Lark];
        KINDS
            .get(number as usize)
            .copied()
            .ok_or_else(|| format!("grammar kind {number} is not known"))
    }

    /// How sentences call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::JsonObject => "the JSON object",
            Kind::JsonSchema => "the JSON schema",
            Kind::Regex => "the regular expression",
            Kind::Lark => "the grammar",
        }
    }

    /// The longest published schemas (FHIR) have 3 MB and compile for seconds; what people send has
    /// 1 to 30 KB.
    fn max_bytes(self) -> usize {
        match self {
            Kind::JsonObject => 0,
            Kind::JsonSchema => 256 << 10,
            Kind::Regex => 16 << 10,
            Kind::Lark => 128 << 10,
        }
    }
}

/// Compiling recurses a few times for each level.
const MAX_DEPTH: usize = 64;
/// Overlapping patterns are compared in pairs.
const MAX_PATTERN_PROPERTIES: usize = 32;
/// A number is read digit by digit with a state for each remainder.
const MAX_DIVISOR: f64 = 10_000.0;
const MAX_SENTENCE_BYTES: usize = 400;
/// Between two signs of JSON: blanks, or lines and an indentation. White space without end would be
/// JSON too, and small models do write it.
const WHITE_SPACE: &str = r"[\x20\x09]{1,2}|(\x0D?\x0A){1,2}[\x20\x09]{0,40}";

pub fn read(kind: Kind, text: &[u8]) -> Result<TopLevelGrammar, String> {
    let name = kind.name();
    if kind == Kind::JsonObject {
        return Ok(TopLevelGrammar::from_json_schema(with_white_space(json!({"type": "object"}))));
    }
    if text.len() > kind.max_bytes() {
        return Err(format!("{name} has {} bytes; the limit is {}", text.len(), kind.max_bytes()));
    }
    let text = std::str::from_utf8(text).map_err(|_| format!("{name} is not UTF-8"))?;
    if bracket_depth(text) > MAX_DEPTH {
        return Err(format!("{name} is nested deeper than the limit of {MAX_DEPTH} levels"));
    }
    match kind {
        Kind::JsonSchema => Ok(TopLevelGrammar::from_json_schema(schema(text)?)),
        // `//` would begin a comment.
        Kind::Regex if text.is_empty() => Ok(TopLevelGrammar::from_lark("start: \"\"".into())),
        Kind::Regex => Ok(TopLevelGrammar::from_regex(text)),
        _ => Ok(TopLevelGrammar::from_lark(text.into())),
    }
}

fn schema(text: &str) -> Result<Value, String> {
    let schema: Value = serde_json::from_str(text)
        .map_err(|error| format!("the JSON schema is not valid JSON: {error}"))?;
    if !schema.is_object() && !schema.is_boolean() {
        return Err("the JSON schema must be an object, true or false".into());
    }
    check_costs(&schema)?;
    Ok(with_white_space(schema))
}

/// The schema with our white space, unless it names its own.
fn with_white_space(schema: Value) -> Value {
    let mut fields = match schema {
        Value::Object(fields) => fields,
        Value::Bool(true) => Map::new(),
        other => return other,
    };
    fields.entry("x-guidance").or_insert_with(|| json!({"whitespace_pattern": WHITE_SPACE}));
    Value::Object(fields)
}

/// Refuses what takes the library more time or memory than its fuel knows of.
fn check_costs(value: &Value) -> Result<(), String> {
    match value {
        Value::Array(items) => items.iter().try_for_each(check_costs),
        Value::Object(fields) => {
            check_patterns(fields)?;
            check_divisor(fields)?;
            fields.values().try_for_each(check_costs)
        }
        _ => Ok(()),
    }
}

fn check_patterns(fields: &Map<String, Value>) -> Result<(), String> {
    let patterns = fields.get("patternProperties").and_then(Value::as_object);
    let count = patterns.map_or(0, |patterns| patterns.len());
    if count <= MAX_PATTERN_PROPERTIES {
        return Ok(());
    }
    Err(format!(
        "the JSON schema has {count} patternProperties in one place; the limit is \
         {MAX_PATTERN_PROPERTIES}"
    ))
}

fn check_divisor(fields: &Map<String, Value>) -> Result<(), String> {
    let Some(divisor) = fields.get("multipleOf").and_then(Value::as_f64) else { return Ok(()) };
    // 0.25 counts as 25.
    let mut whole = divisor.abs();
    while whole.fract() != 0.0 && whole < MAX_DIVISOR {
        whole *= 10.0;
    }
    if whole <= MAX_DIVISOR {
        return Ok(());
    }
    Err(format!(
        "the JSON schema has a multipleOf of {divisor:e}; without its decimal point it may be \
         {MAX_DIVISOR} at most"
    ))
}

/// The deepest nesting of brackets outside of quoted text; prefix operators count as brackets.
fn bracket_depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut prefixes) = (0usize, 0, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in text.bytes() {
        if escaped {
            escaped = false;
            continue;
        }
        match byte {
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            // A text without its end stops at the line's.
            b'\n' => quoted = false,
            b'(' | b'[' | b'{' if !quoted => depth += 1,
            b')' | b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        prefixes = if byte == b'~' || byte == b'!' { prefixes + 1 } else { 0 };
        deepest = deepest.max(depth + prefixes);
    }
    deepest
}

/// One sentence of what the library says: without its state, traces and lines.
pub fn sentence(kind: Kind, told: &str) -> String {
    let told = told.split("\n<").next().unwrap_or_default();
    if let Some((_, reference)) = told.split_once("without 'referencing' feature; ref ") {
        return format!(
            "{} has the $ref {}; only references into the schema itself (#/...) are followed",
            kind.name(),
            clipped(reference.trim())
        );
    }
    if told == "NoExtensionBias" {
        return format!("{} allows nothing here: no text fits it", kind.name());
    }
    let told: Vec<&str> = told.split_whitespace().collect();
    format!("{} cannot be used: {}", kind.name(), clipped(&told.join(" ")))
}

fn clipped(text: &str) -> String {
    if text.len() <= MAX_SENTENCE_BYTES {
        return text.into();
    }
    let end = (0..=MAX_SENTENCE_BYTES).rev().find(|end| text.is_char_boundary(*end));
    format!("{}...", &text[..end.unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: Kind, text: &str) -> String {
        read(kind, text.as_bytes()).err().unwrap()
    }

    #[test]
    fn limits_are_named() {
        assert_eq!(
            error(Kind::Regex, &"a".repeat(16385)),
            "the regular expression has 16385 bytes; the limit is 16384"
        );
        assert!(error(Kind::Regex, &"(".repeat(65)).contains("limit of 64 levels"));
        assert!(error(Kind::JsonSchema, &"[".repeat(1000)).contains("limit of 64 levels"));
        assert!(error(Kind::Lark, &format!("start: {}a", "~".repeat(1000))).contains("64 levels"));
        assert!(error(Kind::JsonSchema, "{").contains("not valid JSON"));
        assert!(error(Kind::JsonSchema, "[]").contains("must be an object"));
        let patterns: Vec<String> = (0..33).map(|i| format!("\"{i}\":{{}}")).collect();
        let schema = format!("{{\"patternProperties\":{{{}}}}}", patterns.join(","));
        assert!(error(Kind::JsonSchema, &schema).contains("the limit is 32"));
        assert!(error(Kind::JsonSchema, r#"{"items": {"multipleOf": 10001}}"#).contains("1.0001e4"));
        assert!(error(Kind::JsonSchema, r#"{"multipleOf": 0.012345}"#).contains("10000 at most"));
        assert!(read(Kind::JsonSchema, br#"{"multipleOf": 0.01}"#).is_ok());
        assert!(read(Kind::Lark, b"\xff").is_err());
        assert!(Kind::from_number(4).is_err());
    }

    #[test]
    fn brackets_in_texts_are_no_levels() {
        assert_eq!(bracket_depth(r#"start: "((((\"((" | /\(\(\(/ | [(a)]"#), 2);
    }

    #[test]
    fn white_space_ends() {
        let guidance = |text: &str| schema(text).unwrap()["x-guidance"].clone();
        assert_eq!(guidance("true")["whitespace_pattern"], WHITE_SPACE);
        assert_eq!(guidance(r#"{"x-guidance": {"a": 1}}"#), json!({"a": 1}));
        assert_eq!(schema("false").unwrap(), json!(false));
    }

    #[test]
    fn sentences_are_short() {
        let told = format!("x\n y {}\n<state>\nlong", "z".repeat(1000));
        let text = sentence(Kind::Lark, &told);
        assert!(text.starts_with("the grammar cannot be used: x y zzz") && text.len() < 500);
        assert!(!text.contains("state"));
    }
}
