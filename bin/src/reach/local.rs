//! A farm within this process: the same code, the same socket, the same frames.

use std::path::Path;
use std::time::Duration;

use farmhand::config::read_devices;
use farmhand::profiles::Folders;
use farmhand::protocol::{Problem, ProblemClass};
use farmhand::transport::{Client, ClientError, Gateway};
use farmhand::{Farm, FarmConfig, FarmEnd, StartError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::failed::Failed;
use crate::project::cache_bytes;

/// Sessions of other front ends get this long to end when the command does; what does not is resumed.
const DRAIN: Duration = Duration::ZERO;

/// A farm, its gateway, and the task that owns both.
pub(crate) struct Local {
    gateway: Gateway,
    stop: oneshot::Sender<()>,
    owner: JoinHandle<()>,
}

impl Local {
    pub(crate) async fn start(home: &Path) -> Result<Self, Failed> {
        let mut farm = start_farm(home, None).await?;
        let gateway = Gateway::listen(&farm)?;
        let (stop, stopped) = oneshot::channel();
        let owner = tokio::spawn(async move {
            let end = tokio::select! {
                end = farm.ended() => Some(end),
                _ = stopped => None,
            };
            if let Some(FarmEnd::Failed(why)) = end {
                eprintln!("the farm failed: {why}");
            }
            let _it_ended = farm.stop(DRAIN).await;
        });
        Ok(Self { gateway, stop, owner })
    }

    pub(crate) async fn connect(&self) -> Result<Client, ClientError> {
        self.gateway.connect().await
    }

    pub(crate) async fn stop(self) {
        let Self { gateway, stop, owner } = self;
        gateway.stop().await;
        let _it_ended_already = stop.send(());
        let _it_panicked = owner.await;
    }
}

/// Starts the farm of a folder, with the devices of its `farm.toml`, or of another file.
pub(crate) async fn start_farm(home: &Path, file: Option<&Path>) -> Result<Farm, Failed> {
    let own = home.join("farm.toml");
    let devices = match file {
        Some(file) => {
            let there = read_devices(file)?;
            there.ok_or_else(|| Failed::usage(format!("there is no {}", file.display()), &[]))?
        }
        None => read_devices(&own)?.unwrap_or_default(),
    };
    let profiles = Folders::of(None, |name| std::env::var(name).ok());
    let config = FarmConfig { devices, profiles, cache_bytes: cache_bytes()?, ..FarmConfig::new(home) };
    Farm::start(config).await.map_err(|error| Failed::from(problem(error)))
}

fn problem(error: StartError) -> Problem {
    let message = format!("the farm does not start: {error}");
    let other = |class, help: &[&str]| Problem {
        class,
        code: "F830".into(),
        message: message.clone(),
        detail: Vec::new(),
        help: help.iter().map(|&line| line.to_owned()).collect(),
        place: None,
    };
    match error {
        StartError::Held(held) => held.into(),
        StartError::Home { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            other(ProblemClass::Permission, &["choose another folder: FARMHAND_HOME=..."])
        }
        StartError::Home { .. } => other(ProblemClass::Infra, &["choose another folder: FARMHAND_HOME=..."]),
        StartError::Open(_) | StartError::Store(_) | StartError::Record(_) => {
            other(ProblemClass::Infra, &["farmhand store check"])
        }
        _ => other(ProblemClass::Infra, &[]),
    }
}
