//! What the preprocessor skips whatever is defined: it need not even be cut into tokens.

use std::borrow::Cow;

/// A group of lines between `#if` and `#endif`.
struct Group {
    /// The group around it is skipped, and so is all of it.
    is_within: bool,
    /// The branch is skipped.
    is_dead: bool,
    /// A branch before it is taken for sure.
    is_taken: bool,
}

/// The source with spaces for what stands in branches of `#if 0`, and behind those of `#if 1`; all else is where it was. A source
/// whose groups do not end is as it was.
pub(crate) fn without_dead(source: &str) -> Cow<'_, str> {
    if !source.contains('#') {
        return Cow::Borrowed(source);
    }
    let mut live = String::with_capacity(source.len());
    let mut groups: Vec<Group> = Vec::new();
    for line in source.split_inclusive('\n') {
        let is_dead = groups.last().is_some_and(|group| group.is_within || group.is_dead);
        let mut is_shown = !is_dead;
        if let Some((name, rest)) = directive(line) {
            let value = constant(rest);
            match (name, groups.last_mut()) {
                ("if" | "ifdef" | "ifndef", _) => {
                    let value = value.filter(|_| name == "if");
                    groups.push(Group {
                        is_within: is_dead,
                        is_dead: value == Some(false),
                        is_taken: value == Some(true),
                    });
                }
                ("elif" | "elifdef" | "elifndef" | "else", Some(group)) => {
                    let value = value.filter(|_| name == "elif");
                    group.is_dead = group.is_taken || value == Some(false);
                    group.is_taken |= value == Some(true);
                    is_shown = !group.is_within;
                }
                ("endif", Some(group)) => {
                    is_shown = !group.is_within;
                    groups.pop();
                }
                _ => {}
            }
        }
        if is_shown {
            live.push_str(line);
        } else {
            // As many bytes: what is found later is where it was.
            live.extend(line.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        }
    }
    if groups.is_empty() { Cow::Owned(live) } else { Cow::Borrowed(source) }
}

/// A directive's name, and what stands behind it.
fn directive(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start().strip_prefix('#')?.trim_start();
    let end = line.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(line.len());
    Some(line.split_at(end))
}

/// The value of a condition that is a number.
fn constant(condition: &str) -> Option<bool> {
    let condition = condition.split("//").next()?.split("/*").next()?.trim();
    condition.parse::<u64>().ok().map(|number| number != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, live: &str) {
        assert_eq!(without_dead(source), live);
    }

    #[test]
    fn what_is_skipped_for_sure() {
        check("#if 0\ndon't {\n#endif\na", "#if 0\n       \n#endif\na");
        check("#if 0 // old\nü\n#else\nb\n#endif\n", "#if 0 // old\n  \n#else\nb\n#endif\n");
        check(" # if 1\na\n#elif X\nb\n#else\nc\n#endif\n", " # if 1\na\n#elif X\n \n#else\n \n#endif\n");
        check(
            "#if 0\n#ifdef X\na\n#else\nb\n#endif\nc\n#endif\n",
            "#if 0\n        \n \n     \n \n      \n \n#endif\n",
        );
        check("#if X\na\n#elif 0\nb\n#elif Y\nc\n#endif\n", "#if X\na\n#elif 0\n \n#elif Y\nc\n#endif\n");
    }

    #[test]
    fn what_may_be_read_stays() {
        for source in [
            "int a;\n",
            "#ifdef X\ndon't\n#endif\n",
            "#if 0 + X\na\n#endif\n",
            "#if 0\na\n",
            "#endif\n#else\n",
        ] {
            check(source, source);
        }
    }
}
