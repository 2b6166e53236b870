//! Passwords in addresses: what people and their logs read names none.

/// What stands for one.
const HIDDEN: &str = "***";

/// A text with no password in any address that it names: `https://user:***@host/`. What stands alone before the host of a
/// web address is a token, and hidden as well; `git@` and the like are names.
pub(crate) fn without_passwords(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    let mut is_web = is_web_scheme(&shown);
    for part in parts {
        shown.push_str("://");
        // RFC 3986, section 3.2: the authority ends at the first of these; quotes and blanks end an address in a sentence.
        let end = part.find(|c: char| "/?#\"'`<>".contains(c) || c.is_whitespace()).unwrap_or(part.len());
        let user = part[..end].rfind('@').map(|at| &part[..at]);
        match user.map(|user| (user.split_once(':'), user)) {
            Some((Some((name, _password)), user)) => {
                shown.extend([name, ":", HIDDEN, &part[user.len()..]]);
            }
            Some((None, user)) if is_web && !user.is_empty() => {
                shown.extend([HIDDEN, &part[user.len()..]]);
            }
            _ => shown.push_str(part),
        }
        is_web = is_web_scheme(part);
    }
    shown
}

fn is_web_scheme(before: &str) -> bool {
    let before = before.to_ascii_lowercase();
    before.ends_with("http") || before.ends_with("https")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_left_and_all_else_is() {
        for (text, shown) in [
            ("no address: a@b", "no address: a@b"),
            ("https://host/x@y:1", "https://host/x@y:1"),
            (
                "fetch \"https://me:pa@ss@host:8080/a.tar\" failed",
                "fetch \"https://me:***@host:8080/a.tar\" failed",
            ),
            ("git+https://token@host/r.git#main", "git+https://***@host/r.git#main"),
            (
                "from ssh://git@host/r or HTTP://u:p@h, in turn",
                "from ssh://git@host/r or HTTP://u:***@h, in turn",
            ),
            ("https://:p@h ftp://u:p@h", "https://:***@h ftp://u:***@h"),
            ("://", "://"),
            ("x://é:ü@h", "x://é:***@h"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }
}
