//! A recipe's command line, cut into arguments.

/// Cuts a command line as Arduino's recipes are written: blanks separate, a pair of `"` or `'` holds together what is
/// between, and there is no escape character.
#[must_use]
pub fn split_command(line: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut current: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => current.get_or_insert_default().push(c),
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                current.get_or_insert_default();
            }
            None if c.is_whitespace() => arguments.extend(current.take()),
            None => current.get_or_insert_default().push(c),
        }
    }
    arguments.extend(current);
    arguments
}

#[cfg(test)]
mod tests {
    use super::split_command;

    #[test]
    fn cuts_as_recipes_are_written() {
        #[track_caller]
        fn check(line: &str, expect: &[&str]) {
            assert_eq!(split_command(line), expect, "{line}");
        }
        check("a  b\tc", &["a", "b", "c"]);
        check(r#""/opt/my tools/gcc" -c "x y.c" -o"z""#, &["/opt/my tools/gcc", "-c", "x y.c", "-oz"]);
        check(
            r#"-DUSB_PID=0x8036 '-DUSB_PRODUCT="Arduino Leonardo"'"#,
            &["-DUSB_PID=0x8036", r#"-DUSB_PRODUCT="Arduino Leonardo""#],
        );
        check(r#"a "" b"#, &["a", "", "b"]);
        check(r"a\ b", &[r"a\", "b"]);
        check("", &[]);
        check(r#"open "end"#, &["open", "end"]);
    }
}
