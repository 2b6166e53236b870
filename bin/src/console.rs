//! Raw console output, as it came, and marks about it on stderr.

use std::io::{self, Write as _};

use farmhand::protocol::LogItem;

use crate::answer;
use crate::json;
use crate::json::cause_word;
use crate::seen::Seen;
use crate::term::Term;

/// Where a console is shown: its bytes go to stdout as they are, a prompt without an end too.
pub(crate) struct Console {
    term: Term,
    timestamp: bool,
    /// Marks (`lent`, `epoch 3`) are shown.
    marks: bool,
    at_line_start: bool,
    /// What need not be shown again, when a stream begins anew.
    pub(crate) seen: Seen,
    /// How much was shown.
    pub(crate) shown_bytes: u64,
}

impl Console {
    pub(crate) fn new(term: &Term, timestamp: bool, marks: bool) -> Self {
        Self {
            term: term.clone(),
            timestamp,
            marks,
            at_line_start: true,
            seen: Seen::default(),
            shown_bytes: 0,
        }
    }

    /// Shows an item; fails where nobody reads stdout any more.
    pub(crate) fn show(&mut self, item: &LogItem) -> io::Result<()> {
        if let LogItem::Chunk { offset, epoch, stamp, bytes } = item {
            let seen = self.seen.take(*epoch, *stamp, *offset, bytes.len());
            if seen == bytes.len() && seen > 0 {
                return Ok(());
            }
            self.shown_bytes += (bytes.len() - seen) as u64;
            if !self.term.json {
                return self.bytes(&bytes[seen..], item);
            }
        }
        if self.term.json {
            return answer::put_with(|out| writeln!(out, "{}", json::log(item)));
        }
        match item {
            LogItem::Chunk { .. } => {}
            LogItem::EpochBegan { epoch, cause, .. } => {
                self.mark(&format!("epoch {epoch}: {}", cause_word(cause)));
            }
            LogItem::Lent { .. } => self.mark("lent to a driver"),
            LogItem::Returned { .. } => self.mark("returned"),
            LogItem::Gap { why, .. } => self.mark(&format!("gap: {why}")),
            LogItem::Lost { bytes, dropped: false, .. } => {
                self.mark(&format!("{bytes} bytes skipped: too slow a reader"))
            }
            LogItem::Lost { bytes, dropped: true, .. } => {
                self.mark(&format!("{bytes} bytes were not recorded"))
            }
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8], item: &LogItem) -> io::Result<()> {
        let time = match item {
            LogItem::Chunk { stamp, .. } if self.timestamp => {
                Some(std::time::UNIX_EPOCH + std::time::Duration::from_micros(stamp.unix_us))
            }
            _ => None,
        };
        let mut at_line_start = self.at_line_start;
        if let Some(last) = bytes.last() {
            self.at_line_start = *last == b'\n';
        }
        answer::put_with(|out| {
            let Some(time) = time else { return out.write_all(bytes) };
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                if at_line_start {
                    write!(out, "{}  ", humantime::format_rfc3339_millis(time))?;
                }
                out.write_all(line)?;
                at_line_start = line.last() == Some(&b'\n');
            }
            Ok(())
        })
    }

    /// A mark, on a line of its own.
    pub(crate) fn mark(&mut self, text: &str) {
        if !self.marks || self.term.json {
            return;
        }
        let begin = if self.at_line_start { "" } else { "\n" };
        self.term.say(&format!("{begin}{}", self.term.dim(&format!("--- {text} ---"))));
        self.at_line_start = true;
    }
}
