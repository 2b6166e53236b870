//! What the output must say: regular expressions over raw bytes, wherever the chunks are cut.
//!
//! `^` and `$` are a line's beginning and end (`\r\n` too). What counts is what came first in the stream. A match that the
//! next byte could undo (`$` after the last byte that is there) waits for that byte, or for silence: so a prompt matches,
//! and `blink 3$` does not match the beginning of `blink 30`.
//!
//! What must not be seen counts up to the end of the line that completes what is expected: `test done, errors: PANIC` is no
//! pass for `test done`, wherever its chunks are cut. A line that does not end ends with silence.

use farmhand_api::Problem;
use farmhand_records::v1::{Job, Observed};
use regex::bytes::{Regex, RegexBuilder};

use crate::closest::{Closest, Line};
use crate::problems;

/// A match may span so many bytes; what is older is forgotten. Replay begins as far before the place that was reached, so
/// that a restart judges as if there had been none.
pub const WINDOW_BYTES: usize = 64 * 1024;

/// So far behind the last match its line is looked for the end of.
const LINE_BYTES_MAX: usize = 1024;

/// A byte of each class that an assertion can tell apart: digit, letter, blank, line's end, other, not ASCII.
const NEXT_BYTES: [u8; 7] = [b'0', b'a', b' ', b'\n', b'\r', b'.', 0xff];

/// What the output so far comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// Nothing new.
    GoOn,
    /// More of what is expected was seen, and there is more to come.
    Advanced,
    /// All that is expected was seen.
    All,
    /// What must not be seen was seen: the pattern, and the line it is in.
    Failed {
        /// As the job has it.
        pattern: String,
        /// The line, as far as it had come.
        line: String,
    },
}

#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    fn new(text: &str) -> Result<Self, regex::Error> {
        let regex = RegexBuilder::new(text).multi_line(true).crlf(true).build()?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// Where the first match at or after `from` is known to be one.
    fn first(&self, window: &[u8], from: usize, quiet: bool) -> Option<usize> {
        let end = self.regex.shortest_match_at(window, from)?;
        (end < window.len() || quiet || self.stands(window, from)).then_some(end)
    }

    /// Whether a match that ends where the window does stays one, whatever comes next.
    fn stands(&self, window: &[u8], from: usize) -> bool {
        let mut longer = window.to_vec();
        longer.push(0);
        NEXT_BYTES.iter().all(|&next| {
            longer[window.len()] = next;
            self.regex.shortest_match_at(&longer, from).is_some_and(|end| end <= window.len())
        })
    }
}

/// Judges the output of one epoch.
#[derive(Debug, Clone)]
pub struct Expect {
    expect: Vec<Pattern>,
    fail_on: Vec<Pattern>,
    matched: usize,
    window: Vec<u8>,
    /// The recorder's offset of the window's first byte.
    start: u64,
    /// The recorder's offset from which the next of `expect` is looked for.
    search: u64,
    closest: Closest,
    began_us: Option<u64>,
}

impl Expect {
    /// Takes up what a job expects, as far as it was observed. A pattern that is none is a problem of configuration.
    pub fn new(job: &Job, observed: &Observed) -> Result<Self, Problem> {
        let pattern = |key: &'static str, text: &String, place| {
            Pattern::new(text).map_err(|error| problems::not_a_pattern(key, text, &error, place))
        };
        let expect = job.expect.iter().enumerate();
        let expect = expect.map(|(at, text)| pattern("expect", text, job.expect_places.get(at).cloned()));
        let fail_on = job.fail_on.iter().map(|text| pattern("fail-on", text, None));
        let mut made = Self {
            expect: expect.collect::<Result<_, _>>()?,
            fail_on: fail_on.collect::<Result<_, _>>()?,
            matched: observed.matched as usize,
            window: Vec::new(),
            start: 0,
            search: observed.offset,
            closest: Closest::default(),
            began_us: None,
        };
        made.look_for_next();
        Ok(made)
    }

    fn look_for_next(&mut self) {
        if let Some(pattern) = self.expect.get(self.matched) {
            self.closest.look_for(&pattern.text);
        }
    }

    /// How many have matched.
    #[must_use]
    pub fn matched(&self) -> usize {
        self.matched
    }

    /// All that is expected has matched; true where nothing is.
    #[must_use]
    pub fn has_all(&self) -> bool {
        self.matched >= self.expect.len()
    }

    /// Output can change nothing: nothing is expected, and nothing forbidden.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expect.is_empty() && self.fail_on.is_empty()
    }

    /// More output changes nothing: all was seen, or nothing is looked for.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_empty() || (self.matched > 0 && self.has_all())
    }

    /// The pattern that matched last.
    #[must_use]
    pub fn last_matched(&self) -> Option<&str> {
        self.matched.checked_sub(1).and_then(|at| self.expect.get(at)).map(|pattern| pattern.text.as_str())
    }

    /// The pattern that is looked for.
    #[must_use]
    pub fn wanted(&self) -> Option<&str> {
        self.expect.get(self.matched).map(|pattern| pattern.text.as_str())
    }

    /// The recorder's offset that is reached: what comes after it is to be judged yet.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.search.max(self.start)
    }

    /// The offset of the next byte, if any came.
    #[must_use]
    pub fn next_offset(&self) -> Option<u64> {
        (!self.window.is_empty()).then(|| self.start + self.window.len() as u64)
    }

    /// When the epoch began, of the monotonic clock in microseconds.
    pub fn began(&mut self, mono_us: u64) {
        self.began_us.get_or_insert(mono_us);
    }

    /// The line closest to what is looked for, with its time in the epoch in microseconds.
    pub(crate) fn closest(&mut self) -> Option<(Line, u64)> {
        let began_us = self.began_us.unwrap_or_default();
        let line = self.closest.best()?.clone();
        let since = line.mono_us.saturating_sub(began_us);
        Some((line, since))
    }

    /// Takes bytes of the owned epoch. What is known already is passed over.
    pub fn push(&mut self, offset: u64, bytes: &[u8], mono_us: u64) -> Judged {
        self.began(mono_us);
        let next = self.next_offset().unwrap_or(offset);
        let known = usize::try_from(next.saturating_sub(offset)).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = &bytes[known..];
        if self.window.is_empty() || offset > next {
            self.window.clear();
            self.start = offset;
        }
        self.window.extend_from_slice(bytes);
        let judged = self.judge(false);
        self.closest.push(bytes, mono_us);
        if self.window.len() > 2 * WINDOW_BYTES {
            let old = self.window.len() - WINDOW_BYTES;
            self.window.drain(..old);
            self.start += old as u64;
        }
        judged
    }

    /// Nothing came for a while: what is there is all there is for now.
    pub fn quiet(&mut self) -> Judged {
        self.judge(true)
    }

    fn judge(&mut self, quiet: bool) -> Judged {
        let before = self.matched;
        loop {
            let from = usize::try_from(self.search.saturating_sub(self.start)).unwrap_or(usize::MAX);
            let from = from.min(self.window.len());
            let good = self.expect.get(self.matched).and_then(|want| want.first(&self.window, from, quiet));
            let bad = self.fail_on.iter().filter_map(|bad| Some((bad.first(&self.window, 0, quiet)?, bad)));
            let bad = bad.min_by_key(|(end, _)| *end);
            let reach = good.and_then(|end| self.reach(end, quiet));
            match (good, bad) {
                (Some(end), bad)
                    if reach.is_some_and(|reach| bad.is_none_or(|(bad_end, _)| reach < bad_end)) =>
                {
                    self.matched += 1;
                    self.search = self.start + end as u64;
                    self.look_for_next();
                    if self.has_all() {
                        return Judged::All;
                    }
                }
                (_, Some((end, bad))) => {
                    return Judged::Failed { pattern: bad.text.clone(), line: self.line_at(end) };
                }
                (_, None) if self.matched > before => return Judged::Advanced,
                (_, None) => return Judged::GoOn,
            }
        }
    }

    /// Up to where what is forbidden outdoes a match that ends at `end`. None where the line of the last is not whole yet.
    fn reach(&self, end: usize, quiet: bool) -> Option<usize> {
        if self.fail_on.is_empty() || self.matched + 1 < self.expect.len() {
            return Some(end);
        }
        // A match may hold the line's end itself.
        let begin = end.saturating_sub(1);
        let most = self.window.len().min(end + LINE_BYTES_MAX);
        let whole = self.window[begin..most].iter().position(|byte| *byte == b'\n');
        let whole = whole.map(|at| begin + at + 1);
        whole.or_else(|| (quiet || most == end + LINE_BYTES_MAX).then_some(most))
    }

    /// The line in which a match ends.
    fn line_at(&self, end: usize) -> String {
        let inside = end.saturating_sub(1).min(self.window.len());
        let begin = self.window[..inside].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = self.window[begin..].split(|byte| *byte == b'\n').next().unwrap_or_default();
        String::from_utf8_lossy(line).trim_end().chars().take(256).collect()
    }
}

#[cfg(test)]
mod tests;
