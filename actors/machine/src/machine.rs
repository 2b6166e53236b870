//! A machine: loaded and held, sent on its way, adopted, ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farmhand_runtime::{EndError, ProcessId};
use farmhand_wire::qmp::{Answer, Chardev, Command, Event, RebootAction, RunState, ShutdownCause, Status};
use thiserror::Error;
use tokio::process::Child;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};

use crate::kind::{AGENT, Kind};
use crate::monitor::{Monitor, MonitorError, News};
use crate::process::{self, Beginning, Emulator, last_words};
use crate::snapshot::{self, Role};

/// From a start to a monitor that listens: some tens of milliseconds, and more on a machine that does other work.
const UP_WITHIN: Duration = Duration::from_secs(30);
/// From a reset that was asked for to one that is done: QEMU does it between two blocks of the guest's code.
const RESET_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks whether it listens, or is reset.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Commands that are in flight at once: more than any owner has, and all of them are what one who saves it takes.
const IN_FLIGHT_MAX: u32 = 64;
/// For a save to end, where a command comes meanwhile: the memory of a small machine takes a tenth of a second.
const SAVED_WITHIN: Duration = Duration::from_secs(10);
/// For a machine to be made of a snapshot, or saved, by somebody else.
const MADE_WITHIN: Duration = Duration::from_secs(10);
/// What a machine is in that waits for its memory (QAPI `RunState`).
const INCOMING: &str = "inmigrate";
/// What one is in that was made of a snapshot: what pauses a machine that runs marks it, and lets it go on.
const NOT_LET_GO: [&str; 2] = [INCOMING, "paused"];
/// Bytes of a Unix socket's path (unix(7), `sun_path`, with its end).
const SOCKET_PATH_LEN_MAX: usize = 107;

/// What is in a machine.
#[derive(Debug, Clone)]
pub struct Program {
    /// Which machine.
    pub kind: &'static Kind,
    /// The files that it begins with: [`Kind::files`]. Each machine has copies of its own.
    pub files: BTreeMap<Role, PathBuf>,
    /// What the machine is called in lists of processes.
    pub name: String,
}

impl Program {
    /// An ELF file, for a machine that begins with one.
    #[must_use]
    pub fn elf(kind: &'static Kind, image: PathBuf, name: String) -> Self {
        Self { kind, files: BTreeMap::from([(Role::Program, image)]), name }
    }
}

/// What a machine does now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Now {
    /// It is held at its first instruction: it has never run.
    Held,
    /// It runs.
    Runs,
    /// It has run, and is stopped: by itself, which has reset it or powered it off, or by somebody else.
    Stopped(String),
}

/// How a guest ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It reset the machine.
    Reset,
    /// It powered it off.
    Off,
    /// It panicked.
    Panicked,
}

impl Ended {
    /// What this event means.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Shutdown(cause) if !cause.guest => None,
            Event::Shutdown(cause) if cause.reason == ShutdownCause::GuestReset => Some(Self::Reset),
            Event::Shutdown(_) => Some(Self::Off),
            Event::GuestPanicked { .. } => Some(Self::Panicked),
            _ => None,
        }
    }

    /// In words.
    #[must_use]
    pub fn cause(self) -> &'static str {
        match self {
            Self::Reset => "the guest reset its machine",
            Self::Off => "the guest powered its machine off",
            Self::Panicked => "the guest panicked",
        }
    }
}

/// Why there is no machine, or it did not do it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MachineError {
    /// QEMU did not start.
    #[error("start {}: {why}", .program.display())]
    Start {
        /// QEMU.
        program: PathBuf,
        /// Its words, or the system's.
        why: String,
    },
    /// Its folder's path is too long for a socket in it.
    #[error("{} is too long a path for a socket: {len} bytes, at most {SOCKET_PATH_LEN_MAX}", .path.display())]
    Path {
        /// The socket's.
        path: PathBuf,
        /// Bytes.
        len: usize,
    },
    /// It did not end.
    #[error("end it: {0}")]
    Stuck(#[from] EndError),
    /// Its monitor.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// It is somewhere else than where it should be.
    #[error("it is {found}, and should be {wanted}")]
    State {
        /// In QEMU's words.
        found: String,
        /// In ours.
        wanted: &'static str,
    },
    /// It is being saved, or made of a snapshot. Nothing was asked of it.
    #[error("it is being saved or restored")]
    Busy,
    /// It was paused to be saved and did not go on, so that it was ended: one that is paused looks like one that is well.
    #[error("it did not go on after it was saved, and was ended: {why}")]
    NotResumed {
        /// What was tried last.
        why: String,
    },
    /// A file in its folder.
    #[error("{}: {why}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// It has no console that can be opened.
    #[error("it tells of no console: {0}")]
    Console(String),
}

/// A machine that was made, with its news.
#[derive(Debug)]
pub struct Loaded {
    /// It.
    pub machine: Machine,
    /// What it says of itself.
    pub news: mpsc::Receiver<News>,
}

/// A machine that answers. Dropped, it goes on.
#[derive(Debug, Clone)]
pub struct Machine {
    folder: PathBuf,
    process: ProcessId,
    monitor: Monitor,
    console: PathBuf,
    in_flight: Arc<Semaphore>,
}

/// Something that the machine was told and has not answered. While one of these lives the machine is not saved.
#[derive(Debug)]
pub struct InFlight {
    _one: OwnedSemaphorePermit,
}

impl Machine {
    /// A machine with this program in it, held at its first instruction. The one that ran in this folder is ended first.
    pub async fn load(folder: &Path, emulator: &Emulator, program: &Program) -> Result<Loaded, MachineError> {
        has_room_for_a_socket(folder)?;
        Self::end_any(folder).await?;
        Self::start(folder, emulator, program, Beginning::Program, None).await
    }

    /// One that runs nothing yet, and has `holds` open as long as it lives. None runs in this folder.
    pub(crate) async fn start(
        folder: &Path,
        emulator: &Emulator,
        program: &Program,
        beginning: Beginning,
        holds: Option<File>,
    ) -> Result<Loaded, MachineError> {
        let mut child = process::start(folder, emulator, program, beginning, holds)?;
        let up = Self::up(folder, &mut child, beginning).await;
        let Ok(loaded) = up else {
            // Nobody was told of it.
            let _ended_meanwhile = child.start_kill();
            let _reaped = child.wait().await;
            return up;
        };
        // Whoever started it reaps it, for as long as that lives.
        tokio::spawn(async move { child.wait().await });
        Ok(loaded)
    }

    async fn up(folder: &Path, child: &mut Child, beginning: Beginning) -> Result<Loaded, MachineError> {
        let until = Instant::now() + UP_WITHIN;
        loop {
            let failed = |why: String| MachineError::Start { program: "QEMU".into(), why };
            if let Some(status) = child.try_wait().map_err(|error| failed(error.to_string()))? {
                return Err(failed(format!("{status}: {}", last_words(folder))));
            }
            match Self::reach(folder).await {
                Ok(loaded) => {
                    return match (loaded.machine.now().await?, beginning) {
                        (Now::Held, Beginning::Program) => Ok(loaded),
                        (Now::Stopped(state), Beginning::Memory) if state == INCOMING => Ok(loaded),
                        (other, _) => {
                            Err(MachineError::State { found: format!("{other:?}"), wanted: "held" })
                        }
                    };
                }
                Err(MachineError::Monitor(MonitorError::Gone(_))) if Instant::now() < until => {
                    sleep(LOOK_AGAIN).await
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The machine of this folder, if one runs and answers. One that was being saved when its owner died goes on, or is ended;
    /// one that was being made of a snapshot is ended: it is no machine yet. Whoever does that already, or has it made or saved,
    /// is waited for, 10 s at most.
    pub async fn adopt(folder: &Path) -> Result<Option<Loaded>, MachineError> {
        unless_busy(|| Self::adopt_now(folder)).await
    }

    async fn adopt_now(folder: &Path) -> Result<Option<Loaded>, MachineError> {
        snapshot::end_half_restored(folder).await?;
        process::settled(folder).await;
        let Some(process) = process::find(folder) else {
            snapshot::forget_the_save(folder)?;
            return Ok(None);
        };
        match Self::reach(folder).await {
            // It closes its monitor before it is gone.
            Err(MachineError::Monitor(MonitorError::Gone(_))) if process::wait(process).await.is_ok() => {
                snapshot::forget_the_save(folder)?;
                Ok(None)
            }
            Ok(loaded) => {
                snapshot::go_on_after_a_crash(&loaded.machine, folder).await?;
                // Its owner may have died before it did that.
                loaded.machine.stops_at_reset().await?;
                Ok(Some(loaded))
            }
            Err(error) => Err(error),
        }
    }

    /// Ends the machine of this folder, whatever it does; nothing where there is none. One that is being made there of a snapshot is
    /// waited for, 10 s at most, and ended then.
    pub async fn end_any(folder: &Path) -> Result<(), MachineError> {
        unless_busy(|| snapshot::end_half_restored(folder)).await?;
        process::end_any(folder).await
    }

    /// Whether the machine of this folder, if it is this one yet, was ever let go. One that was not is ended: held at its first instruction, or made of a
    /// snapshot and paused since. Of one that does not answer nothing is known, and it is left: another may have its monitor.
    pub async fn end_unless_let_go(folder: &Path, one: ProcessId) -> Result<bool, MachineError> {
        match Self::adopt(folder).await? {
            Some(Loaded { machine, .. }) if machine.process == one => {
                machine.end_unless_it_was_let_go().await
            }
            // Another has its place by now, and an owner.
            Some(_) | None => Ok(false),
        }
    }

    /// As [`Machine::end_unless_let_go`], of one that is at hand.
    pub async fn end_unless_it_was_let_go(&self) -> Result<bool, MachineError> {
        let _not_saved_meanwhile = self.in_flight().await?;
        match self.now().await? {
            Now::Runs => Ok(true),
            Now::Stopped(state) if !NOT_LET_GO.contains(&state.as_str()) => Ok(true),
            // This one, and no other that has its place by now.
            Now::Held | Now::Stopped(_) => process::end(self.process).await.map(|()| false),
        }
    }

    /// The machine that runs in this folder.
    #[must_use]
    pub fn process_in(folder: &Path) -> Option<ProcessId> {
        process::find(folder)
    }

    /// Those of these folders' folders that have a machine which runs, or is being made of a snapshot.
    #[must_use]
    pub fn running_below(folder: &Path) -> Vec<PathBuf> {
        let folders = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        folders.filter(|folder| snapshot::is_restoring(folder) || process::find(folder).is_some()).collect()
    }

    async fn reach(folder: &Path) -> Result<Loaded, MachineError> {
        let gone = || MonitorError::Gone("no such process".into());
        let process = process::find(folder).ok_or_else(gone)?;
        let (monitor, news) = Monitor::connect(&folder.join(process::MONITOR)).await?;
        let console = console(&monitor).await?;
        let in_flight = Arc::new(Semaphore::new(IN_FLIGHT_MAX as usize));
        let folder = folder.to_owned();
        Ok(Loaded { machine: Self { folder, process, monitor, console, in_flight }, news })
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// Its console: a terminal. What it says while that is not open is lost to whoever opens it later.
    #[must_use]
    pub fn console(&self) -> &Path {
        &self.console
    }

    /// Where the agent of a Linux guest in this folder is reached. QEMU listens there, whether the agent does or not.
    #[must_use]
    pub fn agent(folder: &Path) -> PathBuf {
        folder.join(AGENT)
    }

    pub(crate) fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// To be held from before the machine is told something, on its console too, until it has answered: what is on its way to
    /// a machine is in no snapshot of it. Waits while the machine is being saved, 10 s at most.
    pub async fn in_flight(&self) -> Result<InFlight, MachineError> {
        match timeout(SAVED_WITHIN, Arc::clone(&self.in_flight).acquire_owned()).await {
            Ok(Ok(one)) => Ok(InFlight { _one: one }),
            Ok(Err(_)) | Err(_) => Err(MachineError::Busy),
        }
    }

    /// Waits until nothing is in flight, and keeps it so; nothing where that takes longer.
    pub(crate) async fn drained(&self, within: Duration) -> Option<InFlight> {
        let all = Arc::clone(&self.in_flight).acquire_many_owned(IN_FLIGHT_MAX);
        Some(InFlight { _one: timeout(within, all).await.ok()?.ok()? })
    }

    /// Which QEMU it is.
    #[must_use]
    pub fn version(&self) -> String {
        let version = &self.monitor.greeting.version;
        format!("{}.{}.{}", version.major, version.minor, version.micro)
    }

    /// What it does.
    pub async fn now(&self) -> Result<Now, MachineError> {
        Self::state_of(&self.monitor).await
    }

    /// What the machine of this monitor does.
    pub(crate) async fn state_of(monitor: &Monitor) -> Result<Now, MachineError> {
        let Answer::Status(Status { running, state }) = monitor.ask(Command::QueryStatus).await? else {
            return Err(MachineError::State { found: "without a status".into(), wanted: "told" });
        };
        Ok(match state {
            RunState::Prelaunch => Now::Held,
            _ if running => Now::Runs,
            other => Now::Stopped(other.as_str().to_owned()),
        })
    }

    /// How its guest has ended it while nobody listened, if it has: its state alone makes no difference between a reset and a
    /// power-off, and QEMU notes who asks for the latter.
    pub async fn ended_by_itself(&self) -> Result<Option<Ended>, MachineError> {
        Ok(match self.now().await? {
            Now::Stopped(state) if state == "shutdown" && process::was_powered_off(&self.folder) => {
                Some(Ended::Off)
            }
            Now::Stopped(state) if state == "shutdown" => Some(Ended::Reset),
            Now::Stopped(state) if state == "guest-panicked" => Some(Ended::Panicked),
            _ => None,
        })
    }

    /// Sends it on its way: **the handoff** of one that is held. Issues its command once; an error but
    /// [`MonitorError::Failed`], [`MonitorError::NotAsked`] and [`MonitorError::Saving`] is ambiguous, and [`Machine::now`] tells.
    pub async fn go(&self) -> Result<(), MonitorError> {
        // One that is paused to be saved goes on by itself, and not before.
        let _in_flight = self.in_flight().await.map_err(|_| MonitorError::Saving)?;
        self.monitor.ask(Command::Cont).await.map(drop)
    }

    /// Starts anew one that has reset itself, or is powered off; nothing where it runs. In between it is held, as one that has never
    /// run is: whoever asks then cannot tell, so that the handoff that it ran by is to be on record before this.
    ///
    /// A firmware of a PC resets the machine itself, once, when it finds that it has run before (SeaBIOS, `handle_resume`). A guest of
    /// that kind may reset it from here on without being stopped, until [`Machine::stops_at_reset`].
    pub async fn reset(&self, kind: &Kind) -> Result<(), MachineError> {
        let _in_flight = self.in_flight().await?;
        if matches!(self.now().await?, Now::Runs) {
            return Ok(());
        }
        // QEMU makes no difference between our reset and the guest's.
        self.monitor.ask(Command::SetAction { reboot: RebootAction::Reset }).await?;
        self.monitor.ask(Command::SystemReset).await?;
        let until = Instant::now() + RESET_WITHIN;
        loop {
            match self.now().await? {
                Now::Held => break,
                now if Instant::now() > until => {
                    return Err(MachineError::State { found: format!("{now:?}"), wanted: "reset" });
                }
                _ => sleep(LOOK_AGAIN).await,
            }
        }
        if !kind.is_linux() {
            self.stops_at_reset().await?;
        }
        self.monitor.ask(Command::Cont).await?;
        Ok(())
    }

    /// From here on a guest that resets it finds it stopped.
    pub async fn stops_at_reset(&self) -> Result<(), MachineError> {
        Ok(self.monitor.ask(Command::SetAction { reboot: RebootAction::Shutdown }).await.map(drop)?)
    }

    /// Kills it: one that stands still answers no monitor.
    pub async fn end(&self) -> Result<(), MachineError> {
        process::end(self.process).await
    }

    /// Ends it.
    pub async fn quit(self) -> Result<(), MachineError> {
        match self.monitor.ask(Command::Quit).await {
            // It may be gone before its answer is.
            Ok(_) | Err(MonitorError::Gone(_)) => process::wait(self.process).await,
            Err(_) => process::end(self.process).await,
        }
    }
}

/// Does this as soon as nobody else makes the machine of a snapshot or saves it.
async fn unless_busy<T, F: Future<Output = Result<T, MachineError>>>(
    work: impl Fn() -> F,
) -> Result<T, MachineError> {
    let until = Instant::now() + MADE_WITHIN;
    loop {
        match work().await {
            Err(MachineError::Busy) if Instant::now() < until => sleep(LOOK_AGAIN).await,
            done => return done,
        }
    }
}

/// QEMU is told of sockets in its folder by their names; we reach them by their paths.
pub(crate) fn has_room_for_a_socket(folder: &Path) -> Result<(), MachineError> {
    let socket = folder.join(process::MONITOR);
    match socket.as_os_str().len() {
        len if len > SOCKET_PATH_LEN_MAX => Err(MachineError::Path { path: socket, len }),
        _ => Ok(()),
    }
}

/// `pty:/dev/pts/7`, of the character device that we called `console`.
async fn console(monitor: &Monitor) -> Result<PathBuf, MachineError> {
    let Answer::Chardevs(all) = monitor.ask(Command::QueryChardev).await? else {
        return Err(MachineError::Console("no list".into()));
    };
    let is_it = |chardev: &&Chardev| chardev.label.as_str() == "console";
    let filename = all.iter().find(is_it).map(|chardev| chardev.filename.as_str());
    let path = filename.and_then(|filename| filename.strip_prefix("pty:"));
    path.map(PathBuf::from).ok_or_else(|| MachineError::Console(filename.unwrap_or("none").to_owned()))
}
