//! The outline of a C++ source: its top-level items, and under which conditions of the preprocessor each stands.

use std::ops::Range;

use super::token::{Kind, Token};

/// A source and its tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code<'a> {
    pub(crate) source: &'a str,
    pub(crate) tokens: &'a [Token],
}

impl<'a> Code<'a> {
    pub(crate) fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| token.text(self.source))
    }

    pub(crate) fn is_word(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|token| token.kind == Kind::Word)
    }

    pub(crate) fn is_directive(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|token| token.kind == Kind::Directive)
    }

    /// The token that closes the bracket at `at`, before `end`.
    pub(crate) fn closing(&self, at: usize, end: usize) -> Option<usize> {
        let mut depth = 0_u32;
        for at in at..end {
            match self.text(at) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(at);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// The token that closes the `<` at `at`, if that is a list of template arguments.
    pub(crate) fn closing_angle(&self, at: usize, end: usize) -> Option<usize> {
        let mut depth = 0_u32;
        let mut at = at;
        while at < end {
            match self.text(at) {
                "<" => depth += 1,
                ">" => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(at);
                    }
                }
                "(" | "[" => at = self.closing(at, end)?,
                ";" | "{" | "}" | ")" | "]" => return None,
                _ => {}
            }
            at += 1;
        }
        None
    }
}

/// A branch of a condition: which condition, and its which branch (0 is that of the `#if`).
pub(crate) type Branch = (usize, usize);

/// How an item ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// It is a directive.
    Directive,
    /// With a semicolon.
    Semicolon,
    /// With the block of a function, or of something like one.
    Block,
}

/// An item at the top level.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// All of its tokens.
    pub(crate) tokens: Range<usize>,
    /// Its tokens before the block or semicolon.
    pub(crate) head: Range<usize>,
    pub(crate) ends: Ends,
    /// The branches that its first token stands in, outermost first.
    pub(crate) branches: Vec<Branch>,
}

/// The items of a source, and the directives of each condition's branches.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    pub(crate) items: Vec<Item>,
    /// Of each condition, the tokens of `#if`, `#elif`, ..., `#else`.
    pub(crate) conditions: Vec<Vec<usize>>,
}

struct Open {
    condition: usize,
    depth: i64,
    /// The depth at the end of the first branch: what follows `#endif` goes on from there.
    first: Option<i64>,
}

struct Walk<'a> {
    code: Code<'a>,
    outline: Outline,
    open: Vec<Open>,
    /// Brackets that are open, of all kinds.
    depth: i64,
}

impl Walk<'_> {
    fn branches(&self) -> Vec<Branch> {
        let branch = |open: &Open| (open.condition, self.outline.conditions[open.condition].len() - 1);
        self.open.iter().map(branch).collect()
    }

    /// Branches may each open the same bracket: every branch begins at the depth of its `#if`.
    fn directive(&mut self, at: usize) {
        let name = directive_name(self.code.text(at));
        if name.starts_with("if") {
            self.outline.conditions.push(vec![at]);
            let condition = self.outline.conditions.len() - 1;
            self.open.push(Open { condition, depth: self.depth, first: None });
        } else if name.starts_with("el")
            && let Some(open) = self.open.last_mut()
        {
            open.first.get_or_insert(self.depth);
            self.depth = open.depth;
            self.outline.conditions[open.condition].push(at);
        } else if name == "endif"
            && let Some(open) = self.open.pop()
        {
            self.depth = open.first.unwrap_or(self.depth);
        }
    }

    /// Goes through the block that opens at `at`; answers what follows it.
    fn block(&mut self, mut at: usize) -> usize {
        let outside = self.depth;
        while at < self.code.tokens.len() {
            if self.code.is_directive(at) {
                self.directive(at);
            } else {
                match self.code.text(at) {
                    "(" | "[" | "{" => self.depth += 1,
                    ")" | "]" | "}" => self.depth -= 1,
                    _ => {}
                }
                if self.depth <= outside {
                    self.depth = outside;
                    return at + 1;
                }
            }
            at += 1;
        }
        at
    }

    /// Reads the item that begins at `start`; answers what follows it.
    fn item(&mut self, start: usize) -> usize {
        let branches = self.branches();
        let end = self.code.tokens.len();
        let mut at = start;
        let mut head = None;
        let mut ends = Ends::Semicolon;
        while at < end {
            if self.code.is_directive(at) {
                self.directive(at);
                at += 1;
                continue;
            }
            match self.code.text(at) {
                ";" => {
                    head.get_or_insert(start..at);
                    at += 1;
                    break;
                }
                "(" | "[" => at = self.block(at),
                "{" => {
                    let is_last = closes_item(self.code, start..at);
                    let first = head.is_none();
                    head.get_or_insert(start..at);
                    at = self.block(at);
                    if is_last {
                        if first {
                            ends = Ends::Block;
                        }
                        break;
                    }
                    // A member's initialiser precedes the body of a constructor: it is not the head's end.
                    if in_member_initialisers(self.code, start..at) {
                        head = None;
                    }
                }
                // A bracket too many: the compiler will say so.
                "}" | ")" | "]" => {
                    at += 1;
                    break;
                }
                _ => at += 1,
            }
        }
        let head = head.unwrap_or(start..at);
        self.outline.items.push(Item { tokens: start..at, head, ends, branches });
        at
    }
}

/// Whether an item whose head is `head` ends with the block that follows it.
fn closes_item(code: Code<'_>, head: Range<usize>) -> bool {
    let words: Vec<_> = head.clone().filter(|&at| !code.is_directive(at)).collect();
    let Some((&first, &last)) = words.first().zip(words.last()) else { return true };
    if has_initialiser(code, head.clone()) {
        return false;
    }
    match code.text(first) {
        "namespace" => return true,
        "extern" if words.len() == 2 => return true,
        "inline" if words.get(1).is_some_and(|&at| code.text(at) == "namespace") => return true,
        _ => {}
    }
    if in_member_initialisers(code, head.clone()) {
        return matches!(code.text(last), ")" | "}");
    }
    let is_function = super::prototype::signature(code, head).is_some();
    is_function
        || code.text(last) == ")"
        || matches!(code.text(last), "const" | "noexcept" | "override" | "try")
}

/// Whether the tokens go on behind a constructor's `) :`.
fn in_member_initialisers(code: Code<'_>, head: Range<usize>) -> bool {
    let mut depth = 0_i64;
    head.clone().any(|at| {
        match code.text(at) {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            ":" => return depth == 0 && at > head.start && matches!(code.text(at - 1), ")" | "noexcept"),
            _ => {}
        }
        false
    })
}

/// Whether an item is initialised: it has a `=` that is no part of an operator's name.
fn has_initialiser(code: Code<'_>, head: Range<usize>) -> bool {
    let mut depth = 0_i64;
    for at in head.clone() {
        match code.text(at) {
            "operator" => return false,
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            "<" if code.is_word(at.wrapping_sub(1)) && code.closing_angle(at, head.end).is_some() => {
                depth += 1
            }
            ">" if depth > 0 => depth -= 1,
            "=" if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

/// `if` of `# if X`.
pub(crate) fn directive_name(directive: &str) -> &str {
    let rest = directive.trim_start_matches('#').trim_start();
    rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// Cuts a source into its items.
pub(crate) fn outline(code: Code<'_>) -> Outline {
    let mut walk = Walk { code, outline: Outline::default(), open: Vec::new(), depth: 0 };
    let mut at = 0;
    while at < code.tokens.len() {
        walk.depth = 0;
        if code.is_directive(at) {
            let branches = walk.branches();
            walk.directive(at);
            let tokens = at..at + 1;
            walk.outline.items.push(Item { head: tokens.clone(), tokens, ends: Ends::Directive, branches });
            at += 1;
        } else {
            at = walk.item(at);
        }
    }
    walk.outline
}

#[cfg(test)]
mod tests {
    use super::super::token::tokens;
    use super::*;

    #[track_caller]
    fn check(source: &str, expect: &[&str]) {
        let tokens = tokens(source);
        let code = Code { source, tokens: &tokens };
        let items: Vec<_> = outline(code)
            .items
            .iter()
            .map(|item| {
                let text = |at: usize| code.text(at);
                let mark = match item.ends {
                    Ends::Directive => "#",
                    Ends::Semicolon => ";",
                    Ends::Block => "{",
                };
                format!("{mark} {} {}", text(item.tokens.start), text(item.tokens.end - 1))
            })
            .collect();
        assert_eq!(items, expect, "{source}");
    }

    #[test]
    fn items() {
        check("int x; void f() { g({1}); } int y;", &["; int ;", "{ void }", "; int ;"]);
        check("struct A { int x; }; A a{1}; int b[] = {1, 2};", &["; struct ;", "; A ;", "; int ;"]);
        check("ISR(TIMER1_vect) { x(); } int y;", &["{ ISR }", "; int ;"]);
        check("A::A() : x{1}, y(2) { } int z;", &["{ A }", "; int ;"]);
        check("A::A(int a) : x(a) { } int z;", &["{ A }", "; int ;"]);
        check(
            "namespace n { int x; } extern \"C\" { int y; } int z;",
            &["{ namespace }", "{ extern }", "; int ;"],
        );
        check("auto f = [](int x) { return x; }; int z;", &["; auto ;", "; int ;"]);
        check("enum class E : uint8_t { A, B }; E e;", &["; enum ;", "; E ;"]);
        check("std::function<void()> cb{nullptr}; int z;", &["; std ;", "; int ;"]);
        check("struct A make() { return {}; } int z;", &["{ struct }", "; int ;"]);
        check("bool operator==(A a, A b) { return 1; } int z;", &["{ bool }", "; int ;"]);
    }

    #[test]
    fn branches_that_open_the_same_brace() {
        let source = "void f() {\n#ifdef A\n if (x) {\n#else\n if (y) {\n#endif\n }\n}\nint z;";
        check(source, &["{ void }", "; int ;"]);
    }

    #[test]
    fn knows_the_conditions() {
        let source = "#if A\nint a;\n#elif B\nint b;\n#else\nint c;\n#endif\nint d;";
        let tokens = tokens(source);
        let outline = outline(Code { source, tokens: &tokens });
        let branches: Vec<_> = outline
            .items
            .iter()
            .filter(|item| item.ends != Ends::Directive)
            .map(|item| item.branches.clone())
            .collect();
        assert_eq!(branches, [vec![(0, 0)], vec![(0, 1)], vec![(0, 2)], vec![]]);
    }
}
