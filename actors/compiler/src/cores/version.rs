//! Versions of cores and tools, in order: most are semantic, some are dates or whatever their vendor liked.

use std::cmp::Ordering;

/// A version, to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    numbers: Vec<u64>,
    /// What is behind a `-`; without one it is newer (Semantic Versioning 2.0.0, 11).
    rest: Option<String>,
}

impl Version {
    pub(crate) fn of(text: &str) -> Self {
        let text = text.split('+').next().unwrap_or(text);
        let (numbers, rest) = match text.split_once('-') {
            Some((numbers, rest)) => (numbers, Some(rest.to_owned())),
            None => (text, None),
        };
        let digits = |part: &str| {
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse().unwrap_or(0)
        };
        Self { numbers: numbers.split('.').map(digits).collect(), rest }
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (&self.rest, &other.rest) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(one), Some(other)) => one.cmp(other),
        })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn in_order() {
        let order = ["", "0.9", "1.0.0-rc1", "1.0.0-rc2", "1.0.0", "1.0.1+b3", "1.2", "1.10", "10.2.1-1.1"];
        for pair in order.windows(2) {
            assert!(Version::of(pair[0]) < Version::of(pair[1]), "{pair:?}");
        }
    }
}
