//! Keys and values, in the order of the file.

use std::collections::HashMap;

/// How deep `{a}` may lead to `{b}`: real cores need five; a cycle ends here.
const EXPANSIONS_MAX: usize = 32;
/// How long an expanded value may become, in bytes: a cycle that doubles ends here. Real command lines have 2,000.
const EXPANDED_BYTES_MAX: usize = 64 << 10;

/// Keys and values. A later line wins, and keeps the earlier one's place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    entries: Vec<(String, String)>,
    places: HashMap<String, usize>,
}

impl Table {
    /// Reads a file's text. What is not `key=value` is a comment or nothing.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut table = Self::default();
        let mut linux = Vec::new();
        for line in text.trim_start_matches('\u{feff}').lines() {
            let line = line.trim();
            if line.starts_with('#') {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else { continue };
            let (key, value) = (key.trim(), value.trim());
            match key.strip_suffix(".linux") {
                Some(key) => linux.push((key, value)),
                None => table.set(key, value),
            }
        }
        for (key, value) in linux {
            table.set(key, value);
        }
        table
    }

    /// Sets a value.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        match self.places.get(key) {
            Some(&place) => self.entries[place].1 = value.into(),
            None => {
                self.places.insert(key.to_owned(), self.entries.len());
                self.entries.push((key.to_owned(), value.into()));
            }
        }
    }

    /// Sets all of `other`'s values.
    pub fn extend(&mut self, other: &Self) {
        for (key, value) in &other.entries {
            self.set(key, value.clone());
        }
    }

    /// The value as it stands.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.places.get(key).map(|&place| self.entries[place].1.as_str())
    }

    /// The value with all `{key}` in it expanded.
    #[must_use]
    pub fn expanded(&self, key: &str) -> Option<String> {
        self.get(key).map(|value| self.expand(value))
    }

    /// `text` with each `{key}` that there is replaced. What is no key is left as it stands: `{` is also C's.
    #[must_use]
    pub fn expand(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for _ in 0..EXPANSIONS_MAX {
            let (next, changed) = self.expand_once(&text);
            text = next;
            if !changed || text.len() > EXPANDED_BYTES_MAX {
                break;
            }
        }
        text
    }

    fn expand_once(&self, text: &str) -> (String, bool) {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut changed = false;
        while let Some(open) = rest.find('{') {
            out.push_str(&rest[..open]);
            rest = &rest[open..];
            let inside = rest.find('}').map(|close| &rest[1..close]);
            match inside.and_then(|key| Some((key, self.get(key)?))) {
                Some((key, value)) => {
                    out.push_str(value);
                    rest = &rest[key.len() + 2..];
                    changed = true;
                }
                None => {
                    out.push('{');
                    rest = &rest[1..];
                }
            }
        }
        out.push_str(rest);
        (out, changed)
    }

    /// All keys and values below `prefix.`, with it taken off, in order.
    #[must_use]
    pub fn below(&self, prefix: &str) -> Self {
        let mut table = Self::default();
        for (key, value) in &self.entries {
            if let Some(rest) = key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')) {
                table.set(rest, value.clone());
            }
        }
        table
    }

    /// The first parts of all keys, each once, in order.
    #[must_use]
    pub fn heads(&self) -> Vec<&str> {
        let mut heads: Vec<&str> = Vec::new();
        for (key, _) in &self.entries {
            let head = key.split('.').next().unwrap_or(key);
            if heads.last() != Some(&head) && !heads.contains(&head) {
                heads.push(head);
            }
        }
        heads
    }

    /// Keys and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment
a.cmd=avr-gcc
a.path = /usr/bin/
a.path.linux=/opt/
pattern=\"{a.path}{a.cmd}\" {flags} {no.such} -DX={1,2}
flags=-Os {more}
more=-Wall -DA=B
loop=x{loop}
nonsense
=empty
";

    #[test]
    fn reads_and_expands() {
        let table = Table::parse(TEXT);
        assert_eq!(
            table.expanded("pattern").as_deref(),
            Some("\"/opt/avr-gcc\" -Os -Wall -DA=B {no.such} -DX={1,2}")
        );
        assert_eq!(table.get("nonsense"), None);
    }

    #[test]
    fn a_cycle_ends() {
        let table = Table::parse(TEXT);
        assert!(table.expanded("loop").is_some_and(|text| text.starts_with("xxx")));
    }

    #[test]
    fn a_part_of_it() {
        let table = Table::parse(TEXT);
        let part = table.below("a");
        assert_eq!(part.iter().collect::<Vec<_>>(), [("cmd", "avr-gcc"), ("path", "/opt/")]);
        assert_eq!(table.heads(), ["a", "pattern", "flags", "more", "loop", ""]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[a-c{}=.\\n# ]{0,60}") {
            let table = Table::parse(&text);
            for (key, _) in table.iter() {
                let _expanded = table.expanded(key);
            }
        }
    }
}
