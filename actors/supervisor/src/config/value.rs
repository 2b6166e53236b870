//! Values, and how they are read.

use std::fmt;
use std::time::Duration;

use farmhand_api::{DeviceName, Place};
use regex::bytes::Regex;
use toml::Spanned;
use toml::de::DeValue;

use super::error::{ConfigError, Fault};
use super::place::Text;
use super::schema::{Key, Kind};

/// An element of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// What it says.
    pub text: String,
    /// Where it stands, if in a file.
    pub place: Option<Place>,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A list.
    Texts(Vec<Element>),
    /// A number.
    Number(u64),
    /// Yes or no.
    Bool(bool),
    /// So many bytes.
    Size(u64),
    /// A length of time.
    Time(Duration),
}

impl fmt::Display for Value {
    /// As it is written in a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => quoted(f, text),
            Self::Texts(elements) => {
                f.write_str("[")?;
                for (index, element) in elements.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    quoted(f, &element.text)?;
                }
                f.write_str("]")
            }
            Self::Number(number) => number.fmt(f),
            Self::Size(bytes) => write!(f, "\"{}\"", shown_size(*bytes)),
            Self::Bool(value) => value.fmt(f),
            Self::Time(time) => write!(f, "\"{}\"", humantime::format_duration(*time)),
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, "{}", toml::Value::String(text.to_owned()))
}

/// Reads a value from a file.
pub(super) fn from_toml(
    key: &Key,
    value: &Spanned<DeValue<'_>>,
    text: &Text<'_>,
) -> Result<Value, ConfigError> {
    let here = |span: &Spanned<DeValue<'_>>| text.place(span.span().start);
    let wrong = |span: &Spanned<DeValue<'_>>| {
        let fault =
            Fault::value(key, format!("it wants {}, not {}", wanted(key.kind), kind_of(span.get_ref())));
        ConfigError::in_file(fault, here(span))
    };
    match (key.kind, value.get_ref()) {
        (Kind::Texts | Kind::Regexes, DeValue::Array(array)) => {
            let element = |element: &Spanned<DeValue<'_>>| match element.get_ref() {
                DeValue::String(said) => {
                    let one = Element { text: said.to_string(), place: Some(here(element)) };
                    check_element(key, &one.text)
                        .map_err(|fault| ConfigError::in_file(fault, here(element)))?;
                    Ok(one)
                }
                _ => Err(wrong(element)),
            };
            array.iter().map(element).collect::<Result<_, _>>().map(Value::Texts)
        }
        (Kind::Texts | Kind::Regexes, DeValue::String(said)) => {
            // One is a list of one.
            check_element(key, said).map_err(|fault| ConfigError::in_file(fault, here(value)))?;
            Ok(Value::Texts(vec![Element { text: said.to_string(), place: Some(here(value)) }]))
        }
        (Kind::Number { .. }, DeValue::Integer(number)) => {
            let read = i128::from_str_radix(number.as_str(), number.radix()).ok();
            check_number(key, read).map_err(|fault| ConfigError::in_file(fault, here(value)))
        }
        (Kind::Size, DeValue::Integer(number)) => {
            scalar(key, number.as_str()).map_err(|fault| ConfigError::in_file(fault, here(value)))
        }
        (Kind::Bool, DeValue::Boolean(value)) => Ok(Value::Bool(*value)),
        (
            Kind::Text | Kind::DeviceName | Kind::OneOf(_) | Kind::Size | Kind::Time { .. },
            DeValue::String(said),
        ) => scalar(key, said).map_err(|fault| ConfigError::in_file(fault, here(value))),
        _ => Err(wrong(value)),
    }
}

/// Reads a value from the environment: a list as in a file, or one element.
pub(super) fn from_text(key: &Key, text: &str) -> Result<Value, Fault> {
    let list = matches!(key.kind, Kind::Texts | Kind::Regexes) && text.trim_start().starts_with('[');
    if !list {
        return from_words(key, &[text.to_owned()]);
    }
    let not_a_list = || Fault::value(key, "it wants a list as in a file, or one element".into());
    let parsed = DeValue::parse(text).map_err(|_| not_a_list())?;
    let array = parsed.get_ref().as_array().ok_or_else(not_a_list)?;
    let words = array.iter().map(|element| element.get_ref().as_str().map(str::to_owned));
    from_words(key, &words.collect::<Option<Vec<_>>>().ok_or_else(not_a_list)?)
}

/// Reads a value from a flag's words.
pub(super) fn from_words(key: &Key, words: &[String]) -> Result<Value, Fault> {
    if matches!(key.kind, Kind::Texts | Kind::Regexes) {
        let element = |word: &String| {
            check_element(key, word)?;
            Ok(Element { text: word.clone(), place: None })
        };
        return words.iter().map(element).collect::<Result<_, _>>().map(Value::Texts);
    }
    scalar(key, words.last().map_or("", String::as_str))
}

fn scalar(key: &Key, text: &str) -> Result<Value, Fault> {
    let wrong = |why: String| Err(Fault::value(key, why));
    match key.kind {
        Kind::Text if text.is_empty() => wrong("it is empty".into()),
        Kind::Text | Kind::Texts | Kind::Regexes => Ok(Value::Text(text.into())),
        Kind::DeviceName => match DeviceName::new(text) {
            Ok(name) => Ok(Value::Text(name.into())),
            Err(error) => wrong(error.to_string()),
        },
        Kind::Number { .. } => check_number(key, text.parse().ok()),
        Kind::Bool => match text {
            "true" | "1" | "yes" => Ok(Value::Bool(true)),
            "false" | "0" | "no" => Ok(Value::Bool(false)),
            _ => wrong(format!("it wants true or false, not {text:?}")),
        },
        Kind::Size => match size(text) {
            Ok(bytes) => Ok(Value::Size(bytes)),
            Err(why) => wrong(format!("{why}, not {text:?}")),
        },
        Kind::Time { max } => match humantime::parse_duration(text) {
            Ok(time) if time.is_zero() => wrong("it wants more than no time".into()),
            Ok(time) if time > max => wrong(format!("it wants at most {}", humantime::format_duration(max))),
            Ok(time) => Ok(Value::Time(time)),
            Err(_) => wrong(format!("it wants a length of time such as \"20s\" or \"3m\", not {text:?}")),
        },
        Kind::OneOf(words) => match words.iter().find(|word| **word == text) {
            Some(word) => Ok(Value::Text((*word).into())),
            None => Err(Fault::word(key, text, words)),
        },
    }
}

/// `5GB`, `200 MB`, `1000`: of a thousand, as they are shown. In bytes; or what it wants.
pub fn size(text: &str) -> Result<u64, String> {
    let wants = || "it wants a size, such as 500MB or 5GB".to_owned();
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        _ => return Err(wants()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wants)
}

/// As [`size`] reads it, to the byte.
fn shown_size(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let unit = units.into_iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}

fn check_number(key: &Key, number: Option<i128>) -> Result<Value, Fault> {
    let Kind::Number { min, max } = key.kind else { unreachable!("asked for numbers only") };
    let number = number.and_then(|number| u64::try_from(number).ok());
    match number.filter(|number| (min..=max).contains(number)) {
        Some(number) => Ok(Value::Number(number)),
        None => Err(Fault::value(key, format!("it wants a whole number from {min} to {max}"))),
    }
}

fn check_element(key: &Key, text: &str) -> Result<(), Fault> {
    if key.kind == Kind::Regexes && text.is_empty() {
        return Err(Fault::value(key, "an empty expression is seen in any output, and in none".into()));
    }
    if key.kind == Kind::Regexes
        && let Err(error) = Regex::new(text)
    {
        // The last line says what is wrong; those before it draw where.
        let drawn = error.to_string();
        let why = drawn.lines().last().unwrap_or(&drawn).trim_start_matches("error: ").to_owned();
        return Err(Fault::Regex { text: text.into(), why });
    }
    Ok(())
}

fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::DeviceName => "text",
        Kind::OneOf(_) => "a word",
        Kind::Texts => "a list of texts",
        Kind::Regexes => "a list of regular expressions",
        Kind::Number { .. } => "a whole number",
        Kind::Bool => "true or false",
        Kind::Size => "a size such as \"5GB\"",
        Kind::Time { .. } => "a length of time such as \"20s\"",
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
