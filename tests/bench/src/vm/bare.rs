//! The peer: QEMU with nobody around it, told the same as farmhand's, which reads and writes the memory's file itself.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use farmhand_agent_link::{AgentLink, Command as GuestCommand, How};
use farmhand_runtime::find_process;
use tokio::task::JoinSet;

use super::monitor::Monitor;
use crate::Failure;

/// For a guest to answer. What hangs is an error and not a figure.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// Bytes a second, for QEMU's migrations: none that a file reaches. Its own default is 128 MiB (QAPI `max-bandwidth`).
const NO_LIMIT: u64 = 1 << 40;

/// What a QEMU was told.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    words: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Told {
    /// The machine of this folder, which was made of a snapshot; as the kernel has it.
    pub(crate) fn of(folder: &Path) -> Result<Self, Failure> {
        let process = find_process(&folder.join("qemu.pid")).ok_or("no machine runs there")?;
        let read = |what: &str| fs::read(format!("/proc/{}/{what}", process.pid));
        let words: Vec<_> = split(&read("cmdline")?, 0).map(OsString::from_vec).collect();
        if !words.iter().any(|word| word == "-incoming") {
            return Err("its machine was not made of a snapshot".into());
        }
        let pair = |entry: Vec<u8>| {
            let at = entry.iter().position(|&byte| byte == b'=')?;
            Some((OsString::from_vec(entry[..at].into()), OsString::from_vec(entry[at + 1..].into())))
        };
        Ok(Self { words, environment: split(&read("environ")?, 0).filter_map(pair).collect() })
    }
}

fn split(bytes: &[u8], at: u8) -> impl Iterator<Item = Vec<u8>> {
    bytes.split(move |&byte| byte == at).filter(|word| !word.is_empty()).map(<[u8]>::to_vec)
}

/// A QEMU. Dropped, it is killed.
struct Process(Child);

/// A machine. It ends with this.
pub(crate) struct Bare {
    process: Process,
    monitor: Monitor,
    folder: PathBuf,
}

/// A folder for one, empty.
pub(crate) fn folder(below: &Path, name: &str) -> Result<PathBuf, Failure> {
    let folder = below.join(name);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

impl Bare {
    /// One of a snapshot, in this folder, which is empty; let go. Nothing of the snapshot is verified.
    pub(crate) fn restored(told: &Told, snapshot: &Path, folder: &Path) -> Result<Self, Failure> {
        for read_only in ["kernel", "initrd"] {
            symlink(snapshot.join(read_only), folder.join(read_only))?;
        }
        fs::copy(snapshot.join("disk"), folder.join("disk"))?;
        // A duplicate is inherited, and has its number in QEMU too.
        let memory = rustix::io::dup(File::open(snapshot.join("memory"))?)?;
        let (program, words) = told.words.split_first().ok_or("a process without a name")?;
        let mut command = Command::new(program);
        command.args(words).current_dir(folder).env_clear().envs(told.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(folder.join("log"))?);
        let process = Process(command.spawn()?);
        let mut monitor = Monitor::connect(&folder.join("qmp"))?;
        monitor.tell_of_migrations()?;
        monitor.ask("migrate-incoming", &format!(r#"{{"uri": "fd:{}"}}"#, memory.as_raw_fd()))?;
        monitor.migrated()?;
        monitor.ask("cont", "{}")?;
        Ok(Self { process, monitor, folder: folder.to_owned() })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Its agent, once that has said how it is.
    pub(crate) async fn healthy(&self) -> Result<AgentLink, Failure> {
        let (link, _) = AgentLink::connect(&self.folder.join("agent"), ANSWERS_WITHIN).await?;
        link.health(ANSWERS_WITHIN).await?;
        Ok(link)
    }

    /// Saves it and lets it go on; on the disk when this is done. How long it took, and the bytes of its memory.
    pub(crate) fn save(&mut self, limited: bool) -> Result<(Duration, u64), Failure> {
        if !limited {
            self.monitor.ask("migrate-set-parameters", &format!(r#"{{"max-bandwidth": {NO_LIMIT}}}"#))?;
        }
        let (memory, disk) = (self.folder.join("memory.saved"), self.folder.join("disk.saved"));
        let began = Instant::now();
        let memory = File::create(memory)?;
        self.monitor.give("memory", &memory)?;
        self.monitor.ask("stop", "{}")?;
        self.monitor.ask("migrate", r#"{"uri": "fd:memory"}"#)?;
        self.monitor.migrated()?;
        fs::copy(self.folder.join("disk"), &disk)?;
        self.monitor.ask("cont", "{}")?;
        memory.sync_all()?;
        File::open(&disk)?.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        Ok((began.elapsed(), memory.metadata()?.len()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// `true` in a guest, so many times at once: until the last has ended.
pub(crate) async fn run(link: &AgentLink, at_once: usize) -> Result<Duration, Failure> {
    let began = Instant::now();
    let mut all = JoinSet::new();
    for _ in 0..at_once {
        let link = link.clone();
        all.spawn(async move {
            let command = GuestCommand { argv: vec!["true".into()], ..GuestCommand::default() };
            let mut running = link.run(command).await?;
            while running.output.recv().await.is_some() {}
            match running.ended().await? {
                How::Exit(0) => Ok(()),
                other => Err(Failure::from(format!("`true` ended so: {other:?}"))),
            }
        });
    }
    while let Some(ended) = all.join_next().await {
        ended??;
    }
    Ok(began.elapsed())
}
