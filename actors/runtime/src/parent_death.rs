//! One system call: a child asks to be killed when the thread that made it ends (prctl PR_SET_PDEATHSIG).
#![allow(
    unsafe_code,
    reason = "`pre_exec` is unsafe: what runs there must be async-signal-safe; one prctl is"
)]

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tokio::process::Command;

/// Arranges that the child ends with us, even by `kill -9`.
pub(crate) fn end_with_us(command: &mut Command) {
    let parent = std::process::id();
    let ask = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // We may have ended before the call: then nobody would ever send that signal.
        match getppid() {
            Some(pid) if pid.as_raw_nonzero().get().unsigned_abs() == parent => Ok(()),
            _ => Err(std::io::Error::from(rustix::io::Errno::SRCH)),
        }
    };
    // SAFETY: `ask` allocates nothing and takes no lock: two system calls between fork and exec.
    unsafe {
        command.pre_exec(ask);
    }
}
