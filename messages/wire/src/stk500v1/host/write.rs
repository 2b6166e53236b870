//! Writes pages of flash.

use super::Doing;
use super::Progress;
use super::dialogue::{Next, Script};
use crate::stk500v1::command::{Command, Memory};
use crate::stk500v1::page::Page;
use crate::stk500v1::reply::Reply;

/// How the wire is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct WireOptions {
    /// Send a page's `LOAD_ADDRESS` and the command that uses it in one write: a round trip less for each page,
    /// which is most of the time of an upload through a USB adapter that holds answers back (FTDI: 16 ms).
    ///
    /// Off by default. While a loader answers `LOAD_ADDRESS`, the next command is already coming in, and an AVR
    /// holds two received bytes and the one in its shift register (ATmega328P data sheet, "USART Data
    /// Reception"). Optiboot on a hardware UART queues its two bytes of answer without waiting, so it should keep
    /// up; a loader that bit-bangs its UART, or that waits for its answer to be sent, loses bytes.
    pub coalesce: bool,
}

/// Commands for one page, as the writes that they are sent in; taken from the end.
pub(super) fn writes(options: WireOptions, page: &Page, command: Command) -> Vec<Vec<Command>> {
    let load = Command::LoadAddress(page.word_address());
    if options.coalesce { vec![vec![load, command]] } else { vec![vec![command], vec![load]] }
}

/// Writes pages of flash, in the order given. The loader erases each first. Which pages need it is the caller's
/// to know. May be done again from the start at any time.
#[derive(Debug, Clone)]
pub struct WritePages {
    pages: Vec<Page>,
    options: WireOptions,
    /// The page that is being written.
    at: usize,
    /// Its writes that are still to be sent, last first.
    pending: Vec<Vec<Command>>,
    progress: Progress,
}

impl WritePages {
    /// Of flash.
    pub fn new(pages: Vec<Page>, options: WireOptions) -> Self {
        let bytes_total = pages.iter().map(|page| page.data().len() as u64).sum();
        let progress = Progress { bytes_done: 0, bytes_total };
        Self { pages, options, at: 0, pending: Vec::new(), progress }
    }

    fn begin_page(&mut self) -> Next<()> {
        let Some(page) = self.pages.get(self.at) else { return Next::Done(()) };
        let command = Command::ProgPage { memory: Memory::Flash, data: page.data().clone() };
        self.pending = writes(self.options, page, command);
        self.send_pending()
    }

    fn send_pending(&mut self) -> Next<()> {
        let commands = self.pending.pop().expect("a page has at least one write, and the caller has looked");
        Next::Ask { doing: Doing::Write(self.pages[self.at].address()), commands }
    }
}

impl Script for WritePages {
    type Value = ();

    fn first(&mut self) -> Next<()> {
        self.begin_page()
    }

    fn next(&mut self, _replies: Vec<Reply>) -> Next<()> {
        if !self.pending.is_empty() {
            return self.send_pending();
        }
        self.progress.bytes_done += self.pages[self.at].data().len() as u64;
        self.at += 1;
        self.begin_page()
    }

    fn progress(&self) -> Progress {
        self.progress
    }
}
