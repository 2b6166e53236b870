//! The two programs: `farmhand`, which asks, and `farmhandd`, which is a farm.
//!
//! The command line speaks the API and nothing else; one file a verb, in `verbs/`. stdout is for the answer,
//! everything else goes to stderr. What can be said without a farm (a build with nothing to do, `init`, `config`,
//! `completions`) starts neither a farm nor a runtime.

mod answer;
mod args;
mod clickable;
mod console;
mod daemon;
mod exit;
mod failed;
mod follow;
mod json;
mod project;
mod reach;
mod render;
mod screen;
mod seen;
mod settle;
mod signals;
mod streams;
mod table;
mod term;
mod timings;
mod units;
mod verbs;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use failed::Failed;
use farmhand::end_helpers;

/// For threads to drop what they have, and so to end the programs that were started for it.
const HELPERS_END: Duration = Duration::from_secs(5);

/// Runs `farmhand`, and says how it ended.
#[must_use]
pub fn farmhand() -> ExitCode {
    let name = std::env::args_os().next();
    if name.as_deref().and_then(|name| Path::new(name).file_name()).is_some_and(|name| name == reach::FARM) {
        return farmhandd();
    }
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let term = term::Term::new(&cli.global);
    let code = match verbs::run(&cli, &term) {
        Ok(code) => code,
        Err(failed) => failed.tell(&term),
    };
    ended(ExitCode::from(answered(code, term.colour_err)))
}

/// The exit code, which no one may take for success whose file has not taken the answer.
fn answered(code: u8, colour: bool) -> u8 {
    let Some(error) = answer::lost() else { return code };
    let failed = Failed::io("the answer could not be written to stdout", error);
    failed.say(colour);
    if code == exit::PASSED { exit::of(failed.0.class) } else { code }
}

/// What was given up is dropped by other threads: it ends its compilers there, and not before.
fn ended(code: ExitCode) -> ExitCode {
    if !end_helpers(HELPERS_END) {
        tracing::warn!("a program that was started has not been ended");
    }
    code
}

/// Runs `farmhandd`, and says how it ended.
#[must_use]
pub fn farmhandd() -> ExitCode {
    match daemon::Args::try_parse() {
        Ok(args) => ended(daemon::run(args)),
        Err(error) => usage(&error),
    }
}

/// Help and versions go to stdout and are no failure.
fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    if error.use_stderr() {
        return ExitCode::from(exit::USAGE);
    }
    let _told_here = printed.inspect_err(answer::note);
    ExitCode::from(answered(exit::PASSED, false))
}
