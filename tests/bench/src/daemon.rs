//! A farm as a process, with one virtual Uno and nothing else: no benchmark ever touches a board that is plugged in.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use farmhand::protocol::Request;
use farmhand::transport::Client;

use crate::Failure;
use crate::programs;
use crate::set_up::SetUp;

/// Its one device.
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

/// A `farmhandd`. Dropped, it is killed.
pub(crate) struct Daemon {
    child: Child,
    home: PathBuf,
    /// The way to it.
    pub(crate) client: Client,
}

impl Daemon {
    /// Starts one in a fresh store, with the packages that are there.
    pub(crate) async fn start(set_up: &SetUp) -> Result<Self, Failure> {
        for package in ["avr-gcc", "arduino-avr", "simavr"] {
            set_up.package(package).await?;
        }
        let home = set_up.home();
        let program = programs::built("farmhandd")?;
        for folder in ["store", "serial"] {
            match std::fs::remove_dir_all(home.join(folder)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        let farm = home.join("farm.toml");
        std::fs::write(&farm, FARM)?;
        let log = std::fs::File::create(home.join("bench.log"))?;
        let mut command = command(&program, &home);
        command.arg("--farm").arg(&farm).env("FARMHAND_LOG", "warn");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        let pid = child.id();
        let until = Instant::now() + READY_WITHIN;
        let client = loop {
            match Client::connect(&home).await {
                Ok(client) if client.farm().pid == pid => break client,
                _ if child.try_wait()?.is_some() || Instant::now() > until => {
                    let said = std::fs::read_to_string(home.join("bench.log"))?;
                    // It may have ended, and then there is nothing to kill.
                    let _ended = child.kill();
                    child.wait()?;
                    return Err(format!("farmhandd does not listen: {said}").into());
                }
                _ => tokio::time::sleep(LOOK_AGAIN).await,
            }
        };
        Ok(Self { child, home, client })
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
