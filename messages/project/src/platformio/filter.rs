//! `build_src_filter`: which files of a folder are compiled (PlatformIO documentation, "build_src_filter").

use glob::{MatchOptions, Pattern};

/// As Python's `glob` matches.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// What is added and taken away, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    steps: Vec<(bool, Pattern)>,
}

impl Filter {
    /// Reads `+<...> -<...>`; what is none of that says nothing.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut steps = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('<') {
            let sign = rest[..open].chars().next_back();
            let Some(len) = rest[open..].find('>') else { break };
            let inner = as_glob(&rest[open + 1..open + len]);
            let add = match sign {
                Some('+') => Some(true),
                Some('-') => Some(false),
                _ => None,
            };
            // What is no pattern matches nothing.
            if let (Some(add), Ok(pattern)) = (add, Pattern::new(&inner)) {
                steps.push((add, pattern));
            }
            rest = &rest[open + len + 1..];
        }
        Self { steps }
    }

    /// Whether a file counts. `path` is told from the folder, with `/`: `../` in front of it leads out.
    #[must_use]
    pub fn keeps(&self, path: &str) -> bool {
        let matches = |pattern: &Pattern| {
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            ends.map(|end| &path[..end]).any(|part| pattern.matches_with(part, OPTIONS))
        };
        let last = self.steps.iter().rev().find(|(_, pattern)| matches(pattern));
        last.is_some_and(|(add, _)| *add)
    }

    /// Folders out of the one that it is of, in which files are looked for: `../shared`.
    #[must_use]
    pub fn folders_outside(&self) -> Vec<String> {
        let outside = |pattern: &Pattern| {
            let literal = |part: &&str| !part.contains(['*', '?', '[']);
            let parts: Vec<_> = pattern.as_str().split('/').collect();
            let folder: Vec<_> = parts.iter().take_while(|part| literal(part)).copied().collect();
            // A pattern without a wildcard may be a file.
            let len = if folder.len() == parts.len() { folder.len().saturating_sub(1) } else { folder.len() };
            (folder.first() == Some(&"..")).then(|| folder[..len.max(1)].join("/"))
        };
        let mut folders: Vec<_> =
            self.steps.iter().filter(|(add, _)| *add).filter_map(|(_, pattern)| outside(pattern)).collect();
        folders.sort();
        folders.dedup();
        folders
    }
}

/// In Python a `**` that is not all of a name is a `*`, and PlatformIO reads `\\` as `/`.
fn as_glob(text: &str) -> String {
    let text = text.replace('\\', "/");
    let one = |name: &str| -> String {
        if name == "**" {
            return name.to_owned();
        }
        let mut last = None;
        name.chars().filter(|&char| last.replace(char) != Some('*') || char != '*').collect()
    };
    text.trim_end_matches('/').split('/').map(one).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_that_matches_says() {
        let filter = Filter::parse("+<*> -<.git/> -<test/> +<test/keep.c> -<*.tmp.c>");
        for (path, keeps) in [
            ("main.c", true),
            ("a/b/main.c", true),
            ("test/x.c", false),
            ("test/keep.c", true),
            ("x.tmp.c", false),
            ("a/x.tmp.c", true),
            (".hidden.c", false),
            (".git/x.c", false),
        ] {
            assert_eq!(filter.keeps(path), keeps, "{path}");
        }
        let filter = Filter::parse("-<*> +<boards/**/x?.c> +<../shared/*.c> +<../one.c>");
        assert!(filter.keeps("boards/a/b/x1.c") && filter.keeps("boards/x2.c") && !filter.keeps("main.c"));
        assert!(filter.keeps("../shared/a.c") && !filter.keeps("../other/a.c"));
        assert_eq!(filter.folders_outside(), ["..", "../shared"]);
    }

    #[test]
    fn stars_and_strokes() {
        let filter = Filter::parse(r"+<**.c> +<drivers\**\x**y.cpp> +<a/***/b.c>");
        for (path, keeps) in [
            ("main.c", true),
            ("deep/main.c", false),
            ("drivers/a/b/x1y.cpp", true),
            ("drivers/a/b/x1z.cpp", false),
            ("a/q/b.c", true),
            ("a/q/r/b.c", false),
        ] {
            assert_eq!(filter.keeps(path), keeps, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[-+<>*./a\\[]{0,40}", path in "[a./]{0,10}") {
            let filter = Filter::parse(&text);
            let _keeps = (filter.keeps(&path), filter.folders_outside());
        }
    }
}
