//! What the terminal can show, and who listens.

use std::io::{self, IsTerminal as _, Write as _};

use farmhand::Telling;

use crate::answer;
use crate::args::{Colour, Global, MessageFormat};

/// How things are shown. Cheap to clone.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "six independent facts of a terminal")]
pub(crate) struct Term {
    pub(crate) colour_err: bool,
    pub(crate) colour_out: bool,
    /// Bars that move: on a terminal only.
    pub(crate) bars: bool,
    /// No progress at all.
    pub(crate) quiet: bool,
    pub(crate) verbose: u8,
    /// Machines read stdout: the answer is one document.
    pub(crate) json: bool,
    /// They read what happens too, one event a line, and people read nothing.
    pub(crate) events: bool,
}

impl Term {
    pub(crate) fn new(global: &Global) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let plain = set("NO_COLOR") || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = |stream_is_terminal: bool| match global.colour {
            Colour::Always => true,
            Colour::Never => false,
            // https://no-color.org, and the older CLICOLOR_FORCE.
            Colour::Auto if plain => false,
            Colour::Auto => stream_is_terminal && !set("CI") || set("CLICOLOR_FORCE"),
        };
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let events = global.message_format == Some(MessageFormat::Json);
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour_err: colour(err),
            colour_out: colour(out),
            bars: err && !dumb && !set("CI") && !global.quiet && !events,
            quiet: global.quiet,
            verbose: global.verbose,
            json: global.json || events,
            events,
        }
    }

    /// How much of a build is worth showing.
    pub(crate) fn telling(&self) -> Telling {
        if self.verbose > 0 { Telling::Commands } else { Telling::Steps }
    }

    /// A line of the answer, to stdout.
    #[allow(clippy::unused_self, reason = "where it goes is the terminal's business")]
    pub(crate) fn answer(&self, line: &impl std::fmt::Display) {
        let _told_at_the_end = answer::put_with(|out| writeln!(out, "{line}"));
    }

    /// Text of the answer, to stdout, as it is.
    #[allow(clippy::unused_self, reason = "where it goes is the terminal's business")]
    pub(crate) fn text(&self, text: &str) {
        let _told_at_the_end = answer::put(text.as_bytes());
    }

    /// A line for people, to stderr.
    pub(crate) fn say(&self, line: &str) {
        if !self.quiet {
            let _nobody_reads = writeln!(io::stderr().lock(), "{line}");
        }
    }

    pub(crate) fn dim(&self, text: &str) -> String {
        paint(self.colour_err, "2", text)
    }
}

/// `text` in a colour (an SGR parameter), where there are colours.
pub(crate) fn paint(colour: bool, sgr: &str, text: &str) -> String {
    if colour { format!("\x1b[{sgr}m{text}\x1b[0m") } else { text.to_owned() }
}
