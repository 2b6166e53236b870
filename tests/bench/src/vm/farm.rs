//! Ours: a farm that runs, asked by its API as the command line asks it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use farmhand::protocol::{Answer, DeviceName, GuestCommand, GuestEnded, Request, SnapshotCommand};
use farmhand::transport::{Client, Reply};
use tokio::task::JoinSet;

use super::machines::Machines;
use crate::Failure;
use crate::daemon::{Begins, Daemon};
use crate::set_up::SetUp;

/// Its guest, and what that is.
const VM: &str = "vm";
const BOARD: &str = "qemu:linux-x86_64";
/// The snapshot that all is made of.
const READY: &str = "ready";

/// A farm with a Linux guest.
pub(crate) struct Farm {
    daemon: Daemon,
    home: PathBuf,
    pub(crate) machines: Machines,
}

impl Farm {
    /// Starts one, boots its guest and saves it; and restores it, so that it runs as all those that are measured.
    pub(crate) async fn start(set_up: &SetUp) -> Result<Self, Failure> {
        for package in ["qemu-x86", "qemu-img", "linux-guest"] {
            set_up.package(package).await?;
        }
        let home = set_up.home();
        let machines = Machines::none(&home);
        match fs::remove_dir_all(home.join("snapshots")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let farm_toml = format!("[[device]]\nname = {VM:?}\nboard = {BOARD:?}\ndriver = \"qemu\"\n");
        let begins = Begins { farm_toml: &farm_toml, fresh: true, log: "warn" };
        let farm = Self { daemon: Daemon::begin(set_up, begins).await?, home, machines };
        farm.boot().await?;
        farm.save(READY).await?;
        farm.restore().await?;
        Ok(farm)
    }

    /// Where the guest's machine is.
    pub(crate) fn folder(&self) -> PathBuf {
        self.home.join("boards").join(VM)
    }

    /// Where the snapshot is.
    pub(crate) fn snapshot(&self) -> PathBuf {
        self.home.join("snapshots").join(READY)
    }

    /// A boot, until it is healthy.
    pub(crate) async fn boot(&self) -> Result<Duration, Failure> {
        self.timed(Request::Guest(GuestCommand::Run { device: vm()?, board: BOARD.into() })).await
    }

    /// A restore, until it is healthy.
    pub(crate) async fn restore(&self) -> Result<Duration, Failure> {
        let command = SnapshotCommand::Restore { device: vm()?, name: READY.into() };
        self.timed(Request::Snapshot(command)).await
    }

    /// A save, until it is done.
    pub(crate) async fn save(&self, name: &str) -> Result<Duration, Failure> {
        let command = SnapshotCommand::Create { device: vm()?, name: name.into(), replace: true };
        self.timed(Request::Snapshot(command)).await
    }

    /// New machines of the snapshot, until all are healthy.
    pub(crate) async fn clones(&self, count: u16) -> Result<(Duration, Vec<DeviceName>), Failure> {
        let began = Instant::now();
        let command = SnapshotCommand::Clone { name: READY.into(), count };
        match self.daemon.client.ask(Request::Snapshot(command)).await? {
            Answer::Devices(made) => {
                Ok((began.elapsed(), made.into_iter().filter_map(|view| view.name).collect()))
            }
            other => Err(format!("asked for clones, got {other:?}").into()),
        }
    }

    /// Ends machines.
    pub(crate) async fn end_machines(&self, devices: Vec<DeviceName>) -> Result<(), Failure> {
        for device in devices {
            self.daemon.client.ask(Request::Snapshot(SnapshotCommand::End { device })).await?;
        }
        Ok(())
    }

    /// Ends the guest's.
    pub(crate) async fn end_guest(&self) -> Result<(), Failure> {
        self.end_machines(vec![vm()?]).await
    }

    /// `true` in the guest, so many times at once: until the last has ended.
    pub(crate) async fn run(&self, at_once: usize) -> Result<Duration, Failure> {
        let began = Instant::now();
        let mut all = JoinSet::new();
        for _ in 0..at_once {
            all.spawn(run(self.daemon.client.clone(), vm()?));
        }
        while let Some(ended) = all.join_next().await {
            ended??;
        }
        Ok(began.elapsed())
    }

    /// Has it end.
    pub(crate) async fn end(self) -> Result<(), Failure> {
        self.daemon.end().await
    }

    async fn timed(&self, request: Request) -> Result<Duration, Failure> {
        let began = Instant::now();
        self.daemon.client.ask(request).await?;
        Ok(began.elapsed())
    }
}

fn vm() -> Result<DeviceName, Failure> {
    DeviceName::new(VM).map_err(|error| error.to_string().into())
}

async fn run(client: Client, device: DeviceName) -> Result<(), Failure> {
    let command = GuestCommand::Exec {
        device,
        argv: vec!["true".into()],
        env: Vec::new(),
        cwd: None,
        timeout_ms: None,
        input: Vec::new(),
    };
    let mut replies = client.stream(Request::Guest(command)).await?;
    loop {
        match replies.next().await? {
            Some(Reply::Item(_)) => {}
            Some(Reply::Done(Answer::Ended(GuestEnded::Exit(0)))) => return Ok(()),
            other => return Err(format!("`true` ended so: {other:?}").into()),
        }
    }
}
