//! What apt's complaints mean. Pure: it is run with `LC_ALL=C`, so its words are known.

/// What a failure of apt comes down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The archive is out of reach.
    Offline,
    /// The index names a file that the archive no longer has.
    Gone,
    /// There is no such package in the configured sources.
    NotThere,
    /// The disk is full.
    Full,
    /// Anything else.
    Other,
}

const FULL: &[&str] = &["No space left on device", "enough free space in", "Disk quota exceeded"];
const GONE: &[&str] =
    &["404  Not Found", "404 Not Found", "File not found", "File has unexpected size", "Hash Sum mismatch"];
const NOT_THERE: &[&str] = &[
    "Unable to locate package",
    "has no installation candidate",
    "Couldn't find any package",
    "was not found",
];
const OFFLINE: &[&str] = &[
    "Could not connect",
    "Unable to connect",
    "Could not resolve",
    "Temporary failure resolving",
    "Something wicked happened resolving",
    "Network is unreachable",
    "Connection refused",
    "Connection timed out",
    "Connection failed",
    "Could not handshake",
    "Failed to fetch",
];

/// What the words mean. The disk comes first: where it is full, fetching fails too.
pub(crate) fn cause(words: &str) -> Cause {
    let says = |any: &[&str]| any.iter().any(|phrase| words.contains(phrase));
    if says(FULL) {
        Cause::Full
    } else if says(GONE) {
        Cause::Gone
    } else if says(OFFLINE) {
        Cause::Offline
    } else if says(NOT_THERE) {
        Cause::NotThere
    } else {
        Cause::Other
    }
}

/// This many of apt's lines are shown: one unreachable archive says the same of each of its files.
const LINES_MAX: usize = 6;

/// The lines that a person wants: errors and warnings, each once.
pub(crate) fn complaints(words: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in words.lines().map(str::trim) {
        let complains = ["E: ", "W: ", "Err:", "dpkg-deb: "].iter().any(|start| line.starts_with(start));
        if complains && !lines.iter().any(|seen| seen == line) {
            lines.push(line.to_owned());
        }
    }
    if lines.is_empty() {
        lines.extend(words.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned));
    }
    lines.truncate(LINES_MAX);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_apt_means() {
        for (words, expect) in [
            ("E: Unable to locate package gcc-avr", Cause::NotThere),
            ("E: Package 'gcc-avr' has no installation candidate", Cause::NotThere),
            ("E: Version '9' for 'gcc-avr' was not found", Cause::NotThere),
            (
                "W: Failed to fetch http://x/InRelease  Temporary failure resolving 'x'\nW: Some index files failed",
                Cause::Offline,
            ),
            (
                "E: Failed to fetch http://127.0.0.1:1/x  Could not connect to 127.0.0.1:1 (127.0.0.1). - connect (111: Connection refused)",
                Cause::Offline,
            ),
            ("E: Failed to fetch http://x/a.deb  404  Not Found [IP: 1.2.3.4 80]", Cause::Gone),
            (
                "E: Failed to fetch http://x/a.deb  Write error - write (28: No space left on device)",
                Cause::Full,
            ),
            ("E: You don't have enough free space in /x/.", Cause::Full),
            ("E: dpkg was interrupted", Cause::Other),
        ] {
            assert_eq!(cause(words), expect, "{words}");
        }
    }

    #[test]
    fn tells_each_complaint_once() {
        let words = "Ign:1 http://x\nErr:1 http://x\n  Could not resolve\nW: a\nW: a\nE: b\n";
        assert_eq!(complaints(words), ["Err:1 http://x", "W: a", "E: b"]);
        assert_eq!(complaints("odd\n\n"), ["odd"]);
        assert_eq!(complaints(""), [""; 0]);
    }
}
