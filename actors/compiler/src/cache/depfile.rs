//! What a compiler says that it read: a rule for make.

/// The prerequisites in a depfile, as written.
#[must_use]
pub(crate) fn prerequisites(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut targets_over = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.peek() {
                Some('\n') => {
                    chars.next();
                    words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                }
                Some('\r') => {}
                Some(&escaped @ (' ' | '#' | '\\' | ':')) => {
                    chars.next();
                    word.push(escaped);
                }
                _ => word.push('\\'),
            },
            '$' if chars.peek() == Some(&'$') => {
                chars.next();
                word.push('$');
            }
            ':' if !targets_over && chars.peek().is_none_or(|next| next.is_whitespace()) => {
                targets_over = true;
                word.clear();
                words.clear();
            }
            // Only the first rule: what `-MP` adds are rules without prerequisites.
            '\n' if targets_over => break,
            c if c.is_whitespace() => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            c => word.push(c),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    if targets_over { words } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::prerequisites;

    #[test]
    fn reads_what_gcc_writes() {
        #[track_caller]
        fn check(text: &str, expect: &[&str]) {
            assert_eq!(prerequisites(text), expect, "{text:?}");
        }
        check("x.o: x.cpp \\\n /a/b.h c.h\n", &["x.cpp", "/a/b.h", "c.h"]);
        check("x.o: my\\ file.c a\\#b.h c$$d.h\n", &["my file.c", "a#b.h", "c$d.h"]);
        check("x.o: x.c a.h\n\na.h:\n", &["x.c", "a.h"]);
        check("a b.o: x.c", &["x.c"]);
        check("x.o: \\\n  x.c", &["x.c"]);
        check("", &[]);
        check("x.o", &[]);
    }
}
