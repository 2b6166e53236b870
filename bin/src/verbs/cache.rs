//! `clean --cache`: how large the cache of objects is, and what of it is too much, removed. It needs no farm, and keeps no
//! build out.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use farmhand::{CollectWish, cache_is_due, collect_cache};
use rustix::process::nice;
use serde_json::json;

use crate::args::Global;
use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::project;
use crate::term::Term;
use crate::units::bytes;

/// How long who collects already is waited for: it reads a directory of some hundred thousand files.
const WAIT: Duration = Duration::from_secs(30);
/// Behind a build others go first: as nice(1) has it where nobody says.
const NICE: i32 = 10;

pub(crate) fn run(global: &Global, term: &Term, keep_bytes: Option<u64>, behind: bool) -> Result<u8, Failed> {
    let home = project::home(global)?;
    let limit_bytes = match keep_bytes {
        Some(bytes) => bytes,
        None => project::cache_bytes()?,
    };
    if behind {
        if !cache_is_due(&home, limit_bytes) {
            return Ok(exit::PASSED);
        }
        let _as_it_is = nice(NICE);
    }
    let wait = if behind { Duration::ZERO } else { WAIT };
    let done = collect_cache(&home, CollectWish { limit_bytes, dry_run: global.dry_run, wait })?;
    let left = done.bytes - done.bytes_gone;
    if term.json {
        term.answer(&json::done(json!({ "dry_run": global.dry_run, "limit_bytes": limit_bytes,
            "files": done.files, "bytes": done.bytes, "files_gone": done.files_gone,
            "bytes_gone": done.bytes_gone, "freed_bytes": done.freed_bytes, "unfinished_gone": done.left,
            "kept_bytes": done.kept_bytes })));
        return Ok(exit::PASSED);
    }
    if done.files_gone > 0 {
        let word = if global.dry_run { "would go" } else { "collected" };
        let linked = match done.bytes_gone - done.freed_bytes {
            0 => String::new(),
            linked => format!("; {} of it are in projects too, and stay there", bytes(linked)),
        };
        let files = if done.files_gone == 1 { "file" } else { "files" };
        term.answer(&format!("{word}  {} {files}, {}{linked}", done.files_gone, bytes(done.bytes_gone)));
    }
    let shown = if global.dry_run { done.bytes } else { left };
    let files = if global.dry_run { done.files } else { done.files - done.files_gone };
    let word = if files == 1 { "file" } else { "files" };
    term.answer(&format!("cache    {} in {files} {word}, of {} at most", bytes(shown), bytes(limit_bytes)));
    if done.kept_bytes > limit_bytes {
        let kept = bytes(done.kept_bytes);
        term.say(&format!(
            "  cache    {kept} stay: programs for this machine that ran within a day, and what is just being made"
        ));
    }
    Ok(exit::PASSED)
}

/// Has the cache collected by a process of its own, where it is time to: the command that built ends now, and its user
/// does not wait. It ends by itself, and is alone by its lock.
pub(crate) fn collect_behind(home: &Path) {
    // Who set it wrongly has been told by the build.
    let Ok(limit_bytes) = project::cache_bytes() else { return };
    if !cache_is_due(home, limit_bytes) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut command = Command::new(program);
    command.args(["clean", "--cache", "--behind", "--home"]).arg(home).current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // The next build tries it again.
    let _not_started = command.spawn();
}
