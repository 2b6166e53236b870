//! One value or several, and what stands in them for others.

/// The values of an option that may have several: a line each, or with `, ` between them. Of those of one line a comment may be
/// left, which stands behind a space.
pub(super) fn several(text: &str) -> Vec<String> {
    let split: Vec<&str> =
        if text.contains('\n') { text.split('\n').collect() } else { text.split(", ").collect() };
    let pieces =
        split.into_iter().map(str::trim).filter(|piece| !piece.is_empty() && !piece.starts_with([';', '#']));
    pieces.map(|piece| without_comment(piece).trim().to_owned()).collect()
}

fn without_comment(piece: &str) -> &str {
    let behind_a_space = |(at, _): &(usize, &str)| piece[..*at].ends_with(char::is_whitespace);
    piece.match_indices(';').find(behind_a_space).map_or(piece, |(at, _)| &piece[..at])
}

/// A piece of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    /// `${section.option}`, or `${variable}`.
    Reference {
        section: Option<&'a str>,
        option: &'a str,
        whole: &'a str,
    },
}

/// Cuts a value at what stands for others in it. What begins like that and does not end is text.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some(begin) = rest.find("${") {
        let Some(len) = rest[begin..].find('}').map(|end| end + 1) else { break };
        let whole = &rest[begin..begin + len];
        let inner = &whole[2..len - 1];
        if inner.is_empty() {
            pieces.push(Piece::Text(&rest[..begin + len]));
        } else {
            pieces.push(Piece::Text(&rest[..begin]));
            pieces.push(reference(whole, inner));
        }
        rest = &rest[begin + len..];
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| *piece != Piece::Text(""));
    pieces
}

fn reference<'a>(whole: &'a str, inner: &'a str) -> Piece<'a> {
    // A section's name has no dot in it, and an option's may.
    let named = |(section, option): &(&str, &str)| {
        !section.is_empty() && !section.contains(['(', ')']) && !option.is_empty()
    };
    match inner.split_once('.').filter(named) {
        Some((section, option)) => Piece::Reference { section: Some(section), option, whole },
        None => Piece::Reference { section: None, option: inner, whole },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_or_several() {
        assert_eq!(several("a, b,c"), ["a", "b,c"]);
        assert_eq!(several("\na, b\n; no\nc ; d\n#e\nf;g"), ["a, b", "c", "f;g"]);
        assert_eq!(several(""), [""; 0]);
    }

    #[test]
    fn what_stands_for_others() {
        let of = |section, option, whole| Piece::Reference { section, option, whole };
        assert_eq!(
            pieces("a ${env.x.y}b${UNIX_TIME} ${"),
            [
                Piece::Text("a "),
                of(Some("env"), "x.y", "${env.x.y}"),
                Piece::Text("b"),
                of(None, "UNIX_TIME", "${UNIX_TIME}"),
                Piece::Text(" ${"),
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn pieces_are_all_of_it(text in "[a.${}() ]{0,40}") {
            let all: String = pieces(&text).into_iter().map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Reference { whole, .. } => whole,
            }).collect();
            proptest::prop_assert_eq!(all, text);
        }
    }
}
