//! QEMU as a process that outlives us. It is known before it runs: what starts it writes down its own number and then becomes
//! it (`exec`), so that no kill leaves one that nobody finds.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use farmhand_runtime::{ProcessId, end_process, find_process, own_session, wait_process};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::kind::{AGENT, Kind};
use crate::machine::{MachineError, Program};
use crate::snapshot::{self, Role};

/// From the kill of QEMU to its end: the kernel frees its memory.
const KILLED_WITHIN: Duration = Duration::from_secs(10);
/// From a `quit` to its end: it syncs its disks.
pub(crate) const QUIT_WITHIN: Duration = Duration::from_secs(10);
/// Its number and when it started (proc(5), `stat` field 22), under a name that no half written file has; then it is QEMU.
/// The shell's name holds no space, so that the field is the 22nd word.
const BECOME: &str = r#"set -e; read -r stat < /proc/$$/stat; set -- "$stat" "$@"; stat=$1; shift
words() { shift 21; printf 'pid=%s\nstart=%s\n' "$$" "$1"; }
words $stat > qemu.pid.new; mv qemu.pid.new qemu.pid; exec "$@""#;

/// What opens a memory, below the snapshot's folder, which is the standard input: by its number, for QEMU to read it itself.
const OPEN_MEMORY: &str = "exec 3< /proc/self/fd/0/memory;";
/// That number.
pub(crate) const MEMORY_DESCRIPTOR: u32 = 3;

/// What it says, below its folder.
const LOG: &str = "log";
/// From a start to a number that is written down.
const STARTED_WITHIN: Duration = Duration::from_secs(10);
/// From a fork to another program.
const FORKED_WITHIN: Duration = Duration::from_millis(250);
/// Between two looks for that.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// The file with its number, below its folder.
const PID: &str = "qemu.pid";
/// Its monitor's socket, below its folder.
pub(crate) const MONITOR: &str = "qmp";

/// What QEMU notes, below its folder: each request to shut down, with its reason. A guest's reset is none.
const TRACE: &str = "trace";
const POWER_OFF: &str = "qemu_system_shutdown_request";
/// `guest-shutdown` (QAPI `ShutdownCause`, counted from `none`).
const BY_THE_GUEST: &str = "reason=6";

/// Where QEMU is, and what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emulator {
    /// The program.
    pub program: PathBuf,
    /// What it needs in its environment.
    pub environment: BTreeMap<String, String>,
    /// Where it finds its firmware; none where it knows itself.
    pub firmware: Vec<PathBuf>,
}

/// Waits for one that is being started in this folder and has not written down its number yet, if there is one: whoever started it
/// may be dead. What it says goes to a file that is locked from before its start for as long as it lives.
pub(crate) async fn settled(folder: &Path) {
    let until = Instant::now() + STARTED_WITHIN;
    while find(folder).is_none() && is_locked(&folder.join(LOG)) && Instant::now() < until {
        sleep(LOOK_AGAIN).await;
    }
}

/// A process that is being started, of whoever starts others too, has all that is open here until it is another program: it may
/// have the lock for a moment. Who has it for longer is a machine's.
fn lock(log: &File) -> std::io::Result<()> {
    let until = std::time::Instant::now() + FORKED_WITHIN;
    loop {
        match flock(log, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if std::time::Instant::now() < until => std::thread::sleep(LOOK_AGAIN),
            done => return Ok(done?),
        }
    }
}

fn is_locked(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    matches!(flock(&file, FlockOperation::NonBlockingLockExclusive), Err(Errno::WOULDBLOCK))
}

/// The QEMU of this folder, if one runs.
pub(crate) fn find(folder: &Path) -> Option<ProcessId> {
    find_process(&folder.join(PID))
}

/// What a QEMU begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// Its program, held at its first instruction.
    Program,
    /// A memory that it is told of later, and paused behind that.
    Memory,
}

impl Beginning {
    /// What an earlier machine of this folder, or its owner, may have left.
    fn left_of_earlier_ones(self) -> impl Iterator<Item = &'static str> {
        let always = [MONITOR, AGENT, PID, TRACE, snapshot::OUT, snapshot::SAVING];
        let files = Role::ALL.into_iter().map(Role::file);
        // Who restores has marked the folder before this.
        always.into_iter().chain(files).chain((self == Self::Program).then_some(snapshot::RESTORING))
    }
}

/// Starts one that runs nothing yet. What lies in the folder of an earlier one is overwritten. It has `holds` open for as long
/// as it lives.
pub(crate) fn start(
    folder: &Path,
    emulator: &Emulator,
    program: &Program,
    beginning: Beginning,
    holds: Option<File>,
) -> Result<Child, MachineError> {
    let failed = |why: String| MachineError::Start { program: emulator.program.clone(), why };
    let make = || -> std::io::Result<File> {
        fs::create_dir_all(folder)?;
        for left in beginning.left_of_earlier_ones() {
            match fs::remove_file(folder.join(left)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let log = File::options().create(true).append(true).open(folder.join(LOG))?;
        lock(&log)?;
        log.set_len(0)?;
        Ok(log)
    };
    let log = make().map_err(|error| failed(format!("{}: {error}", folder.display())))?;
    let out = log.try_clone().map_err(|error| failed(error.to_string()))?;
    // Copies, so that a file that is built anew meanwhile is no other program of this machine's. A file system that can share its
    // blocks does.
    let copies = std::thread::scope(|scope| {
        let copy = |(role, file): (&Role, &PathBuf)| fs::copy(file, folder.join(role.file()));
        let copies: Vec<_> =
            program.files.iter().map(|file| (file.1, scope.spawn(move || copy(file)))).collect();
        copies.into_iter().map(|(file, copied)| (file, copied.join())).collect::<Vec<_>>()
    });
    for (file, copied) in copies {
        let said = |why: String| failed(format!("{}: {why}", file.display()));
        copied.map_err(|_| said("it was not copied".into()))?.map_err(|error| said(error.to_string()))?;
    }
    let mut command = Command::new("/bin/sh");
    let become_it = match beginning {
        Beginning::Program => BECOME.to_owned(),
        Beginning::Memory => format!("{OPEN_MEMORY} {BECOME}"),
    };
    command.args(["-c", &become_it, "sh"]).arg(&emulator.program);
    for folder in &emulator.firmware {
        command.arg("-L").arg(folder);
    }
    // Nothing that was not asked for: no devices by default, no configuration of the machine's owner.
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-S"]);
    command.args(["-action", "reboot=shutdown,shutdown=pause", "-D", TRACE, "-trace", POWER_OFF]);
    if beginning == Beginning::Memory {
        command.args(["-incoming", "defer"]);
    }
    command.args(program.kind.arguments());
    // Paths below the folder it runs in: a socket's path has room for 107 bytes only (unix(7)).
    command.args([
        "-chardev",
        "socket,id=qmp,path=qmp,server=on,wait=off",
        "-mon",
        "chardev=qmp,mode=control",
    ]);
    // What is said while nobody reads is in the log, and nowhere else.
    command.args(["-chardev", "pty,id=console,logfile=console,logappend=on", "-serial", "chardev:console"]);
    command.args([NAMED, &program.name]);
    command.current_dir(folder).envs(&emulator.environment).kill_on_drop(false);
    // It reads nothing of it; but a lock on what it is ends with the last process that has it open.
    command.stdin(holds.map_or_else(Stdio::null, Stdio::from)).stdout(out).stderr(log);
    own_session(&mut command);
    command.spawn().map_err(|error| failed(error.to_string()))
}

/// Before the machine's name, among QEMU's words.
const NAMED: &str = "-name";

/// What differs in what this process was told, if it is not a machine of this kind and name.
pub(crate) fn differs(process: ProcessId, kind: &Kind, called: &str) -> std::io::Result<Option<String>> {
    let told = fs::read(format!("/proc/{}/cmdline", process.pid))?;
    let told: Vec<_> = told.split(|&byte| byte == 0).collect();
    let has = |words: &[&str]| {
        let wanted: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
        told.windows(wanted.len()).any(|some| some == wanted)
    };
    // Its number may have become another's meanwhile.
    if !process.is_alive() {
        return Ok(Some("it has ended".into()));
    }
    Ok(if !has(&kind.arguments()) {
        Some(format!("it is no {}", kind.name))
    } else if !has(&[NAMED, called]) {
        Some(format!("it is not called {called}"))
    } else {
        None
    })
}

/// Whether the guest in this folder has powered its machine off. Nothing starts such a machine anew but a new process.
pub(crate) fn was_powered_off(folder: &Path) -> bool {
    let noted = fs::read_to_string(folder.join(TRACE)).unwrap_or_default();
    noted.lines().any(|line| line.contains(POWER_OFF) && line.ends_with(BY_THE_GUEST))
}

/// The program that runs as this process: itself, whatever lies at its path by now.
pub(crate) fn running_program(process: ProcessId) -> PathBuf {
    PathBuf::from(format!("/proc/{}/exe", process.pid))
}

/// QEMU's last words.
pub(crate) fn last_words(folder: &Path) -> String {
    let said = fs::read_to_string(folder.join(LOG)).unwrap_or_default();
    // It tells where the console is, which is no word on anything that went wrong.
    let words = said.lines().filter(|line| !line.starts_with("char device redirected to"));
    let lines: Vec<_> = words.rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("; ")
}

/// Kills the QEMU of this folder, if one runs or is being started.
pub(crate) async fn end_any(folder: &Path) -> Result<(), MachineError> {
    settled(folder).await;
    match find(folder) {
        Some(process) => end(process).await,
        None => Ok(()),
    }
}

/// Kills it.
pub(crate) async fn end(process: ProcessId) -> Result<(), MachineError> {
    Ok(end_process(process, KILLED_WITHIN).await?)
}

/// Waits for the end of one that was told to.
pub(crate) async fn wait(process: ProcessId) -> Result<(), MachineError> {
    Ok(wait_process(process, QUIT_WITHIN).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;

    /// As whoever starts a machine leaves it where it is killed at once. Seen red without `settled`.
    #[tokio::test]
    async fn one_whose_number_is_not_written_yet_is_ended_too() {
        let folder = std::env::temp_dir().join(format!("farmhand-settled-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let log = File::create(folder.join(LOG)).unwrap();
        flock(&log, FlockOperation::NonBlockingLockExclusive).unwrap();
        let slow = format!("sleep 0.3; {BECOME}");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &slow, "sh", "sleep", "1000"]).current_dir(&folder).stdout(log);
        let mut child = command.spawn().unwrap();
        drop(command);
        assert_eq!(find(&folder), None);
        let ended = tokio::join!(Machine::end_any(&folder), child.wait());
        assert!(ended.0.is_ok() && !ended.1.unwrap().success());
        // And where there is none, nobody is waited for.
        assert_eq!(Machine::end_any(&folder).await, Ok(()));
        fs::remove_dir_all(folder).unwrap();
    }
}
