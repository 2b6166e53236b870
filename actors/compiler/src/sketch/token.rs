//! C++ cut into tokens, as far as an outline needs: comments, strings, raw strings and directives are not mistaken
//! for code.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or keyword.
    Word,
    /// A number.
    Number,
    /// A string or character, whole.
    Literal,
    /// One punctuation character; `::` and `->` are one.
    Punct,
    /// A preprocessor directive: its logical line.
    Directive,
}

/// A token: its kind and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Range<usize>,
    /// Counted from 1.
    pub(crate) line: usize,
}

impl Token {
    pub(crate) fn text<'a>(&self, source: &'a str) -> &'a str {
        &source[self.span.clone()]
    }
}

struct Cursor<'a> {
    source: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn skip(&mut self, bytes: usize) {
        let end = (self.at + bytes).min(self.source.len());
        self.line += self.source[self.at..end].matches('\n').count();
        self.at = end;
    }

    fn skip_while(&mut self, mut ok: impl FnMut(char) -> bool) {
        while self.peek().is_some_and(&mut ok) {
            self.bump();
        }
    }

    /// Through the end of the line, over lines that a backslash joins. The newline itself is left.
    fn skip_line(&mut self) {
        while let Some(c) = self.peek() {
            if c == '\n' {
                return;
            }
            self.bump();
            if c == '\\' {
                self.over_newline();
            }
        }
    }

    fn over_newline(&mut self) {
        if self.rest().starts_with("\r\n") {
            self.skip(2);
        } else if self.rest().starts_with('\n') {
            self.skip(1);
        }
    }

    fn skip_block_comment(&mut self) {
        let end = self.rest()[2..].find("*/").map_or(self.rest().len(), |end| end + 4);
        self.skip(end);
    }

    /// A directive: to its end of line, through comments that span lines.
    fn skip_directive(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                '\n' => return,
                '\\' => {
                    self.bump();
                    self.over_newline();
                }
                '/' if self.rest().starts_with("/*") => self.skip_block_comment(),
                '/' if self.rest().starts_with("//") => self.skip_line(),
                '"' | '\'' => self.skip_quoted_in_line(c),
                _ => {
                    self.bump();
                }
            }
        }
    }

    /// A quoted text that ends with the line at the latest: a directive's may be anything (`#error don't`).
    fn skip_quoted_in_line(&mut self, quote: char) {
        let line = self.rest().split('\n').next().unwrap_or_default();
        let mut escaped = false;
        for (at, c) in line.char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if c == quote => {
                    self.skip(at + 1);
                    return;
                }
                _ => {}
            }
        }
        self.bump();
    }

    fn skip_quoted(&mut self, quote: char) {
        self.bump();
        while let Some(c) = self.peek() {
            match c {
                // An open string ends with its line: the compiler will say so.
                '\n' => return,
                '\\' => {
                    self.bump();
                    if self.rest().starts_with("\r\n") {
                        self.skip(2);
                    } else {
                        self.bump();
                    }
                }
                _ => {
                    self.bump();
                    if c == quote {
                        return;
                    }
                }
            }
        }
    }

    /// `"delimiter(...)delimiter"`, from its quote.
    fn skip_raw(&mut self) {
        let Some(open) = self.rest().find('(') else { return self.skip_quoted('"') };
        let delimiter = &self.rest()[1..open];
        if delimiter.len() > 16 || delimiter.contains([' ', ')', '\\', '"', '\n']) {
            return self.skip_quoted('"');
        }
        let close = format!("){delimiter}\"");
        let end = self.rest().find(&close).map_or(self.rest().len(), |end| end + close.len());
        self.skip(end);
    }

    fn skip_number(&mut self) {
        let mut last = ' ';
        while let Some(c) = self.peek() {
            let next_is_digit = || self.rest()[1..].starts_with(|c: char| c.is_ascii_alphanumeric());
            let part = c.is_alphanumeric()
                || c == '.'
                || c == '_'
                || (c == '\'' && next_is_digit())
                || (matches!(c, '+' | '-') && matches!(last, 'e' | 'E' | 'p' | 'P'));
            if !part {
                return;
            }
            last = c;
            self.bump();
        }
    }
}

fn starts_word(c: char) -> bool {
    c.is_alphabetic() || c == '_' || c == '$'
}

/// Cuts `source`. Never fails: what is not C++ is the compiler's to refuse.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut cursor = Cursor { source, at: 0, line: 1 };
    let mut tokens = Vec::new();
    // Only blanks and comments so far on this line: a `#` begins a directive.
    let mut fresh = true;
    while let Some(c) = cursor.peek() {
        let (start, line) = (cursor.at, cursor.line);
        let rest = cursor.rest();
        let kind = if c == '\n' {
            fresh = true;
            cursor.bump();
            continue;
        } else if c.is_whitespace() || c == '\\' {
            cursor.bump();
            continue;
        } else if rest.starts_with("//") {
            cursor.skip_line();
            continue;
        } else if rest.starts_with("/*") {
            cursor.skip_block_comment();
            continue;
        } else if c == '#' && fresh {
            cursor.skip_directive();
            Kind::Directive
        } else if c == '"' || c == '\'' {
            cursor.skip_quoted(c);
            Kind::Literal
        } else if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            cursor.skip_number();
            Kind::Number
        } else if starts_word(c) {
            cursor.skip_while(|c| starts_word(c) || c.is_numeric());
            let word = &source[start..cursor.at];
            match (word, cursor.peek()) {
                ("R" | "LR" | "uR" | "UR" | "u8R", Some('"')) => {
                    cursor.skip_raw();
                    Kind::Literal
                }
                ("L" | "u" | "U" | "u8", Some(quote @ ('"' | '\''))) => {
                    cursor.skip_quoted(quote);
                    Kind::Literal
                }
                _ => Kind::Word,
            }
        } else {
            let both = rest.starts_with("::") || rest.starts_with("->");
            cursor.skip(if both { 2 } else { c.len_utf8() });
            Kind::Punct
        };
        fresh = false;
        tokens.push(Token { kind, span: start..cursor.at, line });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, expect: &[&str]) {
        let tokens = tokens(source);
        let texts: Vec<_> = tokens.iter().map(|token| token.text(source)).collect();
        assert_eq!(texts, expect);
    }

    #[test]
    fn cuts() {
        check("int x = 1'000; // c\n", &["int", "x", "=", "1'000", ";"]);
        check("a::b->c /* } */ {", &["a", "::", "b", "->", "c", "{"]);
        check(r#"f("a\"}", '}', '\'')"#, &["f", "(", r#""a\"}""#, ",", "'}'", ",", r"'\''", ")"]);
        check("R\"x({ \" )\" )x\" y", &["R\"x({ \" )\" )x\"", "y"]);
        check("#define A {\\\n }\nint", &["#define A {\\\n }", "int"]);
        check("  # if 1 // don't\nx", &["# if 1 // don't", "x"]);
        check("#error don't {\nx", &["#error don't {", "x"]);
        check("#define Q '\"'\nx", &["#define Q '\"'", "x"]);
        check("/* a */ #define B /* over\nlines */ 1\nx", &["#define B /* over\nlines */ 1", "x"]);
        check("// joined \\\n still\nx", &["x"]);
        check("a # b", &["a", "#", "b"]);
        check("1.5e-3f .5 0x1F+2", &["1.5e-3f", ".5", "0x1F", "+", "2"]);
        check("\"open\nx", &["\"open", "x"]);
        check("L\"w\" u8R\"(r)\"", &["L\"w\"", "u8R\"(r)\""]);
    }

    #[test]
    fn counts_lines() {
        let source = "a\n/* \n */ b\nR\"(\n\n)\" c\\\nd";
        let lines: Vec<_> = tokens(source).iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 3, 4, 6, 7]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(source in "[a-cR\"'(){}#/*\\\\ \\n0-1.é]{0,40}") {
            let tokens = tokens(&source);
            for pair in tokens.windows(2) {
                proptest::prop_assert!(pair[0].span.end <= pair[1].span.start);
            }
        }
    }
}
