//! The names in a project's folders: which of them a compiler could find first.

use std::path::Path;

use super::library::is_header;
use crate::cache::{Hash, Hasher};

/// What only a compiler's own files end in that it takes without being told: headers compiled before, and maps of modules.
const TAKEN: &[&str] = &["gch", "pch", "modulemap"];

/// A hash over all names, and one over those that headers have.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    all: Hasher,
    headers: Hasher,
}

/// What came of a [`Listing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Listed {
    /// Of all names.
    pub(crate) all: Hash,
    /// Of the names of folders, and of files that count before it is known what a source takes in.
    pub(crate) headers: Hash,
}

impl Listing {
    /// Over nothing yet; `purpose` keeps apart what is hashed for different ends.
    pub(crate) fn new(purpose: &str) -> Self {
        Self { all: Hasher::new(purpose), headers: Hasher::new(purpose) }
    }

    /// Adds the names in a folder; a folder's end with `/`.
    #[must_use]
    pub(crate) fn names(self, below: &str, names: &[String]) -> Self {
        let headers: Vec<&str> = names.iter().map(String::as_str).filter(|name| is_taken_in(name)).collect();
        Self {
            all: self.all.part(below).part(names.join("\n")),
            headers: self.headers.part(below).part(headers.join("\n")),
        }
    }

    /// Adds others.
    #[must_use]
    pub(crate) fn with(self, other: Listed) -> Self {
        Self { all: self.all.part(other.all), headers: self.headers.part(other.headers) }
    }

    pub(crate) fn finish(self) -> Listed {
        Listed { all: self.all.finish(), headers: self.headers.finish() }
    }
}

/// Whether a file of this name, or one in this folder, may change what comes of any source: that it is there may be asked by a header
/// of the system's (`__has_include`), which no list of a compiler's tells. One of another name, such as `notes.md` or `table.dat`,
/// does so only where a source takes in a file of just that name, and that is in the list.
pub(crate) fn is_taken_in(name: &str) -> bool {
    let path = Path::new(name);
    let end = path.extension().and_then(|end| end.to_str());
    name.ends_with('/') || is_header(path) || end.is_none_or(|end| TAKEN.contains(&end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(names: &[&str]) -> Listed {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        Listing::new("test").names("", &names).finish()
    }

    #[test]
    fn what_may_be_found_first() {
        let before = listed(&["main.cpp"]);
        for name in ["a.h", "a.HPP.h", "vector", "a.tcc", "a.h.gch", "module.modulemap", "sub/"] {
            assert!(is_taken_in(name), "{name}");
            assert_ne!(listed(&["main.cpp", name]).headers, before.headers, "{name}");
        }
        for name in ["notes.md", "main.c~", "b.cpp", "table.dat", "build.log"] {
            assert!(!is_taken_in(name), "{name}");
            let now = listed(&["main.cpp", name]);
            assert_eq!((now.headers, now.all == before.all), (before.headers, false), "{name}");
        }
    }
}
