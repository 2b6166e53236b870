//! Those who ask something of a Linux guest. Each is answered by a task of its own: one that takes long, or whose output nobody
//! reads, keeps no other waiting.

use std::path::{Path, PathBuf};
use std::time::Duration;

use farmhand_agent_link::{AgentLink, Ignored, LinkError};
use farmhand_agent_messages::{Command, How, Stream};
use farmhand_api::Problem;
use farmhand_messages::DeviceMessage;
use farmhand_messages::device::{DeviceError, GuestSaid, GuestWish};
use farmhand_records::DeviceName;
use ractor::{ActorRef, RpcReplyPort};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::{DeviceState, Done, effect};
use crate::problems;
use crate::taken::Taken;
use crate::work::Attended;

/// For a guest to come up: it boots in three seconds, emulated, and in many more on a machine that does other work.
const UP_WITHIN: Duration = Duration::from_secs(120);
/// For an agent to say how the guest is.
const HEALTH_WITHIN: Duration = Duration::from_secs(30);
/// For a file of any size.
const COPIED_WITHIN: Duration = Duration::from_secs(60 * 60);
/// A copy that was made.
const COPIED: GuestSaid = GuestSaid::Ended(How::Exit(0));

impl DeviceState {
    pub(super) fn ask_guest(
        &self,
        me: &ActorRef<DeviceMessage>,
        wish: GuestWish,
        reply: RpcReplyPort<Result<GuestSaid, DeviceError>>,
    ) {
        let name = self.config.name.clone();
        let agent = self.emulated.as_ref().and_then(|emulated| emulated.agent.as_ref());
        let attended = match agent {
            Some(agent) => Ok((agent.attended.clone(), agent.stop.clone())),
            None if self.linux().is_none() => Err(problems::no_linux(&name)),
            None => Err(problems::no_guest_runs(&name)),
        };
        self.ctx.effects.spawn(me, async move {
            let said = match attended {
                Ok((attended, stop)) => {
                    // One that was reset has another agent, which is not reached before all have let go of this one.
                    let lost = Box::new(problems::guest_lost(&name, "it was reset, or ended"));
                    let asked = stop.run_until_cancelled(Guest { name, attended }.ask(wish)).await;
                    asked.unwrap_or(Err(lost))
                }
                Err(problem) => Err(Box::new(problem)),
            };
            let _asker_gone = reply.send(said.map_err(DeviceError::Failed));
            effect(Done::Attended)
        });
    }
}

/// A guest that is asked something.
struct Guest {
    name: DeviceName,
    attended: watch::Receiver<Attended>,
}

impl Guest {
    async fn ask(mut self, wish: GuestWish) -> Result<GuestSaid, Box<Problem>> {
        let link = self.up().await?;
        match wish {
            GuestWish::Health => {
                let health = link.health(HEALTH_WITHIN).await.map_err(|error| self.lost(&error))?;
                let Ignored { epochs, strangers, frames } = link.ignored();
                Ok(GuestSaid::Health { health, ignored: epochs + strangers + frames })
            }
            GuestWish::Up => Ok(GuestSaid::Up),
            GuestWish::Run { command, input, output } => self.run(&link, command, input, output).await,
            GuestWish::Put { from, to } => self.put(&link, &from, to).await,
            GuestWish::Get { from, to } => self.get(&link, from, to).await,
        }
    }

    /// Its agent, once it is healthy and has what it is to run.
    async fn up(&mut self) -> Result<AgentLink, Box<Problem>> {
        let here = self.attended.wait_for(|attended| matches!(attended, Attended::Here(_)));
        let found = timeout(UP_WITHIN, here).await.map(|found| found.map(|found| found.clone()));
        match found {
            Ok(Ok(Attended::Here(link))) => Ok(link),
            // Its task ends with its machine, and with each of its starts.
            Ok(_) => Err(Box::new(problems::guest_lost(&self.name, "it was reset, or ended"))),
            Err(_) => {
                let why = match &*self.attended.borrow() {
                    Attended::NotYet(why) => why.clone(),
                    Attended::Here(_) => "it went again".into(),
                };
                Err(Box::new(problems::guest_not_up(&self.name, &why)))
            }
        }
    }

    async fn run(
        &self,
        link: &AgentLink,
        command: Command,
        input: Vec<u8>,
        output: mpsc::Sender<(Stream, Vec<u8>)>,
    ) -> Result<GuestSaid, Box<Problem>> {
        let mut running = link.run(command).await.map_err(|error| self.lost(&error))?;
        let controls = running.controls();
        let fed = async move {
            // A command that reads none of it ends all the same.
            if controls.input(input.into()).await.is_ok() {
                let _it_ended = controls.input_end().await;
            }
        };
        let told = async {
            while let Some((stream, bytes)) = running.output.recv().await {
                output.send((stream, bytes.to_vec())).await.ok()?;
            }
            Some(running.ended().await)
        };
        // Where nobody is there any more it is dropped, and killed by that.
        let done = tokio::select! {
            ((), ended) = async { tokio::join!(fed, told) } => ended,
            () = output.closed() => None,
        };
        match done {
            Some(ended) => ended.map(GuestSaid::Ended).map_err(|error| self.lost(&error)),
            None => Err(Box::new(problems::stopped(&self.name))),
        }
    }

    async fn put(&self, link: &AgentLink, from: &Path, to: String) -> Result<GuestSaid, Box<Problem>> {
        let wrong = |error: std::io::Error| Box::new(problems::file_of_a_persons(&self.name, from, &error));
        let mut file = tokio::fs::File::open(from).await.map_err(wrong)?;
        let about = file.metadata().await.map_err(wrong)?;
        if !about.is_file() {
            return Err(wrong(std::io::Error::other("is no file")));
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o7777;
        self.copied(link.put(&to, mode, about.len(), &mut file)).await
    }

    async fn get(&self, link: &AgentLink, from: String, to: PathBuf) -> Result<GuestSaid, Box<Problem>> {
        let wrong = |error: std::io::Error| Box::new(problems::file_of_a_persons(&self.name, &to, &error));
        let mut taken = Taken::begin(&to).await.map_err(wrong)?;
        let said = self.copied(async { link.get(&from, &mut taken.file).await.map(drop) }).await?;
        if said == COPIED {
            taken.keep().await.map_err(wrong)?;
        }
        Ok(said)
    }

    /// What the guest could not do is its answer, and no fault of the way to it.
    async fn copied(
        &self,
        work: impl Future<Output = Result<(), LinkError>>,
    ) -> Result<GuestSaid, Box<Problem>> {
        match timeout(COPIED_WITHIN, work).await {
            Ok(Ok(())) => Ok(COPIED),
            Ok(Err(LinkError::Failed(why))) => Ok(GuestSaid::Ended(How::Failed(why))),
            Ok(Err(error)) => Err(self.lost(&error)),
            Err(_) => Err(self.lost(&LinkError::Silent { what: "a copy", within: COPIED_WITHIN })),
        }
    }

    fn lost(&self, error: &LinkError) -> Box<Problem> {
        Box::new(problems::guest_lost(&self.name, &error.to_string()))
    }
}
