//! A farm as a process, with virtual devices and nothing else: no benchmark ever touches a board that is plugged in.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use farmhand::protocol::Request;
use farmhand::transport::Client;

use crate::Failure;
use crate::programs;
use crate::set_up::SetUp;

/// The one device of most.
pub(crate) const DEVICE: &str = "bench-uno";
/// What it is told of it.
const FARM: &str =
    "[[device]]\nname = \"bench-uno\"\nboard = \"arduino:avr:uno\"\ndriver = \"virtual-uno\"\n";
/// A farm listens within milliseconds; one that does not by then has failed.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// For a farm that was told to stop to end.
const END_WITHIN: Duration = Duration::from_secs(30);

/// How a farm begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begins<'a> {
    /// Its devices.
    pub(crate) farm_toml: &'a str,
    /// Without what an earlier one has left.
    pub(crate) fresh: bool,
    /// What it writes down of itself.
    pub(crate) log: &'a str,
}

/// A `farmhandd`. Dropped, it is killed.
pub(crate) struct Daemon {
    child: Child,
    home: PathBuf,
    /// The way to it.
    pub(crate) client: Client,
    /// When its process was made.
    pub(crate) spawned: Instant,
}

impl Daemon {
    /// Starts one with a virtual Uno in a fresh store, with the packages that are there.
    pub(crate) async fn start(set_up: &SetUp) -> Result<Self, Failure> {
        for package in ["avr-gcc", "arduino-avr", "simavr"] {
            set_up.package(package).await?;
        }
        Self::begin(set_up, Begins { farm_toml: FARM, fresh: true, log: "warn" }).await
    }

    /// Starts one.
    pub(crate) async fn begin(set_up: &SetUp, begins: Begins<'_>) -> Result<Self, Failure> {
        let home = set_up.home();
        let program = programs::built("farmhandd")?;
        for folder in ["store", "serial"].into_iter().filter(|_| begins.fresh) {
            match std::fs::remove_dir_all(home.join(folder)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        let farm = home.join("farm.toml");
        std::fs::write(&farm, begins.farm_toml)?;
        let log = std::fs::File::create(log(&home))?;
        let mut command = command(&program, &home);
        command.arg("--farm").arg(&farm).env("FARMHAND_LOG", begins.log);
        let spawned = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        let pid = child.id();
        let until = spawned + READY_WITHIN;
        let client = loop {
            match Client::connect(&home).await {
                Ok(client) if client.farm().pid == pid => break client,
                _ if child.try_wait()?.is_some() || Instant::now() > until => {
                    let said = std::fs::read_to_string(self::log(&home))?;
                    // It may have ended, and then there is nothing to kill.
                    let _ended = child.kill();
                    child.wait()?;
                    return Err(format!("farmhandd does not listen: {said}").into());
                }
                _ => tokio::time::sleep(LOOK_AGAIN).await,
            }
        };
        Ok(Self { child, home, client, spawned })
    }

    /// Kills it, as `kill -9` does. What it has started lives on.
    pub(crate) fn kill(mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// A command line of this farm's.
    pub(crate) fn farmhand(&self) -> Result<Command, Failure> {
        Ok(command(&programs::beside("farmhand")?, &self.home))
    }

    /// Has it end.
    pub(crate) async fn end(mut self) -> Result<(), Failure> {
        self.client.ask(Request::Stop { drain_ms: 0 }).await?;
        let until = Instant::now() + END_WITHIN;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > until {
                return Err("farmhandd does not end".into());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// What a farm of this home writes down of itself.
pub(crate) fn log(home: &Path) -> PathBuf {
    home.join("bench.log")
}

/// With this home, whatever is set where the benchmark runs.
fn command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FARMHAND_") {
            command.env_remove(name);
        }
    }
    command.env_remove("CI").env("FARMHAND_HOME", home);
    command
}
