//! A verb that could not do it.

use std::io::Write as _;

use farmhand::protocol::{Problem, ProblemClass};

use crate::term::Term;
use crate::{exit, json, render};

/// Why a verb failed: what happened, and what to do next. Boxed: it is carried through every `?`.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) Box<Problem>);

impl<E: Into<Problem>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(Box::new(error.into()))
    }
}

impl Failed {
    pub(crate) fn new(class: ProblemClass, code: &str, message: impl Into<String>, help: &[&str]) -> Self {
        let help = help.iter().map(|&line| line.to_owned()).collect();
        let message = message.into();
        Self(Box::new(Problem { class, code: code.into(), message, detail: Vec::new(), help, place: None }))
    }

    pub(crate) fn usage(message: impl Into<String>, help: &[&str]) -> Self {
        Self::new(ProblemClass::Usage, "F002", message, help)
    }

    /// A file of this machine that does not do what is wanted.
    pub(crate) fn io(what: impl std::fmt::Display, error: &std::io::Error) -> Self {
        let class = match error.kind() {
            std::io::ErrorKind::PermissionDenied => ProblemClass::Permission,
            _ => ProblemClass::Infra,
        };
        Self::new(class, "F840", format!("{what}: {error}"), &[])
    }

    /// Tells people on stderr, and machines on stdout where they listen; gives the exit code.
    pub(crate) fn tell(&self, term: &Term) -> u8 {
        let code = exit::of(self.0.class);
        if term.json {
            term.answer(&json::result(&self.0, code));
        }
        self.say(term.colour_err);
        code
    }

    /// Tells people only: there is more to come.
    pub(crate) fn say(&self, colour: bool) {
        let mut err = std::io::stderr().lock();
        let _nobody_reads = err.write_all(render::problem(&self.0, colour).as_bytes());
    }
}
