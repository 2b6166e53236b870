//! What a person sees of a session as it goes: a line for each thing done, a bar for what takes long, the board's
//! own words with a `|` before them. Machines get the same as JSON.

mod bar;
mod lines;

use std::borrow::Cow;
use std::io::{self, Write as _};
use std::path::Path;

use farmhand::protocol::{BuildEvent, Event, EventBody, LineView, LogItem, PhaseName, plain};
use serde_json::Value;

use crate::clickable::Viewpoint;
use crate::json;
use crate::term::Term;
use bar::Bar;
pub(crate) use lines::{size_of, step};

/// Where no bar moves, a line now and then says that something long goes on: below the shortest silence that a CI
/// takes for a hang, and few lines a minute.
const STILL_MS: u64 = 10_000;

/// Where the events of one command are shown.
pub(crate) struct Screen {
    term: Term,
    bar: Bar,
    console: LineView,
    /// Compilers' own words were shown: they need not be repeated.
    pub(crate) diagnosed: bool,
    /// Part of a line is on the screen, without its end.
    partial: bool,
    /// What a bootloader says, until its line has an end.
    bootloader: String,
    epoch_shown: Option<u64>,
    /// When a line was said last, by the events' own clock.
    said_unix_ms: u64,
    /// From where compilers' words are seen.
    viewpoint: Option<Viewpoint>,
}

impl Screen {
    pub(crate) fn new(term: &Term) -> Self {
        Self {
            term: term.clone(),
            bar: Bar::new(term.bars),
            console: LineView::new(),
            diagnosed: false,
            partial: false,
            bootloader: String::new(),
            epoch_shown: None,
            said_unix_ms: 0,
            viewpoint: None,
        }
    }

    /// Where a project (absolute) is built, whose compilers speak.
    pub(crate) fn of_project(term: &Term, project: &str) -> Self {
        Self { viewpoint: Some(Viewpoint::new(Path::new(project))), ..Self::new(term) }
    }

    /// From here on compilers speak of another project (absolute).
    pub(crate) fn turn_to(&mut self, project: &str) {
        self.viewpoint = Some(Viewpoint::new(Path::new(project)));
    }

    /// A compiler's words, with paths as they are reached from the working folder.
    pub(crate) fn clickable<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.viewpoint.as_ref().map_or(Cow::Borrowed(text), |viewpoint| viewpoint.of(text))
    }

    /// Something happened in one of many, which is called `name`.
    pub(crate) fn event_of(&mut self, event: &Event, name: &str) {
        if !self.term.events {
            return self.event(event);
        }
        for mut line in self.lines_for_machines(event) {
            line["of"] = name.into();
            self.term.answer(&line);
        }
    }

    /// Something happened.
    pub(crate) fn event(&mut self, event: &Event) {
        if self.term.events {
            for line in self.lines_for_machines(event) {
                self.term.answer(&line);
            }
            return;
        }
        // What comes next is no part of its line.
        if !matches!(event.body, EventBody::Bootloader { .. } | EventBody::Flash { .. }) {
            self.end_of_bootloader();
        }
        match &event.body {
            EventBody::Bootloader { text, line } => self.bootloader(text, *line),
            EventBody::Build(BuildEvent::Diagnostic { text }) => {
                self.diagnosed = true;
                let text =
                    if self.term.colour_err { Cow::Borrowed(text.as_str()) } else { plain(text).into() };
                let text = self.clickable(&text).into_owned();
                self.say_always(text.trim_end_matches('\n'));
            }
            EventBody::EpochBegan { epoch, .. } => {
                // The same epoch is told by the event and by the recording.
                if self.epoch_shown.replace(epoch.0) != Some(epoch.0) {
                    self.lines(event);
                }
            }
            // A farm that was started again keeps no older ones, and what matters comes from its records.
            EventBody::Missed | EventBody::Phase(PhaseName::Observing) if self.term.verbose == 0 => {}
            _ => self.lines(event),
        }
    }

    /// An event for machines; of a compiler's words a line for each thing that was said.
    fn lines_for_machines(&self, event: &Event) -> Vec<Value> {
        let EventBody::Build(BuildEvent::Diagnostic { text }) = &event.body else {
            return vec![json::event(event)];
        };
        let whole = |file: &str| match &self.viewpoint {
            Some(viewpoint) => viewpoint.whole(file),
            None => file.to_owned(),
        };
        json::diagnostics(event, text, whole)
    }

    fn lines(&mut self, event: &Event) {
        if self.bar.moves(&event.body) {
            if !self.term.bars {
                self.still(event);
            }
            return;
        }
        self.said_unix_ms = event.unix_ms;
        for line in lines::of(event, self.term.verbose > 0) {
            self.bar.pause();
            self.say(&line);
        }
    }

    /// A bootloader said a line, or a part of one.
    fn bootloader(&mut self, text: &str, line: bool) {
        for said in whole_lines(&mut self.bootloader, text, line) {
            self.bar.pause();
            self.say(&format!("  (bootloader) {}", printable(&said)));
        }
    }

    fn end_of_bootloader(&mut self) {
        if !self.bootloader.is_empty() {
            self.bootloader("", true);
        }
    }

    /// Says now and then that something long goes on, where no bar moves.
    fn still(&mut self, event: &Event) {
        if self.said_unix_ms == 0 {
            self.said_unix_ms = event.unix_ms;
        }
        if event.unix_ms.saturating_sub(self.said_unix_ms) >= STILL_MS
            && let Some(line) = lines::still(&event.body)
        {
            self.said_unix_ms = event.unix_ms;
            self.say(&line);
        }
    }

    /// The board said something.
    pub(crate) fn console(&mut self, item: &LogItem) {
        if self.term.events {
            self.term.answer(&json::log(item));
            return;
        }
        match item {
            LogItem::Chunk { bytes, .. } => {
                for line in self.console.push(bytes) {
                    self.board(&line.text, line.complete);
                }
            }
            LogItem::EpochBegan { .. } => {
                self.end_of_output();
            }
            LogItem::Gap { why, .. } => self.mark(&format!("gap: {why}")),
            LogItem::Lost { bytes, dropped, .. } => {
                let where_ =
                    if *dropped { "the recording has them not either" } else { "the recording has them" };
                self.mark(&format!("{bytes} bytes are not shown; {where_}"));
            }
            LogItem::Lent { .. } | LogItem::Returned { .. } => {}
        }
    }

    /// Nothing came for a while: a prompt without an end is shown.
    pub(crate) fn quiet(&mut self) {
        if let Some(line) = self.console.flush() {
            self.board(&line.text, false);
        }
    }

    /// The board's output ends, or begins anew.
    pub(crate) fn end_of_output(&mut self) {
        if let Some(line) = self.console.finish() {
            self.board(&line.text, false);
        }
        self.end_line();
    }

    /// A step that is no event, such as `detached`.
    pub(crate) fn step(&mut self, verb: &str, what: &str) {
        if !self.term.events {
            self.bar.pause();
            self.say(&step(verb, what, "", ""));
        }
    }

    /// Nothing moves any more.
    pub(crate) fn end(&mut self) {
        self.end_of_bootloader();
        self.bar.end();
        self.end_of_output();
    }

    fn mark(&mut self, text: &str) {
        self.end_line();
        let line = self.term.dim(&format!("  ~ {text}"));
        self.say(&line);
    }

    fn board(&mut self, text: &str, complete: bool) {
        if self.term.quiet {
            return;
        }
        self.bar.end();
        let begin = if self.partial { "" } else { "  | " };
        let end = if complete { "\n" } else { "" };
        out(&format!("{begin}{}{end}", printable(text)));
        self.partial = !complete;
    }

    fn end_line(&mut self) {
        if std::mem::replace(&mut self.partial, false) {
            out("\n");
        }
    }

    fn say(&mut self, line: &str) {
        self.end_line();
        self.term.say(line);
    }

    fn say_always(&mut self, text: &str) {
        self.bar.end();
        self.end_line();
        out(&format!("{text}\n"));
    }
}

/// Shows it as it is. That nobody reads any more (`2>&1 | head`) is no reason to leave the session.
fn out(text: &str) {
    let _nobody_reads = io::stderr().lock().write_all(text.as_bytes());
}

/// The lines that are whole with this; what has no end yet is kept.
fn whole_lines(kept: &mut String, text: &str, line: bool) -> Vec<String> {
    kept.push_str(text);
    if line {
        kept.push('\n');
    }
    let Some(end) = kept.rfind('\n') else { return Vec::new() };
    let rest = kept.split_off(end + 1);
    let whole = std::mem::replace(kept, rest);
    whole.lines().map(str::to_owned).collect()
}

/// A board must not steer the terminal: control characters but the tab are shown as what they are.
pub(crate) fn printable(text: &str) -> String {
    let show = |c: char| match c {
        '\t' => c,
        // The control pictures stand in the order of the characters (Unicode block 2400).
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}' => '\u{fffd}',
        _ => c,
    };
    text.chars().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_does_not_steer_the_terminal() {
        assert_eq!(printable("a\tb\x1b[2J\x07\u{9b}c\u{e9}"), "a\tb\u{241b}[2J\u{2407}\u{fffd}c\u{e9}");
    }

    #[test]
    fn what_a_bootloader_says_in_parts_is_shown_in_lines() {
        let mut kept = String::new();
        assert_eq!(whole_lines(&mut kept, "erasing", true), ["erasing"]);
        assert_eq!(whole_lines(&mut kept, "10 %..", false), [] as [&str; 0]);
        assert_eq!(whole_lines(&mut kept, "20 %\nlast", false), ["10 %..20 %"]);
        assert_eq!(whole_lines(&mut kept, "", true), ["last"]);
        assert_eq!(kept, "");
    }
}
