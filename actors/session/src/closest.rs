//! The line that came closest to what was expected: what a person wants to see first when it was not seen.

use strsim::normalized_levenshtein;

/// A longer line is compared by its beginning, in characters.
const LINE_CHARS_MAX: usize = 256;
/// Less alike than this is not worth showing: half of the characters differ.
const ALIKE_MIN: f64 = 0.5;

/// A line, and when its end came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) text: String,
    /// Of the monotonic clock, in microseconds.
    pub(crate) mono_us: u64,
    alike: f64,
}

/// Watches lines for the one that is closest to a pattern.
#[derive(Debug, Clone, Default)]
pub(crate) struct Closest {
    wanted: String,
    rest: Vec<u8>,
    rest_us: u64,
    best: Option<Line>,
}

impl Closest {
    /// From now on it is this pattern.
    pub(crate) fn look_for(&mut self, pattern: &str) {
        // What a regular expression says beside its letters is not in the output.
        self.wanted = pattern.chars().filter(|c| !"\\^$()".contains(*c)).collect();
        self.best = None;
    }

    /// What came, and when.
    pub(crate) fn push(&mut self, bytes: &[u8], mono_us: u64) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = (4 * LINE_CHARS_MAX).saturating_sub(self.rest.len());
            self.rest.extend_from_slice(&piece[..piece.len().min(room)]);
            self.rest_us = mono_us;
            if piece.ends_with(b"\n") {
                self.judge_rest();
                self.rest.clear();
            }
        }
    }

    fn judge_rest(&mut self) {
        let text = String::from_utf8_lossy(&self.rest);
        let text: String = text.trim().chars().take(LINE_CHARS_MAX).collect();
        if text.is_empty() || self.wanted.is_empty() {
            return;
        }
        let alike = normalized_levenshtein(&self.wanted, &text);
        // Of two that are as close, the later: it is nearer to where the reader will look.
        if alike >= ALIKE_MIN && self.best.as_ref().is_none_or(|best| alike >= best.alike) {
            self.best = Some(Line { text, mono_us: self.rest_us, alike });
        }
    }

    /// The closest, one that has no end included.
    pub(crate) fn best(&mut self) -> Option<&Line> {
        self.judge_rest();
        self.best.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_line_wins_and_noise_is_not_shown() {
        let mut closest = Closest::default();
        closest.look_for("^blink 3$");
        closest.push(b"hello world\r\nblink 1\nblim", 1);
        closest.push(b"k 3\r\nsomething else\n", 2);
        assert_eq!(closest.best().map(|line| (line.text.as_str(), line.mono_us)), Some(("blimk 3", 2)));
        closest.look_for("zzzz");
        assert_eq!(closest.best(), None);
    }

    #[test]
    fn a_line_without_an_end_counts_and_is_bounded() {
        let mut closest = Closest::default();
        closest.look_for("login:");
        closest.push(b"logon: ", 1);
        assert_eq!(closest.best().map(|line| line.text.as_str()), Some("logon:"));
        closest.push(&vec![b'x'; 1 << 20], 2);
        assert!(closest.rest.len() <= 4 * LINE_CHARS_MAX);
    }
}
