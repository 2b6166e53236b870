//! One system call: a board begins a session of its own (setsid), so that it does not end with us.
#![allow(
    unsafe_code,
    reason = "`pre_exec` is unsafe: what runs there must be async-signal-safe; one setsid is"
)]

use tokio::process::Command;

/// Arranges that the child has a session and a process group of its own: no terminal's hang-up and no signal to our
/// group reaches it.
pub(crate) fn own_session(command: &mut Command) {
    // SAFETY: one system call between fork and exec; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?));
    }
}
