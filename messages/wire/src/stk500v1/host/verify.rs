//! Reads pages of flash back and compares.

use super::dialogue::{Next, Script};
use super::write::{WireOptions, writes};
use super::{Doing, Progress};
use crate::stk500v1::command::{Command, Memory};
use crate::stk500v1::page::Page;
use crate::stk500v1::reply::Reply;

/// A page that is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Difference {
    /// Which of the pages given.
    pub page_index: usize,
    /// Address of its first byte that differs.
    pub address: u32,
    /// What should be there.
    pub expected: u8,
    /// What is.
    pub found: u8,
}

/// What [`VerifyPages`] finds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// One for each page that differs, in the order of the pages.
    pub differences: Vec<Difference>,
    /// How many pages were read: all, unless it was to stop at the first difference.
    pub pages_read: usize,
}

impl Comparison {
    /// Whether every page that was read is as it should be.
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Reads pages of flash and compares. Changes nothing on the device.
#[derive(Debug, Clone)]
pub struct VerifyPages {
    pages: Vec<Page>,
    options: WireOptions,
    stop_at_first: bool,
    /// The page's writes that are still to be sent, last first.
    pending: Vec<Vec<Command>>,
    comparison: Comparison,
    progress: Progress,
}

impl VerifyPages {
    /// Reads all pages, and tells which differ.
    pub fn new(pages: Vec<Page>, options: WireOptions) -> Self {
        let bytes_total = pages.iter().map(|page| page.data().len() as u64).sum();
        let progress = Progress { bytes_done: 0, bytes_total };
        let comparison = Comparison::default();
        Self { pages, options, stop_at_first: false, pending: Vec::new(), comparison, progress }
    }

    /// Stops behind the first page that differs: to know whether, not where.
    pub fn stop_at_first(mut self) -> Self {
        self.stop_at_first = true;
        self
    }

    fn begin_page(&mut self) -> Next<Comparison> {
        let enough = self.stop_at_first && !self.comparison.is_equal();
        match self.pages.get(self.comparison.pages_read) {
            Some(page) if !enough => {
                let len = u16::try_from(page.data().len()).expect("a page has at most 256 bytes");
                self.pending = writes(self.options, page, Command::ReadPage { memory: Memory::Flash, len });
                self.send_pending()
            }
            _ => Next::Done(self.comparison.clone()),
        }
    }

    fn send_pending(&mut self) -> Next<Comparison> {
        let commands = self.pending.pop().expect("a page has at least one write, and the caller has looked");
        Next::Ask { doing: Doing::Read(self.pages[self.comparison.pages_read].address()), commands }
    }

    fn compare(&mut self, found: &[u8]) {
        let page_index = self.comparison.pages_read;
        let page = &self.pages[page_index];
        let differs = page.data().iter().zip(found).zip(page.address()..).find(|((a, b), _)| a != b);
        if let Some(((&expected, &found), address)) = differs {
            self.comparison.differences.push(Difference { page_index, address, expected, found });
        }
        self.comparison.pages_read += 1;
        self.progress.bytes_done += found.len() as u64;
    }
}

impl Script for VerifyPages {
    type Value = Comparison;

    fn first(&mut self) -> Next<Comparison> {
        self.begin_page()
    }

    fn next(&mut self, replies: Vec<Reply>) -> Next<Comparison> {
        if !self.pending.is_empty() {
            return self.send_pending();
        }
        let page = replies.last().expect("every ask has at least one command, so at least one reply");
        self.compare(&page.data);
        self.begin_page()
    }

    fn progress(&self) -> Progress {
        self.progress
    }
}
