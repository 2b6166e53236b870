//! A guest is attended for as long as its machine lives: reached once it has come up, told that it was restored, found healthy,
//! kept for those to come, given what it is to run.
//!
//! Each step is a sign of the guest's own, and the next is not begun without it: nothing waits for a guess, and a sign that does
//! not come is an error that is told. A guest that is adopted goes on where its agent says that it stands.

use std::time::Duration;

use farmhand_agent_link::{AgentLink, LinkError};
use farmhand_agent_messages::{Command, Greeting, How};
use farmhand_api::EventBody;
use farmhand_machine::{Keep, Kind, Machine, Saved, SnapshotError, Snapshots, Wanted};
use farmhand_runtime::{unix_ms, unix_us};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::super::Tools;
use super::GuestFolder;
use super::snapshot::DRAINED_WITHIN;

/// For the agent to answer once it listens. Before that the guest boots, and it is tried again.
const GREETED_WITHIN: Duration = Duration::from_secs(5);
/// For an agent that answers to do what takes it a moment: emulated, on a machine that does other work.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// For a program of some megabytes to be in the guest.
const GIVEN_WITHIN: Duration = Duration::from_secs(120);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(50);
/// Of guests that were kept healthy: half a hundred of them, and none that was not used for a month.
const KEPT: Keep = Keep { len_bytes_max: 8 << 30, unused_max: Duration::from_secs(30 * 24 * 60 * 60) };
/// What a program is called in the guest, and who may run it.
const PROGRAM: &str = "/run/farmhand-job";
const PROGRAM_MODE: u32 = 0o755;
/// Begun by a command that ends at once, so that no answer that is late and no link that ends takes it along.
const BEGIN: &str = r#"setsid sh -c "$1" "$0" </dev/null >/dev/null 2>&1 &"#;
/// Once in the guest's life, whoever tells it how often: only one can make that folder, and none is there when it boots. What it
/// says goes to the console, which is recorded; and how it ended, for a session to see.
const SCRIPT: &str = r#"mkdir /run/farmhand-began || exit 0
exec >/dev/console 2>&1; "$0"; echo "farmhand: exit $?""#;

/// How a guest's agent is reached now.
#[derive(Debug, Clone)]
pub(crate) enum Attended {
    /// It is healthy, and was given what it is to run.
    Here(AgentLink),
    /// Not yet, or not any more, and why.
    NotYet(String),
}

/// Why a guest is not further than it is.
#[derive(Debug, Error)]
enum NotYet {
    #[error("its agent does not answer yet")]
    Silent,
    #[error("it was restored, and its agent does not acknowledge that: {0}")]
    Restored(LinkError),
    #[error("its agent does not say how it is: {0}")]
    Health(LinkError),
    #[error("it was not given what it is to run: {0}")]
    Program(LinkError),
    #[error("what it is to run was not begun: {0:?}")]
    Began(How),
    #[error("{}: {error}", .path.display())]
    File { path: std::path::PathBuf, error: std::io::Error },
}

/// To attend a guest.
#[derive(Debug)]
pub(crate) struct Attend {
    pub(crate) tools: Tools,
    pub(crate) machine: Machine,
    pub(crate) kind: &'static Kind,
    pub(crate) attended: watch::Sender<Attended>,
}

impl Attend {
    /// Does it, until its machine is gone.
    pub(crate) async fn run(self) {
        let mut told = None;
        while self.machine.process().is_alive() {
            match Box::pin(self.reach()).await {
                Ok(link) => {
                    told = None;
                    self.attended.send_replace(Attended::Here(link.clone()));
                    let gone = link.gone().await;
                    self.attended.send_replace(Attended::NotYet(gone.to_string()));
                }
                Err(error) => {
                    let why = error.to_string();
                    // A guest that boots is silent, and that is no news.
                    if !matches!(error, NotYet::Silent) && told.as_ref() != Some(&why) {
                        self.note(&why);
                        told = Some(why.clone());
                    }
                    self.attended.send_replace(Attended::NotYet(why));
                }
            }
            sleep(AGAIN).await;
        }
    }

    fn note(&self, text: &str) {
        let name = &self.tools.config.name;
        tracing::info!(device = %name, "{text}");
        self.tools.ctx.event(None, Some(name), EventBody::Note(format!("{name}: {text}")));
    }

    async fn reach(&self) -> Result<AgentLink, NotYet> {
        let folder = GuestFolder::of(&self.tools);
        let agent = Machine::agent(folder.path());
        let (link, greeting) =
            AgentLink::connect(&agent, GREETED_WITHIN).await.map_err(|_| NotYet::Silent)?;
        self.restored(&folder, &link, &greeting).await?;
        link.health(ANSWERS_WITHIN).await.map_err(NotYet::Health)?;
        if folder.is_to_be_kept() {
            // Only one that nobody has told anything is like another.
            if greeting.highest == 0 {
                self.keep().await;
            }
            folder.is_kept();
        }
        self.give(&folder, &link).await?;
        Ok(link)
    }

    /// A restored one is told so, and begins a life of its own, before anything else is asked of it.
    async fn restored(&self, folder: &GuestFolder, link: &AgentLink, agent: &Greeting) -> Result<(), NotYet> {
        let Some(life) = folder.life() else { return Ok(()) };
        if agent.epoch == life {
            return Ok(());
        }
        // A clock that was set back makes no older life of a newer one.
        let life = life.max(agent.epoch + 1);
        folder.set_life(life).map_err(|error| NotYet::File { path: folder.path().to_owned(), error })?;
        link.restored(life, ANSWERS_WITHIN).await.map_err(NotYet::Restored)?;
        self.note("restored: its agent has acknowledged it");
        Ok(())
    }

    /// Keeps it as it is, for those to come. That it could not be kept is no reason not to go on.
    async fn keep(&self) {
        match self.save().await {
            // Another was faster.
            Ok(()) | Err(SnapshotError::Exists(_)) => {}
            Err(error) => self.note(&format!("it is healthy, and not kept for the next one: {error}")),
        }
    }

    async fn save(&self) -> Result<(), SnapshotError> {
        let (ctx, config) = (&self.tools.ctx, &self.tools.config);
        let what = Saved {
            wanted: Wanted::Cache,
            folder: ctx.paths.board(&config.name),
            kind: self.kind,
            called: config.name.to_string(),
            drained_within: DRAINED_WITHIN,
        };
        let all = Snapshots::open(&ctx.paths.snapshots())?;
        let said = all.save(&self.machine, what).await?;
        if let Err(error) = all.prune(KEPT, unix_ms()) {
            tracing::warn!(%error, "snapshots that nobody has used for long are not removed");
        }
        self.note(&format!("healthy: kept as {} for those that begin so", said.name));
        Ok(())
    }

    /// What it is to run, once in the life of its agent.
    async fn give(&self, folder: &GuestFolder, link: &AgentLink) -> Result<(), NotYet> {
        let of_folder = |error| NotYet::File { path: folder.path().to_owned(), error };
        let Some(job) = folder.give_job().map_err(of_folder)? else { return Ok(()) };
        let path = job.clone();
        let file = async move {
            let file = tokio::fs::File::open(&path).await?;
            let len = file.metadata().await?.len();
            Ok::<_, std::io::Error>((file, len))
        };
        let (mut file, len) = file.await.map_err(|error| NotYet::File { path: job, error })?;
        let put = timeout(GIVEN_WITHIN, link.put(PROGRAM, PROGRAM_MODE, len, &mut file)).await;
        put.unwrap_or(Err(LinkError::Silent { what: "a program", within: GIVEN_WITHIN }))
            .map_err(NotYet::Program)?;
        let argv = ["/bin/sh", "-c", BEGIN, PROGRAM, SCRIPT].map(str::to_owned).to_vec();
        let command = Command { argv, ..Command::default() };
        let mut begins = link.run(command).await.map_err(NotYet::Program)?;
        let ended = timeout(ANSWERS_WITHIN, begins.ended()).await;
        let ended =
            ended.unwrap_or(Err(LinkError::Silent { what: "a program's beginning", within: ANSWERS_WITHIN }));
        match ended.map_err(NotYet::Program)? {
            How::Exit(0) => {}
            other => return Err(NotYet::Began(other)),
        }
        folder.is_given().map_err(of_folder)
    }
}

impl GuestFolder {
    /// It is let go: what its life is called from then on, where it was restored.
    pub(super) fn let_go(&self) -> std::io::Result<()> {
        if self.was_restored() { self.set_life(unix_us()) } else { Ok(()) }
    }
}
