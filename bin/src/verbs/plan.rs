//! `--dry-run`: what would be done.

use farmhand::protocol::{Compilers, DeviceSelect, Goal, Job, Source};
use serde_json::json;

use crate::exit;
use crate::json;
use crate::screen::step;
use crate::term::Term;
use crate::units::took;

pub(crate) fn show(term: &Term, job: &Job) -> u8 {
    let (kind, what) = match &job.build.source {
        Source::Sketch(folder) => ("sketch", folder.clone()),
        Source::Tree(folder) => ("tree", folder.clone()),
        Source::Profile(of) => ("profile", format!("{} of {}", of.name, of.folder)),
        Source::Environment(of) => ("environment", format!("{} of {}", of.name, of.folder)),
        Source::Artifact(file) => ("artifact", file.clone()),
        Source::Guest(guest) => ("program", guest.program.clone()),
        Source::Boot(boot) => ("boot image", boot.image.clone()),
        Source::Partitions(steps, _) => ("partitions", format!("{} steps", steps.len())),
        Source::Command(_, command, artifact) | Source::CommandOf(_, command, artifact, _) => {
            ("command", format!("{command}, which leaves {artifact}"))
        }
    };
    let device = match &job.device {
        DeviceSelect::Board => format!("any {}", job.board),
        DeviceSelect::Named(name) => name.to_string(),
        DeviceSelect::Port(port) => format!("the one on {port}"),
    };
    let toolchain = match job.build.toolchain.compilers() {
        Compilers::Managed => "managed",
        Compilers::System => "system",
        Compilers::Clang => "clang",
    };
    if term.json {
        term.answer(&json::done(json!({
            "dry_run": true, "board": job.board, "source": kind, "what": what, "toolchain": toolchain,
            "device": device, "once": job.once, "expect": job.expect, "fail_on": job.fail_on,
            "timeout_ms": job.timeout_ms,
        })));
        return exit::PASSED;
    }
    if let Source::Boot(boot) = &job.build.source {
        term.answer(&step("boot", &format!("{} on {device}, never twice", boot.image), "", ""));
        let made = [("ramdisk", &boot.ramdisk), ("dtb", &boot.dtb), ("cmdline", &boot.cmdline)];
        for (part, said) in made {
            if let Some(said) = said {
                term.answer(&step(part, said, "", ""));
            }
        }
    } else {
        let line = format!("{kind} {what} for {}, {toolchain} toolchain", job.board);
        term.answer(&step("build", &line, "", ""));
    }
    if job.goal != Goal::Build && !matches!(job.build.source, Source::Boot(_)) {
        let once = if job.once { ", never twice" } else { "" };
        term.answer(&step("flash", &format!("{device}{once}"), "", ""));
    }
    if job.goal == Goal::Run {
        term.answer(&step(
            "observe",
            &format!("for {} at most, {} baud", took(job.timeout_ms), job.baud),
            "",
            "",
        ));
        for (verb, patterns) in [("expect", &job.expect), ("fail on", &job.fail_on)] {
            for pattern in patterns {
                term.answer(&step(verb, &format!("{pattern:?}"), "", ""));
            }
        }
    }
    exit::PASSED
}
