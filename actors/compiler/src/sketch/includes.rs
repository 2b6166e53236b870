//! Which headers a source names. Both branches of every condition count: a library too many costs a little, one too
//! few does not build.

use serde::{Deserialize, Serialize};

use super::directives::Directive;

/// A header that a source names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Include {
    /// As written, without its quotes: `SPI.h`.
    pub(crate) name: String,
    /// Written with `"`: looked for beside the source first.
    pub(crate) quoted: bool,
}

/// The headers that a source names, in order.
pub(crate) fn includes(all: &[Directive]) -> impl Iterator<Item = &Include> {
    all.iter().filter_map(|directive| directive.include.as_ref())
}

pub(super) fn include(directive: &str) -> Option<Include> {
    let rest = directive.strip_prefix('#')?.trim_start();
    let rest = rest.strip_prefix("include_next").or_else(|| rest.strip_prefix("include"))?.trim_start();
    let (close, quoted) = match rest.chars().next()? {
        '<' => ('>', false),
        '"' => ('"', true),
        _ => return None,
    };
    let name = rest[1..].split(close).next()?;
    Some(Include { name: name.trim().to_owned(), quoted })
}

#[cfg(test)]
mod tests {
    use super::super::directives::directives;
    use super::*;

    #[test]
    fn reads_directives_only() {
        let source = "\
// #include <No.h>
/* #include <No.h> */
#include <SPI.h> // yes
 #  include \"a/b.h\"
#if 0
#include <Wire.h>
#endif
const char *s = \"\\
#include <No.h>\";
#define X 1
#include X
";
        let all = directives(source);
        let names: Vec<_> = includes(&all).map(|i| (&*i.name, i.quoted)).collect();
        assert_eq!(names, [("SPI.h", false), ("a/b.h", true), ("Wire.h", false)]);
    }
}
