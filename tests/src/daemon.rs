//! A farm as a process: `farmhandd`.

use std::fs::OpenOptions;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use farmhand::transport::Client;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::binaries::binary;
use crate::home::Home;
use crate::processes::TAG;
use crate::wait::{or_hang, until};

/// The signal of `kill -9`.
pub const KILLED: i32 = 9;
/// A farm that is up answers a hello from memory.
const HELLO: Duration = Duration::from_secs(20);

/// A `farmhandd`. Dropped, it is killed.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    pid: u32,
}

impl Daemon {
    /// Starts one, with `failpoint` armed (`NAME` or `NAME:NTH`, or `NAME:NTH:wait`: see [`Daemon::let_go`]).
    #[must_use]
    pub fn spawn(home: &Home, failpoint: Option<&str>) -> Self {
        let words = OpenOptions::new().create(true).append(true).open(home.words()).unwrap();
        let mut command = Command::new(binary("farmhandd"));
        command.arg("--home").arg(home.path());
        let farm = home.path().join("farm.toml");
        if farm.exists() {
            command.arg("--farm").arg(farm);
        }
        // What is set where the tests run is not what is tested.
        for (name, _) in std::env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| name.starts_with("FARMHAND_") && name != "FARMHAND_APT_SOURCES")
            {
                command.env_remove(name);
            }
        }
        command.env(TAG, home.tag()).env("RUST_LOG", "debug,ractor=warn,sled=warn");
        if let Some(failpoint) = failpoint {
            command.env("FARMHAND_FAILPOINT", failpoint);
        }
        let waits = failpoint.is_some_and(|failpoint| failpoint.ends_with(":wait"));
        command.stdin(if waits { Stdio::piped() } else { Stdio::null() });
        command.stdout(words.try_clone().unwrap()).stderr(words).kill_on_drop(true);
        let child = command.spawn().unwrap();
        let pid = child.id().expect("it was just started");
        Self { child, pid }
    }

    /// Starts one, and says hello.
    pub async fn start(home: &Home) -> (Self, Client) {
        let mut daemon = Self::spawn(home, None);
        match daemon.ready(home).await {
            Some(client) => (daemon, client),
            None => panic!("farmhandd ended at its start: {:?}", daemon.ended().await),
        }
    }

    /// Says hello once it listens; `None` where it ended before that.
    pub async fn ready(&mut self, home: &Home) -> Option<Client> {
        let pid = self.pid;
        until("farmhandd listens", async || {
            if self.child.try_wait().unwrap().is_some() {
                return Some(None);
            }
            let connected = tokio::time::timeout(HELLO, Client::connect(home.path())).await;
            let client = connected.ok()?.ok()?;
            (client.farm().pid == pid).then_some(Some(client))
        })
        .await
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until it waits at this point.
    pub async fn is_at(&self, home: &Home, point: &str) {
        let said = format!("failpoint {point}\n");
        let is_there = async || std::fs::read_to_string(home.words()).ok()?.contains(&said).then_some(());
        until("farmhandd is at its point", is_there).await;
    }

    /// Lets it go on from its point.
    pub fn let_go(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        or_hang("farmhandd ends", self.child.wait()).await.unwrap()
    }

    /// Kills it (`kill -9`), and waits until it is gone.
    pub async fn kill(mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid.cast_signed()).expect("a process has a number");
        // Its number is its own until it is waited for, and that takes `self`.
        kill_process(pid, signal).unwrap();
    }
}
