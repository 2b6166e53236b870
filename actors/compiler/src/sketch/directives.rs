//! The lines of a source that are for the preprocessor.

use serde::{Deserialize, Serialize};

use super::includes::{Include, include};
use super::token::{Kind, tokens};

/// A line for the preprocessor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Directive {
    /// `if`
    pub(super) name: String,
    /// What is behind it, without comments.
    pub(super) rest: String,
    /// The header that it names.
    pub(super) include: Option<Include>,
}

/// The directives of `source`, in order. Comments and strings are not read.
#[must_use]
pub(crate) fn directives(source: &str) -> Vec<Directive> {
    let all = tokens(source);
    let of = all.iter().filter(|token| token.kind == Kind::Directive);
    of.filter_map(|token| directive(&token.text(source).replace("\\\n", " "))).collect()
}

fn directive(text: &str) -> Option<Directive> {
    let rest = text.strip_prefix('#')?.trim_start();
    let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    let (name, rest) = (rest[..len].to_owned(), without_comments(&rest[len..]).trim().to_owned());
    Some(Directive { name, rest, include: include(text) })
}

fn without_comments(text: &str) -> String {
    let text = text.split("//").next().unwrap_or(text);
    let mut out = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find("/*") {
        out.push_str(&rest[..begin]);
        out.push(' ');
        rest = rest[begin..].find("*/").map_or("", |end| &rest[begin + end + 2..]);
    }
    out + rest
}
