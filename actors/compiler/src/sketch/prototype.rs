//! Prototypes for functions that a sketch uses before it defines them.
//!
//! A prototype goes as late as it can: before the item of its first use, so that types that stand between the
//! sketch's start and that use are known to it. One is made only where it is needed.

use std::ops::Range;

use super::outline::{Branch, Code, Ends, Item, Outline, directive_name, outline};
use super::token::Kind;

/// Words before a `(` that are no function's name.
const NOT_NAMES: &[&str] = &[
    "__attribute__",
    "__attribute",
    "__declspec",
    "alignas",
    "decltype",
    "noexcept",
    "throw",
    "asm",
    "__asm__",
    "typeof",
    "__typeof__",
    "sizeof",
    "if",
    "for",
    "while",
    "switch",
    "return",
    "catch",
    "requires",
    "explicit",
];
/// Words that say how, not what: a function needs a type beside them.
const SPECIFIERS: &[&str] = &["static", "inline", "extern", "constexpr", "virtual", "friend", "__inline__"];
/// Words that begin what is no function.
const NOT_FIRST: &[&str] =
    &["using", "typedef", "return", "goto", "case", "new", "delete", "else", "namespace"];
const CLASS_KEYS: &[&str] = &["struct", "class", "union", "enum"];

/// A function's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    /// The token of its name.
    pub(crate) name: usize,
    /// How many parameters it has.
    pub(crate) parameters: usize,
    /// What declares it; `None` where a declaration cannot stand before the definition.
    pub(crate) prototype: Option<String>,
}

/// Reads a head as a function's.
pub(crate) fn signature(code: Code<'_>, head: Range<usize>) -> Option<Signature> {
    let end = head.end;
    let mut start = head.start;
    if head.clone().any(|at| code.is_directive(at)) || start == end {
        return None;
    }
    let mut template = None;
    while code.text(start) == "template" && code.text(start + 1) == "<" {
        let close = code.closing_angle(start + 1, end)?;
        template.get_or_insert(start);
        start = close + 1;
    }
    if NOT_FIRST.contains(&code.text(start)) {
        return None;
    }
    start = past_leading_macro(code, start, end);
    let (name, open, close) = last_group(code, start, end)?;
    if matches!(code.text(name.wrapping_sub(1)), "::" | "~" | "." | "->") && name > start {
        return None;
    }
    let has_type = type_before(code, start..name)?;
    let class_key = CLASS_KEYS.contains(&code.text(start));
    if !has_type || !trailer(code, close + 1..end, class_key) || (class_key && name < start + 2) {
        return None;
    }
    let deduced =
        (start..name).any(|at| code.text(at) == "auto") && !(close..end).any(|at| code.text(at) == "->");
    // A default template argument may be given once only.
    let template_default = template.is_some_and(|from| (from..start).any(|at| code.text(at) == "="));
    let prototype = (!deduced && !template_default).then(|| {
        let from = template.unwrap_or(start);
        let parts =
            (from..start).chain(start..open).chain(without_defaults(code, open, close)).chain(close..end);
        format!("{};", spaced(code, parts))
    });
    Some(Signature { name, parameters: parameters(code, open, close), prototype })
}

/// A macro with arguments before the type is no part of it.
fn past_leading_macro(code: Code<'_>, start: usize, end: usize) -> usize {
    if code.is_word(start) && code.text(start + 1) == "(" && !NOT_NAMES.contains(&code.text(start)) {
        match code.closing(start + 1, end) {
            Some(close) if code.is_word(close + 1) && close + 1 < end => return close + 1,
            _ => {}
        }
    }
    start
}

/// The last `name (...)` at the top level: name, `(`, `)`.
fn last_group(code: Code<'_>, start: usize, end: usize) -> Option<(usize, usize, usize)> {
    let mut found = None;
    let mut at = start;
    while at < end {
        match code.text(at) {
            "operator" | "=" | ";" | "{" | "}" => return None,
            // What follows is a trailing return type.
            "->" => break,
            "<" if at > start && code.is_word(at - 1) => at = code.closing_angle(at, end)?,
            "[" => at = code.closing(at, end)?,
            "(" => {
                let close = code.closing(at, end)?;
                if at > start && code.is_word(at - 1) && !NOT_NAMES.contains(&code.text(at - 1)) {
                    found = Some((at - 1, at, close));
                } else if at == start || !code.is_word(at - 1) {
                    // `int (*f(int))(int)`: not ours to take apart.
                    return None;
                }
                at = close;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Whether a type stands there; `None` where what stands there is no part of a declaration.
fn type_before(code: Code<'_>, range: Range<usize>) -> Option<bool> {
    let mut has_type = false;
    let mut at = range.start;
    while at < range.end {
        let text = code.text(at);
        match code.tokens[at].kind {
            Kind::Word if NOT_NAMES.contains(&text) && code.text(at + 1) == "(" => {
                has_type |= matches!(text, "decltype" | "typeof" | "__typeof__");
                at = code.closing(at + 1, range.end)?;
            }
            Kind::Word => has_type |= !SPECIFIERS.contains(&text),
            Kind::Literal if at > 0 && code.text(at - 1) == "extern" => {}
            Kind::Punct => match text {
                "<" => at = code.closing_angle(at, range.end)?,
                "[" => at = code.closing(at, range.end)?,
                "*" | "&" | "::" => {}
                _ => return None,
            },
            _ => return None,
        }
        at += 1;
    }
    Some(has_type)
}

/// Whether what stands behind the parameters may stand there.
fn trailer(code: Code<'_>, range: Range<usize>, strict: bool) -> bool {
    let mut at = range.start;
    while at < range.end {
        match code.text(at) {
            "->" => return true,
            "(" => match code.closing(at, range.end) {
                Some(close) => at = close,
                None => return false,
            },
            "&" => {}
            "const" | "volatile" | "noexcept" | "override" | "final" => {}
            word if NOT_NAMES.contains(&word) => {}
            _ if code.is_word(at) && !strict => {}
            _ => return false,
        }
        at += 1;
    }
    true
}

/// The tokens of a parameter list, from its `(` to before its `)`, without `= default`.
fn without_defaults(code: Code<'_>, open: usize, close: usize) -> Vec<usize> {
    let mut kept = Vec::new();
    let mut skipping = false;
    let mut at = open;
    while at < close {
        let text = code.text(at);
        let inner = match text {
            "(" | "[" | "{" if at > open => code.closing(at, close),
            "<" if code.is_word(at.wrapping_sub(1)) => code.closing_angle(at, close),
            _ => None,
        };
        let until = inner.unwrap_or(at);
        match text {
            "=" => skipping = true,
            "," => skipping = false,
            _ => {}
        }
        if !skipping {
            kept.extend(at..=until);
        }
        at = until + 1;
    }
    kept
}

fn parameters(code: Code<'_>, open: usize, close: usize) -> usize {
    match close - open {
        1 => return 0,
        2 if code.text(open + 1) == "void" => return 0,
        _ => {}
    }
    let mut count = 1;
    let mut at = open + 1;
    while at < close {
        let inner = match code.text(at) {
            "(" | "[" | "{" => code.closing(at, close),
            "<" if code.is_word(at - 1) => code.closing_angle(at, close),
            "," => {
                count += 1;
                None
            }
            _ => None,
        };
        at = inner.unwrap_or(at) + 1;
    }
    count
}

/// The tokens' texts, with a blank where the source has something between them.
fn spaced(code: Code<'_>, parts: impl IntoIterator<Item = usize>) -> String {
    let mut text = String::new();
    let mut last: Option<usize> = None;
    for at in parts {
        if last.is_some_and(|last| last + 1 != at || code.tokens[last].span.end != code.tokens[at].span.start)
        {
            text.push(' ');
        }
        text.push_str(code.text(at));
        last = Some(at);
    }
    text
}

/// A prototype to put before an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Insertion {
    /// The token that it goes before.
    pub(crate) before: usize,
    /// The token of the name in the definition.
    pub(crate) definition: usize,
    /// The prototype.
    pub(crate) prototype: String,
    /// The directives that it stands between, where the definition is under conditions that the use is not.
    pub(crate) conditions: Vec<String>,
}

/// What must be inserted so that each function is declared before its use, in order of place.
pub(crate) fn prototypes(code: Code<'_>) -> Vec<Insertion> {
    let outline = outline(code);
    let signatures: Vec<_> = outline
        .items
        .iter()
        .map(|item| match item.ends {
            Ends::Directive => None,
            Ends::Semicolon | Ends::Block => signature(code, item.head.clone()),
        })
        .collect();
    let mut insertions = Vec::new();
    for (at, item) in outline.items.iter().enumerate() {
        if let (Ends::Block, Some(signature)) = (item.ends, &signatures[at])
            && let Some(prototype) = &signature.prototype
        {
            needed(code, &outline, &signatures, at, prototype, &mut insertions);
        }
    }
    insertions.sort_by_key(|insertion: &Insertion| (insertion.before, insertion.definition));
    insertions
}

/// Where the function that item `at` defines must be declared.
fn needed(
    code: Code<'_>,
    outline: &Outline,
    signatures: &[Option<Signature>],
    at: usize,
    prototype: &str,
    insertions: &mut Vec<Insertion>,
) {
    let Some(own) = &signatures[at] else { return };
    let name = code.text(own.name);
    let definition = &outline.items[at];
    // The branches in which it is declared already.
    let mut declared: Vec<&[Branch]> = Vec::new();
    for (item, signature) in outline.items[..at].iter().zip(signatures) {
        if declared.iter().any(|branches| item.branches.starts_with(branches)) {
            continue;
        }
        let same = signature.as_ref().filter(|other| code.text(other.name) == name);
        if same.is_some_and(|other| other.parameters == own.parameters && item.ends == Ends::Semicolon) {
            declared.push(&item.branches);
            continue;
        }
        if !uses(code, item, name, same.map(|same| same.name))
            || excludes(&item.branches, &definition.branches)
        {
            continue;
        }
        declared.push(&item.branches);
        insertions.push(Insertion {
            before: item.tokens.start,
            definition: own.name,
            prototype: prototype.to_owned(),
            conditions: conditions(code, outline, &definition.branches, &item.branches),
        });
    }
}

/// Whether two places are in different branches of one condition: never compiled together.
fn excludes(a: &[Branch], b: &[Branch]) -> bool {
    a.iter().any(|(condition, branch)| b.iter().any(|(other, at)| other == condition && at != branch))
}

/// Whether an item names the function, other than as its own name or as a member of something.
fn uses(code: Code<'_>, item: &Item, name: &str, own: Option<usize>) -> bool {
    if item.ends == Ends::Directive {
        let directive = code.text(item.tokens.start);
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        return directive_name(directive) == "define"
            && directive
                .split(|c| !is_word(c))
                .filter(|word| !word.is_empty())
                .skip(2)
                .any(|word| word == name);
    }
    item.tokens.clone().any(|at| {
        if code.is_directive(at) {
            return false;
        }
        let member = match code.text(at.wrapping_sub(1)) {
            "." | "->" => true,
            "::" => at >= 2 && (code.is_word(at - 2) || code.text(at - 2) == ">"),
            _ => false,
        };
        code.is_word(at) && code.text(at) == name && Some(at) != own && !member
    })
}

/// The directives that put a prototype under the conditions of its definition, beyond those of its place.
fn conditions(code: Code<'_>, outline: &Outline, definition: &[Branch], place: &[Branch]) -> Vec<String> {
    definition
        .iter()
        .filter(|branch| !place.contains(branch))
        .map(|&(condition, branch)| {
            let lines = &outline.conditions[condition][..=branch];
            lines.iter().map(|&at| code.text(at)).collect::<Vec<_>>().join("\n")
        })
        .collect()
}

#[cfg(test)]
#[path = "prototype_tests.rs"]
mod tests;
