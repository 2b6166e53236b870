//! The emulated machines of a farm's folder: they outlive farms, and not a benchmark.

use std::fs;
use std::path::{Path, PathBuf};

use farmhand_runtime::{ProcessId, find_process};
use rustix::process::{Pid, Signal, kill_process};

use crate::Failure;

/// Those of this home. Dropped, they are killed.
pub(crate) struct Machines {
    boards: PathBuf,
}

impl Machines {
    /// None yet: those that an earlier run has left are killed.
    pub(crate) fn none(home: &Path) -> Self {
        let machines = Self { boards: home.join("boards") };
        machines.kill();
        machines
    }

    /// All that run.
    pub(crate) fn all(&self) -> Vec<ProcessId> {
        let folders = fs::read_dir(&self.boards).into_iter().flatten().flatten();
        folders.filter_map(|entry| find_process(&entry.path().join("qemu.pid"))).collect()
    }

    fn kill(&self) {
        for process in self.all() {
            if let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) {
                // It may have ended.
                let _ended = kill_process(pid, Signal::KILL);
            }
        }
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Bytes of memory of these processes, what they share divided among all who do (proc(5), `Pss`).
pub(crate) fn memory(processes: impl IntoIterator<Item = u32>) -> Result<f64, Failure> {
    let mut kib = 0;
    for pid in processes {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no Pss in it")?;
        kib += number.trim().parse::<u64>()?;
    }
    Ok((kib << 10) as f64)
}
