//! Jinja's filters and tests where minijinja's differ: what they print, and what they are given
//! bounds for.

use crate::python_text;
use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{filters, Environment, Error, ErrorKind, State};

const MAX_RANGE: i64 = 100_000;
const MAX_INDENT: usize = 64;

pub fn add_to(environment: &mut Environment<'_>) {
    environment.add_function("range", range);
    environment.add_filter("tojson", tojson);
    environment.add_filter("string", string);
    environment.add_filter("indent", indent);
    environment.add_filter("replace", replace);
    environment.add_filter("join", join);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    for (name, filter) in [
        ("upper", Value::from_function(filters::upper)),
        ("lower", Value::from_function(filters::lower)),
        ("title", Value::from_function(filters::title)),
        ("capitalize", Value::from_function(filters::capitalize)),
        ("trim", Value::from_function(filters::trim)),
    ] {
        environment.add_filter(name, of_text(filter));
    }
    environment.add_test("iterable", is_iterable);
    environment.add_test("sequence", is_sequence);
    environment.add_test("number", is_number);
}

fn refuse(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, text.into())
}

/// A filter of strings, given `str(value)` whatever the value.
fn of_text(
    filter: Value,
) -> impl Fn(&State, &Value, Rest<Value>) -> Result<Value, Error> + Send + Sync {
    move |state: &State, value: &Value, arguments: Rest<Value>| {
        let mut all = vec![Value::from(python_text::str(value)?)];
        all.extend(arguments.0);
        filter.call(state, &all)
    }
}

fn range(first: i64, stop: Option<i64>, step: Option<i64>) -> Result<Vec<i64>, Error> {
    let (start, stop) = stop.map_or((0, first), |stop| (first, stop));
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(refuse("range() needs a step that is not 0"));
    }
    let span = if step > 0 { stop as i128 - start as i128 } else { start as i128 - stop as i128 };
    let count = (span + step.unsigned_abs() as i128 - 1) / step.unsigned_abs() as i128;
    if count > MAX_RANGE as i128 {
        return Err(refuse(format!("range() has more elements than the limit of {MAX_RANGE}")));
    }
    Ok((0..count.max(0) as i64).map(|index| start + index * step).collect())
}

fn string(value: &Value) -> Result<String, Error> {
    Ok(python_text::str(value)?.into_owned())
}

fn tojson(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let layout = python_text::JsonLayout {
        indent: options.get::<Option<usize>>("indent")?.map(|indent| indent.min(MAX_INDENT)),
        separators: separators(&options)?,
        ensure_ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    python_text::json(value, &layout).map(Value::from)
}

fn separators(options: &Kwargs) -> Result<Option<(String, String)>, Error> {
    match options.get::<Option<Vec<String>>>("separators")?.as_deref() {
        None => Ok(None),
        Some([comma, colon]) => Ok(Some((comma.clone(), colon.clone()))),
        Some(_) => Err(refuse("separators are two strings")),
    }
}

fn replace(
    value: &Value,
    old: &Value,
    new: &Value,
    count: Option<i64>,
    options: Kwargs,
) -> Result<String, Error> {
    let count = count.or(options.get::<Option<i64>>("count")?);
    options.assert_all_used()?;
    let text = python_text::str(value)?;
    let (old, new) = (python_text::str(old)?, python_text::str(new)?);
    let count = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    Ok(text.replacen(&*old, &new, count))
}

fn join(value: &Value, joiner: Option<&Value>, options: Kwargs) -> Result<String, Error> {
    let attribute = options.get::<Option<&str>>("attribute")?;
    options.assert_all_used()?;
    let joiner = joiner.map_or(Ok("".into()), python_text::str)?;
    let mut joined = String::new();
    let mut add = |item: &Value| -> Result<(), Error> {
        joined.push_str(&python_text::str(item)?);
        joined.push_str(&joiner);
        Ok(())
    };
    match value.as_str() {
        Some(text) => text.chars().try_for_each(|character| add(&Value::from(character)))?,
        None => value.try_iter()?.try_for_each(|item| match attribute {
            Some(name) => add(&item.get_attr(name)?),
            None => add(&item),
        })?,
    }
    // The joiner after the last item.
    joined.truncate(joined.len().saturating_sub(joiner.len()));
    Ok(joined)
}

/// What Python's `float()` makes of a value.
fn as_float(value: &Value) -> Option<f64> {
    match value.kind() {
        ValueKind::Bool => Some(value.is_true() as u8 as f64),
        ValueKind::String => value.as_str()?.trim().parse().ok(),
        _ => f64::try_from(value.clone()).ok(),
    }
}

/// `int(default=0)`: a text that is no number is the default.
fn int(value: &Value, default: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let default = default.or(options.get::<Option<Value>>("default")?).unwrap_or(Value::from(0));
    options.assert_all_used()?;
    let whole = match value.as_str() {
        Some(text) => text.trim().parse::<i64>().ok(),
        None => i64::try_from(value.clone()).ok().filter(|_| value.is_integer()),
    };
    if let Some(whole) = whole {
        return Ok(Value::from(whole));
    }
    match as_float(value).map(f64::trunc) {
        Some(float) if float.abs() < i64::MAX as f64 => Ok(Value::from(float as i64)),
        _ => Ok(default),
    }
}

fn float(value: &Value, default: Option<f64>) -> f64 {
    as_float(value).or(default).unwrap_or(0.0)
}

/// Jinja's `indent(width=4, first=False, blank=False)`, with a bound on the width.
fn indent(
    value: &Value,
    width: Option<Value>,
    first: Option<bool>,
    blank: Option<bool>,
    options: Kwargs,
) -> Result<String, Error> {
    let text = python_text::str(value)?;
    let width = width.map_or_else(|| options.get::<Option<Value>>("width"), |it| Ok(Some(it)))?;
    let first = first.or(options.get::<Option<bool>>("first")?).unwrap_or(false);
    let blank = blank.or(options.get::<Option<bool>>("blank")?).unwrap_or(false);
    options.assert_all_used()?;
    let padding = match width {
        None => " ".repeat(4),
        Some(width) if width.as_str().is_some() => width.as_str().unwrap_or_default().to_string(),
        Some(width) => {
            let spaces = width.as_usize().filter(|spaces| *spaces <= MAX_INDENT);
            let limit = || refuse(format!("indent() takes a width of 0 to {MAX_INDENT}"));
            " ".repeat(spaces.ok_or_else(limit)?)
        }
    };
    let mut indented = String::new();
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            indented.push('\n');
        }
        if (index > 0 || first) && (blank || !line.is_empty()) {
            indented.push_str(&padding);
        }
        indented.push_str(line);
    }
    Ok(indented)
}

/// None is not, unlike minijinja has it; undefined is.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && (value.as_str().is_some() || value.try_iter().is_ok())
}

/// Jinja asks for a length and items by index or key, so texts and dicts are sequences as well.
fn is_sequence(value: &Value) -> bool {
    use ValueKind::{Map, Seq, String, Undefined};
    matches!(value.kind(), Map | Seq | String | Undefined)
}

/// Python's booleans are numbers.
fn is_number(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Number | ValueKind::Bool)
}
