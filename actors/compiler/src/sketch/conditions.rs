//! Which headers a source names where its conditions hold: `#if` and its like, as far as they can be known without compiling it.
//!
//! What cannot be known - a macro of the compiler's own, an expression that is not understood - leaves both ways open.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::directives::Directive;
use super::includes::Include;

/// Expressions within expressions: more than anybody writes.
const DEPTH_MAX: usize = 64;
/// Values that one expression is made of: macros that name each other twice would be without end.
const STEPS_MAX: u32 = 10_000;

/// What is defined: names, and what they stand for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Macros(BTreeMap<String, String>);

impl Macros {
    /// Of flags: `X`, `X=1`.
    pub(crate) fn of<'a>(defines: impl Iterator<Item = &'a str>) -> Self {
        let each = defines.map(|define| match define.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (define.to_owned(), "1".to_owned()),
        });
        Self(each.collect())
    }
}

/// Whether a part of a source is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Yes,
    No,
    Unknown,
}

impl Is {
    fn of(value: Option<i64>) -> Self {
        match value {
            Some(0) => Self::No,
            Some(_) => Self::Yes,
            None => Self::Unknown,
        }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Unknown,
        }
    }
}

/// One `#if`: its branch that stands open, and whether one before it was taken.
struct Open {
    now: Is,
    before: Is,
}

/// Tells `found` of each header that a source names where it is compiled, in order; what it defines, and what `found` does, is defined
/// from then on.
pub(crate) fn includes_where(
    all: &[Directive],
    macros: &mut Macros,
    found: &mut dyn FnMut(&Include, &mut Macros),
) {
    let mut open: Vec<Open> = Vec::new();
    for (at, Directive { name, rest, include }) in all.iter().enumerate() {
        let (name, rest) = (name.as_str(), rest.as_str());
        let here = open.iter().fold(Is::Yes, |all, one| all.and(one.now));
        match name {
            "if" => open.push(Open { now: Is::of(value(rest, macros)), before: Is::No }),
            "ifdef" => open.push(Open { now: defined(rest, macros), before: Is::No }),
            // A header's guard is nobody's but its own, whatever its name begins with.
            "ifndef" if is_guard(rest, all.get(at + 1)) && !macros.0.contains_key(rest) => {
                open.push(Open { now: Is::Yes, before: Is::No });
            }
            "ifndef" => open.push(Open { now: defined(rest, macros).not(), before: Is::No }),
            "elif" | "else" => {
                let condition = if name == "else" { Is::Yes } else { Is::of(value(rest, macros)) };
                if let Some(last) = open.last_mut() {
                    last.before = last.before.not().and(last.now.not()).not();
                    last.now = last.before.not().and(condition);
                }
            }
            "endif" => drop(open.pop()),
            "define" if here == Is::Yes => define(rest, macros),
            "undef" if here == Is::Yes => drop(macros.0.remove(rest)),
            // Perhaps: then it is not known any more.
            "define" | "undef" if here == Is::Unknown => {
                let name = rest.split(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
                macros.0.insert(name.to_owned(), UNKNOWN.to_owned());
            }
            _ if here != Is::No => {
                if let Some(include) = include {
                    found(include, macros);
                }
            }
            _ => {}
        }
    }
}

/// Whether a source is to be read once only (`#pragma once`).
pub(crate) fn is_read_once(all: &[Directive]) -> bool {
    all.iter().any(|it| it.name == "pragma" && it.rest == "once")
}

/// Whether the line behind `#ifndef NAME` defines it.
fn is_guard(name: &str, next: Option<&Directive>) -> bool {
    next.is_some_and(|next| next.name == "define" && next.rest.split_whitespace().next() == Some(name))
}

/// What is not understood: no value.
const UNKNOWN: &str = "?";

fn define(rest: &str, macros: &mut Macros) {
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    let (name, value) = rest.split_at(end);
    // One with arguments is not expanded.
    let value = if value.starts_with('(') { UNKNOWN } else { value.trim() };
    macros.0.insert(name.to_owned(), value.to_owned());
}

fn defined(name: &str, macros: &Macros) -> Is {
    let name = name.split_whitespace().next().unwrap_or(name);
    match macros.0.get(name).map(String::as_str) {
        Some(UNKNOWN) => Is::Unknown,
        Some(_) => Is::Yes,
        // The compiler's own are not known here (C17, 7.1.3: names that begin so are reserved).
        None if name.starts_with("__") => Is::Unknown,
        None => Is::No,
    }
}

/// What an expression is; none where it is not known.
fn value(text: &str, macros: &Macros) -> Option<i64> {
    let words = words(text)?;
    let left = Cell::new(STEPS_MAX);
    let mut reader = Reader { words: &words, at: 0, macros, depth: 0, left: &left };
    let value = reader.binary(0);
    // What is left over was not understood.
    if reader.at == words.len() { value } else { None }
}

fn words(text: &str) -> Option<Vec<&str>> {
    const PAIRS: &[&str] = &["&&", "||", "==", "!=", "<=", ">=", "<<", ">>"];
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = if first.is_ascii_alphanumeric() || first == '_' {
            rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if PAIRS.iter().any(|pair| rest.starts_with(pair)) {
            2
        } else if "()!<>+-*/%&|^~?:,".contains(first) {
            1
        } else {
            return None;
        };
        words.push(&rest[..len]);
        rest = rest[len..].trim_start();
    }
    Some(words)
}

struct Reader<'a> {
    words: &'a [&'a str],
    at: usize,
    macros: &'a Macros,
    depth: usize,
    /// Of the whole expression, with all that its macros stand for.
    left: &'a Cell<u32>,
}

/// Operators, those that bind least first (C17, 6.5).
const LEVELS: &[&[&str]] = &[
    &["||"],
    &["&&"],
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<", ">", "<=", ">="],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
];

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word
    }

    fn binary(&mut self, level: usize) -> Option<i64> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1);
        while let Some(operator) = self.words.get(self.at).filter(|word| operators.contains(word)) {
            self.at += 1;
            let right = self.binary(level + 1);
            left = apply(operator, left, right);
        }
        left
    }

    fn unary(&mut self) -> Option<i64> {
        self.depth += 1;
        self.left.set(self.left.get().saturating_sub(1));
        if self.depth > DEPTH_MAX || self.left.get() == 0 {
            self.at = usize::MAX / 2;
            return None;
        }
        let value = match self.next()? {
            "!" => self.unary().map(|value| i64::from(value == 0)),
            "-" => self.unary().map(i64::wrapping_neg),
            "+" => self.unary(),
            "~" => self.unary().map(|value| !value),
            "(" => {
                let value = self.binary(0);
                if self.next()? == ")" { value } else { None }
            }
            "defined" => {
                let mut name = self.next()?;
                if name == "(" {
                    name = self.next()?;
                    self.next().filter(|close| *close == ")")?;
                }
                match defined(name, self.macros) {
                    Is::Yes => Some(1),
                    Is::No => Some(0),
                    Is::Unknown => None,
                }
            }
            word => self.word(word),
        };
        self.depth -= 1;
        value
    }

    fn word(&mut self, word: &str) -> Option<i64> {
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return number(word);
        }
        // A call of a macro, or of something like `__has_include`.
        if self.words.get(self.at) == Some(&"(") {
            self.at = usize::MAX / 2;
            return None;
        }
        if !word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return None;
        }
        match self.macros.0.get(word) {
            Some(value) if self.depth < DEPTH_MAX => {
                let words = words(value)?;
                let (macros, depth, left) = (self.macros, self.depth + 1, self.left);
                let mut inner = Reader { words: &words, at: 0, macros, depth, left };
                let value = inner.binary(0);
                if inner.at == words.len() { value } else { None }
            }
            Some(_) => None,
            None if word.starts_with("__") => None,
            // C17, 6.10.1: what is no macro is 0.
            None => Some(0),
        }
    }
}

fn apply(operator: &str, left: Option<i64>, right: Option<i64>) -> Option<i64> {
    // One side may be enough.
    match (operator, left, right) {
        ("&&", Some(0), _) | ("&&", _, Some(0)) => return Some(0),
        ("||", Some(value), _) | ("||", _, Some(value)) if value != 0 => return Some(1),
        _ => {}
    }
    let (left, right) = (left?, right?);
    Some(match operator {
        "&&" => i64::from(left != 0 && right != 0),
        "||" => i64::from(left != 0 || right != 0),
        "|" => left | right,
        "^" => left ^ right,
        "&" => left & right,
        "==" => i64::from(left == right),
        "!=" => i64::from(left != right),
        "<" => i64::from(left < right),
        ">" => i64::from(left > right),
        "<=" => i64::from(left <= right),
        ">=" => i64::from(left >= right),
        "<<" => left.checked_shl(u32::try_from(right).ok()?)?,
        ">>" => left.checked_shr(u32::try_from(right).ok()?)?,
        "+" => left.wrapping_add(right),
        "-" => left.wrapping_sub(right),
        "*" => left.wrapping_mul(right),
        "/" => left.checked_div(right)?,
        _ => left.checked_rem(right)?,
    })
}

fn number(text: &str) -> Option<i64> {
    let text = text.trim_end_matches(['u', 'U', 'l', 'L']);
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', b'b' | b'B', ..] => (&text[2..], 2),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    i64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::super::directives::directives;
    use super::super::includes::includes;
    use super::*;

    fn found(source: &str, defines: &[&str]) -> Vec<Include> {
        let mut macros = Macros::of(defines.iter().copied());
        let mut found = Vec::new();
        includes_where(&directives(source), &mut macros, &mut |include, _| found.push(include.clone()));
        found
    }

    fn names(source: &str, defines: &[&str]) -> String {
        found(source, defines).into_iter().map(|include| include.name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_compiled() {
        let source = "\
#ifdef USE_A
#include <a.h>
#elif defined(USE_B) && LEVEL >= 2 // really
#include <b.h>
#else
#include <c.h>
#endif
#define LATE 1
#if LATE /* yes */ && !defined NEVER
#include <d.h>
#endif
#undef LATE
#ifndef LATE
#include <e.h>
#endif
";
        assert_eq!(names(source, &["USE_A"]), "a.h d.h e.h");
        assert_eq!(names(source, &["USE_B", "LEVEL=2"]), "b.h d.h e.h");
        assert_eq!(names(source, &["USE_B", "LEVEL=1"]), "c.h d.h e.h");
        assert_eq!(names(source, &["NEVER"]), "c.h e.h");
    }

    #[test]
    fn what_is_not_known_leaves_both_ways_open() {
        let source = "\
#if defined(__AVR__)
#include <a.h>
#define X 1
#else
#include <b.h>
#endif
#if X
#include <c.h>
#endif
#if __has_include(<d.h>)
#include <d.h>
#endif
#if defined(__AVR__) && 0
#include <no.h>
#endif
#if F(1)
#include <e.h>
#endif
";
        assert_eq!(names(source, &[]), "a.h b.h c.h d.h e.h");
    }

    #[test]
    fn a_guard_is_known_whatever_its_name() {
        let header = "#ifndef __A_H__\n#define __A_H__\n#include <a.h>\n#endif\n";
        let mut macros = Macros::default();
        for expect in [1, 0] {
            let mut found = 0;
            includes_where(&directives(header), &mut macros, &mut |_, _| found += 1);
            assert_eq!(found, expect);
        }
        let is_once = |source: &str| is_read_once(&directives(source));
        assert!(is_once(" # pragma once // here\n") && !is_once("// #pragma once\nint once;\n"));
    }

    #[test]
    fn what_grows_without_end_is_not_known() {
        let macros = Macros::of(["A=B+B", "B=C+C", "C=A+A"].into_iter());
        assert_eq!(value("A", &macros), None);
    }

    #[test]
    fn expressions_as_c_reads_them() {
        let macros = Macros::of(["A=3", "B=A+1", "C=(B)", "SELF=SELF", "E=0x10UL"].into_iter());
        for (text, expect) in [
            ("1 + 2 * 3 == 7", Some(1)),
            ("C * 2", Some(8)),
            ("E >> 2", Some(4)),
            ("-1 < 0 && ~0 == -1", Some(1)),
            ("NOTHING", Some(0)),
            ("010 == 8", Some(1)),
            ("SELF", None),
            ("1 / 0", None),
            ("(1", None),
            ("1 ? 2 : 3", None),
            ("'a' == 97", None),
            ("", None),
        ] {
            assert_eq!(value(text, &macros), expect, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "(#if |#endif\n|#else\n|#elif |defined|[()!<>&|=+*/%0-9A-C? ]|\n){0,40}") {
            let _includes = found(&text, &[]);
        }

        #[test]
        fn no_more_than_without_conditions(text in "(#if [A-C01]\n|#else\n|#endif\n|#include <[a-d].h>\n){0,20}") {
            let all = directives(&text);
            for include in found(&text, &[]) {
                proptest::prop_assert!(includes(&all).any(|other| *other == include));
            }
        }
    }
}
