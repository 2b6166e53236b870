//! Names in flags that PlatformIO's build system replaces (SCons, "Variable Substitution"; PlatformIO's documentation, `build_flags`,
//! "Dynamic build flags" and "Built-in variables"), which comes after `${section.option}` of the file itself.

/// A value of flags with what its names stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Substituted {
    /// The flags, quoted as they were.
    pub text: String,
    /// Names that stand for nothing: they are left as they are.
    pub unknown: Vec<String>,
}

/// Replaces `$NAME` and `${NAME}`; `$$` is `$`. A value is one word, or a part of one, whatever is in it.
pub fn substituted(text: &str, value: impl Fn(&str) -> Option<String>) -> Substituted {
    let (mut out, mut unknown) = (String::new(), Vec::new());
    let (mut rest, mut quote) = (text, None);
    while let Some(c) = rest.chars().next() {
        if c == '\\' && quote != Some('\'') && !rest[1..].starts_with('$') {
            let length = rest.chars().take(2).map(char::len_utf8).sum();
            out.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        // Quotes are gone when it looks for names: an escaped `$` is one as well.
        let at = if c == '\\' && quote != Some('\'') { &rest[1..] } else { rest };
        if let Some((name, whole)) = name_at(at) {
            let after = &at[whole.len()..];
            match name {
                "$" => out.push('$'),
                name => match value(name) {
                    Some(value) => out.push_str(&quoted(&value, quote)),
                    None => {
                        unknown.push(name.to_owned());
                        out.push_str(&rest[..rest.len() - after.len()]);
                    }
                },
            }
            rest = after;
            continue;
        }
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    Substituted { text: out, unknown }
}

/// The name that stands at the beginning of a text, and all that it is written with.
fn name_at(text: &str) -> Option<(&str, &str)> {
    let behind = text.strip_prefix('$')?;
    if behind.starts_with('$') {
        return Some(("$", &text[..2]));
    }
    let (open, close) = if behind.starts_with('{') { (1, 1) } else { (0, 0) };
    let inner = &behind[open..];
    let length = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
    let name = &inner[..length];
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_closed = close == 0 || inner[length..].starts_with('}');
    (is_name && is_closed).then(|| (name, &text[..1 + open + length + close]))
}

/// A value within quotes of that kind, or none.
fn quoted(value: &str, quote: Option<char>) -> String {
    let is_special = |c: char| match quote {
        None => !(c.is_alphanumeric() || "_-+./:=,@%".contains(c)),
        Some('"') => "\"\\$`".contains(c),
        Some(_) => false,
    };
    let mut out = String::new();
    for c in value.chars() {
        if is_special(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_their_values_in_any_quotes() {
        let value = |name: &str| match name {
            "PIOENV" => Some("one".to_owned()),
            "PROJECT_DIR" => Some("/my \"projects\"/it's".to_owned()),
            _ => None,
        };
        for (text, words) in [
            (r"-I$PROJECT_DIR/a -DX=1", vec!["-I/my \"projects\"/it's/a", "-DX=1"]),
            (r#"-I"${PROJECT_DIR}/b c""#, vec!["-I/my \"projects\"/it's/b c"]),
            (
                r#"-DN=\"$PIOENV\" '-DM="$PIOENV"' "-DO=\"$PIOENV\"""#,
                vec!["-DN=\"one\"", "-DM=\"one\"", "-DO=\"one\""],
            ),
            (r"$PIOENVX ${NONE} $PIOENV-x", vec!["$PIOENVX", "${NONE}", "one-x"]),
            (r"-Wl,-rpath,$$ORIGIN \$PIOENV", vec!["-Wl,-rpath,$ORIGIN", "one"]),
            (r"$ $1 ${a.b} ${", vec!["$", "$1", "${a.b}", "${"]),
            ("-DÄ=ö\\ ü$PIOENV", vec!["-DÄ=ö üone"]),
        ] {
            let found = substituted(text, value);
            assert_eq!(shlex::split(&found.text).unwrap(), words, "{text}");
        }
        assert_eq!(substituted("$PIOENVX $PIOENV ${NONE}", value).unknown, ["PIOENVX", "NONE"]);
        assert_eq!(substituted("\\$X", value).text, "\\$X");
    }
}
