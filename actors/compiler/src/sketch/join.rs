//! `.ino` files as one C++ source, whose diagnostics point at the `.ino`.

use std::fmt::Write;

use super::dead::without_dead;
use super::outline::Code;
use super::prototype::{Insertion, prototypes};
use super::token::tokens;

/// A file of a sketch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InoFile {
    /// As the compiler is to name it.
    pub(crate) name: String,
    /// Its text.
    pub(crate) text: String,
}

/// Where a file begins in the joined text.
struct Part<'a> {
    name: &'a str,
    offset: usize,
    line: usize,
}

fn line_directive(out: &mut String, line: usize, name: &str) {
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    writeln!(out, "#line {line} \"{name}\"").expect("a String takes all");
}

/// Joins the files, in the order given: the main one first, as Arduino does, and the others by name.
#[must_use]
pub(crate) fn join(files: &[InoFile]) -> String {
    let mut source = String::new();
    let mut parts = Vec::new();
    for file in files {
        let line = source.matches('\n').count() + 1;
        parts.push(Part { name: &file.name, offset: source.len(), line });
        source.push_str(file.text.trim_start_matches('\u{feff}'));
        if !source.ends_with('\n') {
            source.push('\n');
        }
    }
    let live = without_dead(&source);
    let tokens = tokens(&live);
    let code = Code { source: &live, tokens: &tokens };
    let mut out = String::with_capacity(source.len() + 1024);
    out.push_str("#include <Arduino.h>\n");
    let mut insertions = prototypes(code).into_iter().peekable();
    for (at, part) in parts.iter().enumerate() {
        let end = parts.get(at + 1).map_or(source.len(), |next| next.offset);
        line_directive(&mut out, 1, part.name);
        let mut from = part.offset;
        while let Some(insertion) = insertions.next_if(|next| tokens[next.before].span.start < end) {
            let here = tokens[insertion.before].span.start;
            out.push_str(&source[from..here]);
            from = here;
            insert(&mut out, code, &parts, &insertion);
            let again = insertions.peek().is_some_and(|next| next.before == insertion.before);
            if !again {
                // The item goes on in the column where it stood.
                let line_start = source[..here].rfind('\n').map_or(0, |newline| newline + 1).max(part.offset);
                line_directive(&mut out, tokens[insertion.before].line - part.line + 1, part.name);
                let blank = |c: char| if c == '\t' { '\t' } else { ' ' };
                out.extend(source[line_start..here].chars().map(blank));
            }
        }
        out.push_str(&source[from..end]);
    }
    out
}

fn insert(out: &mut String, code: Code<'_>, parts: &[Part<'_>], insertion: &Insertion) {
    if !out.ends_with('\n') {
        out.push('\n');
    }
    let definition = &code.tokens[insertion.definition];
    let part = parts.iter().rev().find(|part| part.offset <= definition.span.start);
    for condition in &insertion.conditions {
        out.push_str(condition);
        out.push('\n');
    }
    if let Some(part) = part {
        line_directive(out, definition.line - part.line + 1, part.name);
    }
    out.push_str(&insertion.prototype);
    out.push('\n');
    for _ in &insertion.conditions {
        out.push_str("#endif\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> InoFile {
        InoFile { name: name.into(), text: text.into() }
    }

    #[test]
    fn lines_point_at_the_sketch() {
        let a = file("a.ino", "int x;\n/* c */ void loop() { b(); c(); }\nvoid c() {}\n");
        let b = file("b \"q\".ino", "\u{feff}void b() {}");
        let expect = "\
#include <Arduino.h>
#line 1 \"a.ino\"
int x;
/* c */ 
#line 3 \"a.ino\"
void c();
#line 1 \"b \\\"q\\\".ino\"
void b();
#line 2 \"a.ino\"
        void loop() { b(); c(); }
void c() {}
#line 1 \"b \\\"q\\\".ino\"
void b() {}
";
        assert_eq!(join(&[a, b]), expect);
    }

    #[test]
    fn what_is_skipped_hides_nothing() {
        let skipped = "#if 0\n  Don't {{ forget\n#endif\n";
        let sketch = format!("{skipped}void loop() {{ blink(); }}\nvoid blink() {{}}\n");
        let joined = join(&[file("a.ino", &sketch)]);
        assert!(joined.contains(&format!("#line 1 \"a.ino\"\n{skipped}")), "{joined}");
        assert!(
            joined.contains("#line 5 \"a.ino\"\nvoid blink();\n#line 4 \"a.ino\"\nvoid loop()"),
            "{joined}"
        );
    }

    #[test]
    fn nothing_to_insert() {
        assert_eq!(
            join(&[file("a.ino", "void setup() {}\nvoid loop() {}")]),
            "#include <Arduino.h>\n#line 1 \"a.ino\"\nvoid setup() {}\nvoid loop() {}\n"
        );
    }
}
