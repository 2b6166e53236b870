//! A recipe's command line, cut into arguments.

/// Cuts a command line as Arduino's programs cut their recipes: at blanks; what begins with `"` or `'` goes on to the next word that
/// ends with the same, with all that is between. A quote within a word is the word's own (`-DNAME="x"` is a text to the compiler), there
/// is no escape character, and what is empty is left out. What is not closed goes on to the end.
#[must_use]
pub fn split_command(line: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut open: Option<(char, String)> = None;
    for word in line.split([' ', '\t']) {
        let (quote, mut argument, word) = match (open.take(), word.chars().next()) {
            (Some((quote, so_far)), _) => (quote, so_far + " ", word),
            (None, Some(quote @ ('"' | '\''))) => (quote, String::new(), &word[1..]),
            (None, _) => {
                arguments.extend((!word.is_empty()).then(|| word.to_owned()));
                continue;
            }
        };
        match word.strip_suffix(quote) {
            Some(last) => {
                argument.push_str(last);
                arguments.extend((!argument.trim().is_empty()).then_some(argument));
            }
            None => open = Some((quote, argument + word)),
        }
    }
    arguments.extend(open.map(|(_, argument)| argument));
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
        check(r#""/opt/my tools/gcc" -c "x y.c" "-oz""#, &["/opt/my tools/gcc", "-c", "x y.c", "-oz"]);
        check(
            r#"-DUSB_PID=0x8036 '-DUSB_PRODUCT="Arduino Leonardo"'"#,
            &["-DUSB_PID=0x8036", r#"-DUSB_PRODUCT="Arduino Leonardo""#],
        );
        check(r#"-DBOARD_NAME="GENERIC" -o"z""#, &[r#"-DBOARD_NAME="GENERIC""#, r#"-o"z""#]);
        check(
            r#"bash -c "[ ! -f "/s"/p.csv ] || cp "/s"/p.csv "/b"/p.csv""#,
            &["bash", "-c", r#"[ ! -f "/s"/p.csv ] || cp "/s"/p.csv "/b"/p.csv"#],
        );
        check(r#"bash -c ": > /b/opts""#, &["bash", "-c", ": > /b/opts"]);
        check(r#"a "" b"#, &["a", "b"]);
        check(r"a\ b", &[r"a\", "b"]);
        check("", &[]);
        check(r#"open "end of"#, &["open", "end of"]);
    }
}
