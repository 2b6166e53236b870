//! `doctor`: why a device is not seen or not opened, and what to do. Looks at files only; needs no farm.

mod checks;
mod rules;
mod system;

use std::collections::BTreeSet;
use std::path::Path;

use farmhand::profiles::{Folders, Profiles};
use farmhand::protocol::ProblemClass;
use serde_json::json;

use crate::args::Global;
use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::screen::printable;
use crate::term::{Term, paint};
use checks::{Finding, Level};
use system::System;

pub(crate) fn run(global: &Global, term: &Term, write_rules: bool, root: &Path) -> Result<u8, Failed> {
    if write_rules {
        return write(global, term, root);
    }
    let may = |path: &Path| {
        use rustix::fs::{Access, access};
        access(path, Access::READ_OK | Access::WRITE_OK).is_ok()
    };
    let findings = checks::all(&System::new(root, rustix::process::geteuid().as_raw(), groups(), &may));
    let code = findings.iter().filter(|finding| finding.level == Level::Fail).map(of).max();
    let code = code.unwrap_or(exit::PASSED);
    if term.json {
        let one = |finding: &Finding| json!({ "level": finding.level.word(), "what": finding.what, "help": finding.help });
        let findings: Vec<_> = findings.iter().map(one).collect();
        term.answer(&json!({ "ok": code == exit::PASSED, "code": code, "findings": findings }));
        return Ok(code);
    }
    for finding in &findings {
        term.text(&told(finding, term.colour_out));
    }
    Ok(code)
}

fn of(finding: &Finding) -> u8 {
    exit::of(finding.class)
}

/// A line, and what to do below it.
fn told(finding: &Finding, colour: bool) -> String {
    let sgr = match finding.level {
        Level::Ok => "32",
        Level::Warn => "33",
        Level::Fail => "1;31",
    };
    let word = format!("{:<4}", finding.level.word());
    let mut text = format!("{}  {}\n", paint(colour, sgr, &word), printable(&finding.what));
    for (at, help) in finding.help.iter().enumerate() {
        let label = if at == 0 { "next: " } else { "      " };
        text.push_str(&format!("      {label}{}\n", printable(help)));
    }
    text
}

fn groups() -> Vec<u32> {
    let mut all: Vec<_> =
        rustix::process::getgroups().unwrap_or_default().iter().map(|group| group.as_raw()).collect();
    all.push(rustix::process::getegid().as_raw());
    all
}

fn write(global: &Global, term: &Term, root: &Path) -> Result<u8, Failed> {
    let profiles = Profiles::load(&Folders::of(None, |name| std::env::var(name).ok()));
    let ids: BTreeSet<_> = profiles.all().flat_map(|profile| profile.identity.usb.iter().cloned()).collect();
    let text = rules::of(&ids);
    if global.dry_run {
        term.text(&text);
        return Ok(exit::PASSED);
    }
    let there = root.join("etc/udev/rules.d").join(rules::FILE);
    let written = std::fs::write(&there, &text);
    let reload = "sudo udevadm control --reload && sudo udevadm trigger --subsystem-match=usb";
    match written {
        Ok(()) => {
            tell(term, &there, &[reload]);
            Ok(exit::PASSED)
        }
        Err(error) if may_not(&error) => {
            let here = Path::new(rules::FILE);
            std::fs::write(here, &text).map_err(|error| Failed::io(here.display(), &error))?;
            let install = format!("sudo install -m 644 {} /etc/udev/rules.d/", rules::FILE);
            tell(term, here, &[&install, reload]);
            Ok(exit::PASSED)
        }
        Err(error) => Err(Failed::io(there.display(), &error)),
    }
}

/// Not allowed, not there, or read only: any other folder will do.
fn may_not(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | NotFound | ReadOnlyFilesystem)
}

fn tell(term: &Term, path: &Path, next: &[&str]) {
    if term.json {
        term.answer(&json::done(json!({ "rules": path, "next": next })));
        return;
    }
    term.answer(&format!("wrote  {}", path.display()));
    for (at, command) in next.iter().enumerate() {
        term.say(&format!("  {} {command}", if at == 0 { "next:" } else { "     " }));
    }
    term.say("  then plug the device out and in again");
}

/// What stands in nobody's way has no class of its own.
pub(super) const NO_CLASS: ProblemClass = ProblemClass::Infra;
