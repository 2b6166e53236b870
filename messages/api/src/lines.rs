//! Lines and UTF-8 are a reader's view of a recording's raw bytes.

use std::mem;

/// A line that has no end is shown in pieces of so many bytes: a device may never send a newline.
pub const LINE_BYTES_MAX: usize = 4096;

/// A piece of console output as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Without its end (`\n` or `\r\n`). Bytes that are not UTF-8 are shown as U+FFFD.
    pub text: String,
    /// It ended; otherwise it goes on in the next: a prompt, or a line beyond [`LINE_BYTES_MAX`].
    pub complete: bool,
}

/// Cuts chunks into lines, wherever the chunks are cut. It knows no clock: who shows a prompt asks with
/// [`LineView::flush`] when nothing came for a while.
#[derive(Debug, Clone, Default)]
pub struct LineView {
    /// What came since the last end of a line, less what was shown of it.
    rest: Vec<u8>,
}

impl LineView {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a chunk, and gives the lines that it completes.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut pieces = chunk.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            self.rest.extend_from_slice(piece);
            if pieces.peek().is_some() {
                self.cut_long(&mut lines);
                let mut line = mem::take(&mut self.rest);
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                lines.push(Line { text: String::from_utf8_lossy(&line).into_owned(), complete: true });
            }
        }
        self.cut_long(&mut lines);
        lines
    }

    /// What is there of a line that has not ended, once: a prompt. A character or a `\r` that may go on is kept
    /// back.
    pub fn flush(&mut self) -> Option<Line> {
        let shown = shown_bytes(&self.rest);
        self.cut(shown)
    }

    /// The end of the stream: all that is left, an unfinished character too.
    pub fn finish(&mut self) -> Option<Line> {
        self.cut(self.rest.len())
    }

    /// Forgets what has not ended: an epoch began.
    pub fn clear(&mut self) {
        self.rest.clear();
    }

    fn cut_long(&mut self, lines: &mut Vec<Line>) {
        while self.rest.len() > LINE_BYTES_MAX {
            // At least the bound less three bytes of a character: it always gets shorter.
            let shown = shown_bytes(&self.rest[..LINE_BYTES_MAX]);
            lines.extend(self.cut(shown));
        }
    }

    fn cut(&mut self, bytes: usize) -> Option<Line> {
        let piece: Vec<u8> = self.rest.drain(..bytes).collect();
        let text = String::from_utf8_lossy(&piece).into_owned();
        (!text.is_empty()).then_some(Line { text, complete: false })
    }
}

/// How many bytes can be shown: not a character that is cut short, nor a `\r` that a `\n` may follow.
fn shown_bytes(bytes: &[u8]) -> usize {
    if bytes.last() == Some(&b'\r') {
        return bytes.len() - 1;
    }
    // A UTF-8 character has at most four bytes (RFC 3629): a first byte is among the last three.
    for back in 1..=bytes.len().min(3) {
        let first = bytes[bytes.len() - back];
        let wants = match first {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            0x80..=0xBF => continue,
            _ => break,
        };
        return if wants > back { bytes.len() - back } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn complete(text: &str) -> Line {
        Line { text: text.into(), complete: true }
    }

    fn part(text: &str) -> Option<Line> {
        Some(Line { text: text.into(), complete: false })
    }

    #[test]
    fn a_prompt_shows_once_and_the_line_goes_on() {
        let mut view = LineView::new();
        assert_eq!(view.push(b"a\r\nlogin: "), [complete("a")]);
        assert_eq!(view.flush(), part("login: "));
        assert_eq!(view.flush(), None);
        assert_eq!(view.push(b"root\n"), [complete("root")]);
    }

    #[test]
    fn a_character_is_not_split() {
        let mut view = LineView::new();
        let euro = "\u{20ac}".as_bytes();
        assert!(view.push(&euro[..1]).is_empty());
        assert_eq!(view.flush(), None);
        assert!(view.push(&euro[1..2]).is_empty());
        assert_eq!(view.flush(), None);
        assert!(view.push(&euro[2..]).is_empty());
        assert_eq!(view.flush(), part("\u{20ac}"));
        view.push(&euro[..2]);
        assert_eq!(view.finish(), part("\u{fffd}"));
    }

    #[test]
    fn bytes_that_are_no_text_are_marked_and_do_not_stick() {
        let mut view = LineView::new();
        view.push(b"\x80\x80\x80\x80");
        assert_eq!(view.flush().map(|line| line.text.chars().count()), Some(4));
        assert_eq!(view.push(b"\xff\n"), [complete("\u{fffd}")]);
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut view = LineView::new();
        let lines = view.push(&[b'x'; 3 * LINE_BYTES_MAX + 1]);
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.text.len() == LINE_BYTES_MAX && !line.complete));
        assert_eq!(view.finish(), part("x"));
    }

    proptest! {
        #[test]
        fn chunking_changes_nothing(
            text in "([a-z\u{e9}\u{20ac}\u{1f600}]{0,9}(\r?\n)?){0,30}",
            cuts in prop::collection::vec(1_usize..7, 1..40),
        ) {
            let mut whole = LineView::new();
            let mut want = whole.push(text.as_bytes());
            want.extend(whole.finish());
            let mut view = LineView::new();
            let mut got = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
                got.extend(view.push(chunk));
                rest = tail;
            }
            got.extend(view.finish());
            prop_assert_eq!(got, want);
        }

        #[test]
        fn flushing_anywhere_loses_no_character(
            text in "([a-z\u{e9}\u{20ac}\u{1f600}]{0,9}\n?){0,30}",
            cuts in prop::collection::vec(1_usize..7, 1..40),
        ) {
            let mut view = LineView::new();
            let mut got = String::new();
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
                for line in view.push(chunk).into_iter().chain(view.flush()) {
                    got.push_str(&line.text);
                    if line.complete {
                        got.push('\n');
                    }
                }
                rest = tail;
            }
            prop_assert!(view.finish().is_none());
            prop_assert_eq!(got, text);
        }
    }
}
