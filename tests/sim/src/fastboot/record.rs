//! What a phone was asked, and how often.

use std::collections::VecDeque;
use std::fmt;

/// Commands that are remembered; older ones are only counted.
const LOG_MAX: usize = 100_000;

/// Lines that wait to be shown, where somebody shows them; the oldest are lost.
const LINES_MAX: usize = 1000;

/// Bytes that were downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// How many.
    pub len: u64,
    /// Their SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// It grows with each command, whatever restarts between them; from 1.
    pub number: u64,
    /// Which start of the bootloader heard it; from 1.
    pub boot: u64,
    /// As it came; what is no ASCII is escaped.
    pub command: String,
    /// For `download`, what came, whole or not; for `flash` and `boot`, what they were to use.
    pub data: Option<Downloaded>,
    /// `OKAY…` or `FAIL…`, as the host was told; none where it was not, or not yet.
    pub answer: Option<String>,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} boot {} {}", self.number, self.boot, self.command)?;
        if let Some(Downloaded { len, sha256 }) = &self.data {
            write!(f, " [{len} bytes, sha256 {sha256}]")?;
        }
        write!(f, " -> {}", self.answer.as_deref().unwrap_or("no answer"))
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a phone has counted since it was made.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl fmt::Display for Counters {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let words = [$(format!("{}={}", stringify!($name), self.$name)),*];
                f.write_str(&words.join(" "))
            }
        }
    };
}

counters! {
    /// Commands of any kind, and packets that are none.
    commands,
    /// Downloads that were whole.
    downloads,
    /// Bytes of downloads, whole or not.
    download_bytes,
    /// `boot` commands, whatever was answered.
    boot_commands,
    /// Images from memory that were started.
    boots,
    /// `flash` commands that were carried out.
    flashes,
    /// `erase` commands that were carried out.
    erases,
    /// Starts of the bootloader.
    loader_starts,
    /// Starts of the installed system.
    system_starts,
    /// Hosts that arrived: connections of TCP, sessions of UDP, resets of the bus.
    hosts,
    /// Packets that came while the host was to listen.
    out_of_turn,
}

/// The record.
#[derive(Debug, Default)]
pub(super) struct Log {
    asked: VecDeque<Asked>,
    /// Lines for people, of what has ended since they were last taken.
    lines: VecDeque<String>,
    /// The newest has not ended.
    open: bool,
}

impl Log {
    pub(super) fn begin(&mut self, number: u64, boot: u64, command: String) {
        self.end(None);
        if self.asked.len() == LOG_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back(Asked { number, boot, command, data: None, answer: None });
        self.open = true;
    }

    pub(super) fn data(&mut self, data: Downloaded) {
        if let Some(newest) = self.asked.back_mut().filter(|_| self.open) {
            newest.data = Some(data);
        }
    }

    pub(super) fn end(&mut self, answer: Option<String>) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        if let Some(newest) = self.asked.back_mut() {
            newest.answer = answer;
            let line = newest.to_string();
            self.say(line);
        }
    }

    /// Something for people that is no command.
    pub(super) fn say(&mut self, line: String) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(super) fn asked(&self) -> impl DoubleEndedIterator<Item = &Asked> {
        self.asked.iter()
    }

    pub(super) fn take_lines(&mut self) -> Vec<String> {
        self.lines.drain(..).collect()
    }
}
