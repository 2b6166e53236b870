//! Which processes are whose.

use std::fs;
use std::path::PathBuf;

use farmhand_runtime::{ProcessId, process_start};

use crate::wait::until;

/// In the environment of everything that a test starts, and so of all that these start.
pub(crate) const TAG: &str = "FARMHAND_TEST_TAG";

/// A process with a tag in its environment.
#[derive(Debug, Clone)]
pub struct Tagged {
    /// Which.
    pub process: ProcessId,
    /// What it runs, as far as that can be told.
    pub command: String,
}

/// All that run with this tag.
pub(crate) fn tagged(tag: &str) -> Vec<Tagged> {
    let wanted = format!("{TAG}={tag}");
    let entries = fs::read_dir("/proc").expect("a Linux has /proc");
    let of = |pid: u32| {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        // One that has just ended has neither.
        let environment = fs::read(folder.join("environ")).ok()?;
        environment.split(|&byte| byte == 0).find(|variable| *variable == wanted.as_bytes())?;
        let command = fs::read(folder.join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        Some(Tagged { process: ProcessId { pid, start: process_start(pid)? }, command })
    };
    entries.flatten().filter_map(|entry| of(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// Waits until nothing runs with this tag but `these`: the kernel ends a dead farm's helpers, and that takes it a moment.
pub async fn nothing_tagged_but(tag: &str, these: &dyn Fn(ProcessId) -> bool) {
    let mut left = Vec::new();
    let looked = until("the helpers of a dead farm have ended", async || {
        left = tagged(tag).into_iter().filter(|tagged| !these(tagged.process)).collect::<Vec<_>>();
        left.is_empty().then_some(())
    });
    looked.await;
}
