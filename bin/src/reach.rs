//! Finding the farm, or starting one.
//!
//! A farm that listens in the folder is used. Where none does, `farmhandd --on-demand` is started; or the farm runs
//! within this process, behind the same socket and the same frames. Two that start at once race for the folder's
//! lock: who loses asks the winner. `FARMHAND_HOST=ssh://...` asks a farm on another machine.

mod local;
mod spawn;
mod ssh;

pub(crate) use spawn::AS as FARM;

use std::path::{Path, PathBuf};
use std::time::Duration;

use farmhand::protocol::{Answer, Request};
use farmhand::transport::{Client, ClientError, HomeLock};
use tokio::time::{Instant, sleep};

use crate::args::Global;
use crate::failed::Failed;
use crate::project;
use local::Local;
pub(crate) use local::start_farm;
use ssh::Remote;

/// Somebody else holds the folder: he listens within this, or he is named.
const LOSER: Duration = Duration::from_secs(5);
/// Then it is tried again to be the farm: the holder may have been one that was ending.
const TURN: Duration = Duration::from_millis(500);
/// Between two looks at the socket.
const LOOK: Duration = Duration::from_millis(20);

/// How the farm is reached, and what of it is ours.
pub(crate) struct Reach {
    home: PathBuf,
    host: Option<String>,
    in_process: bool,
    local: Option<Local>,
    remote: Option<Remote>,
}

impl Reach {
    pub(crate) fn new(global: &Global) -> Result<Self, Failed> {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Ok(Self {
            home: project::home(global)?,
            host: set("FARMHAND_HOST"),
            in_process: global.in_process || set("CI").is_some(),
            local: None,
            remote: None,
        })
    }

    /// The farm runs within this command, and ends with it.
    pub(crate) fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// A farm that runs already; none is started.
    pub(crate) async fn running(&mut self) -> Result<Option<Client>, Failed> {
        if let Some(host) = self.host.clone() {
            return self.over_ssh(&host).await.map(Some);
        }
        match Client::connect(&self.home).await {
            Ok(client) => Ok(Some(client)),
            // One that is just dying may still be connected to.
            Err(ClientError::NoFarm { .. } | ClientError::Lost) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The farm, started where none runs.
    pub(crate) async fn client(&mut self) -> Result<Client, Failed> {
        if let Some(client) = self.running().await? {
            return Ok(client);
        }
        let mut until = None;
        loop {
            let started = match self.in_process {
                true => self.within().await?,
                false => spawn::on_demand(&self.home).await?,
            };
            if let Some(client) = started {
                return Ok(client);
            }
            // Another one was first, and will listen; or it is ending, and then it is our turn.
            let now = Instant::now();
            let until = *until.get_or_insert(now + LOSER);
            if let Some(client) = listening(&self.home, until.min(now + TURN)).await? {
                return Ok(client);
            }
            if Instant::now() >= until
                && let Err(held) = HomeLock::take(&self.home)
            {
                return Err(held.into());
            }
        }
    }

    /// As [`Reach::client`], with a process of its own on this machine in any case: for whoever only passes bytes on.
    pub(crate) async fn client_of_process(&mut self) -> Result<Client, Failed> {
        self.in_process = false;
        // Never on to another machine: two that name each other would go on for ever.
        self.host = None;
        self.client().await
    }

    /// Asks once; a farm that was just leaving is asked for again. For requests that are safe to send again.
    pub(crate) async fn ask(&mut self, request: Request) -> Result<Answer, Failed> {
        let client = self.client().await?;
        match client.ask(request.clone()).await {
            Err(error) if error.is_lost() => Ok(self.client().await?.ask(request).await?),
            answer => Ok(answer?),
        }
    }

    /// Nobody is the folder's farm; one on another machine cannot be seen from here.
    pub(crate) fn is_free(&self) -> bool {
        self.host.is_some() || HomeLock::take(&self.home).is_ok()
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// A farm of our own; none where somebody else holds the folder.
    async fn within(&mut self) -> Result<Option<Client>, Failed> {
        // One that ended under us is out of the way first.
        self.close().await;
        match Local::start(&self.home).await {
            Ok(local) => {
                let client = local.connect().await;
                self.local = Some(local);
                Ok(Some(client?))
            }
            Err(problem) if problem.0.code == HELD => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    async fn over_ssh(&mut self, host: &str) -> Result<Client, Failed> {
        let (remote, client) = Remote::connect(host).await?;
        self.remote = Some(remote);
        Ok(client)
    }

    /// Ends what is ours: what is unfinished is resumed by the next start.
    pub(crate) async fn close(&mut self) {
        if let Some(local) = self.local.take() {
            local.stop().await;
        }
        self.remote = None;
    }
}

/// The code of a folder that somebody else holds (`HomeHeld`).
const HELD: &str = "F610";

/// The one who holds the folder, as soon as he listens; none if he does not until then.
async fn listening(home: &Path, until: Instant) -> Result<Option<Client>, Failed> {
    loop {
        match Client::connect(home).await {
            Ok(client) => return Ok(Some(client)),
            Err(error) if !error.is_lost() => return Err(error.into()),
            Err(_) if Instant::now() >= until => return Ok(None),
            Err(_) => sleep(LOOK).await,
        }
    }
}
