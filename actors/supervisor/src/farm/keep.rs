//! Keeping actors up: what failed is started again once nothing of it runs, what melts is given up, all end in order.

use std::collections::VecDeque;
use std::time::Duration;

use farmhand_api::{EventBody, Problem};
use farmhand_messages::{EventsMessage, SchedulerMessage};
use farmhand_records::v1::{Quarantine, Schedule};
use farmhand_records::{DeviceName, Record, SessionId};
use farmhand_runtime::{ask, load, mono_us, tell, unix_ms};
use ractor::ActorRef;
use tokio::time::{sleep, timeout};

use super::tree::{CORE, EFFECTS_END, FarmMessage, Role, Tree};
use crate::problems::infra;
use crate::restarts::Decision;

/// Before a session is tried again that can neither be kept up nor given up (a full disk): a person who makes room sees
/// it go on soon, and a log that is read the next day is not filled.
const RETRY: Duration = Duration::from_secs(30);

impl Tree {
    /// An actor ended as it should not have.
    pub(super) fn failed(&mut self, myself: &ActorRef<FarmMessage>, role: Role, why: String) {
        tracing::warn!(actor = %role, %why, "failed");
        let roles = self.coming.failed(&role);
        let ended: Vec<_> = roles.iter().filter_map(|role| self.children.remove(role)).collect();
        let now = Duration::from_micros(mono_us());
        let decision = self.restarts.entry(role.clone()).or_default().failed(now);
        let end = self.ends.track_future(async move {
            for child in &ended {
                child.cell.kill();
            }
            let mut all_ended = true;
            for child in &ended {
                all_ended &= child.effects.end(EFFECTS_END).await;
            }
            all_ended
        });
        let myself = myself.clone();
        tokio::spawn(async move {
            let ended = end.await;
            let message = match decision {
                Decision::After(backoff) if ended => {
                    sleep(backoff).await;
                    FarmMessage::Start { roles, why }
                }
                _ if !ended => {
                    let why = format!("{why}; and what it set going does not end");
                    FarmMessage::Melted { role, roles, ended, why }
                }
                _ => FarmMessage::Melted { role, roles, ended, why },
            };
            let _stopping = myself.cast(message);
        });
    }

    /// Starts again what failed.
    pub(super) async fn start_again(&mut self, myself: &ActorRef<FarmMessage>, roles: Vec<Role>, why: &str) {
        let mut roles = VecDeque::from(roles);
        while let Some(role) = roles.pop_front() {
            let there = &self.children;
            if self.stopping || !self.coming.may_start(&role, |other| there.contains_key(other)) {
                continue;
            }
            match self.start(myself, role.clone()).await {
                Ok(incarnation) => {
                    let body = EventBody::ActorRestarted {
                        actor: role.to_string(),
                        incarnation,
                        why: why.to_owned(),
                    };
                    let (session, device) = match &role {
                        Role::Session(session) => (Some(*session), None),
                        Role::Device(device) | Role::Serial(device) => (None, Some(device.clone())),
                        _ => (None, None),
                    };
                    tell(&self.names.events(), EventsMessage::Tell { session, device, body });
                    roles.extend(self.coming.started(&role));
                }
                Err(error) => self.failed(myself, role, error.to_string()),
            }
        }
    }

    /// An actor cannot be kept up: a device is set aside, a session ends as ours, the core ends the farm.
    pub(super) async fn melted(&mut self, myself: &ActorRef<FarmMessage>, role: Role, why: String) {
        tracing::error!(actor = %role, %why, "meltdown");
        match role {
            Role::Device(device) | Role::Serial(device) => {
                let names = self.names.clone();
                tokio::spawn(async move {
                    let quarantine = Quarantine {
                        why: format!("its actor fails again and again: {why}"),
                        session: None,
                        since_unix_ms: unix_ms(),
                    };
                    let told = ask(names.scheduler(), CORE, |reply| SchedulerMessage::Quarantine {
                        device: device.clone(),
                        quarantine: quarantine.clone(),
                        reply,
                    });
                    if let Err(error) = told.await {
                        tracing::error!(%device, "set aside: the scheduler {error}");
                    }
                });
            }
            Role::Session(session) => {
                if !self.give_up(session, &why).await {
                    // One that has not ended is never left without an actor.
                    let myself = myself.clone();
                    tokio::spawn(async move {
                        sleep(RETRY).await;
                        let _gone = myself.cast(FarmMessage::Retry { session });
                    });
                }
            }
            core => self.fail(format!("the {core} actor fails again and again: {why}")),
        }
    }

    /// A session ended as it should: nobody is started again, and nobody is started before its tasks have ended.
    pub(super) async fn session_ended(&mut self, myself: &ActorRef<FarmMessage>, session: SessionId) {
        let role = Role::Session(session);
        if let Some(child) = self.children.remove(&role) {
            self.coming.ends(role.clone());
            let end = self.ends.track_future(async move { child.effects.end(EFFECTS_END).await });
            let myself = myself.clone();
            tokio::spawn(async move {
                let ended = end.await;
                let _gone = myself.cast(FarmMessage::Ended { session, ended });
            });
        }
        self.restarts.remove(&role);
        if self.behind.remove(&session).is_some() && self.behind.is_empty() {
            // All that the store's way back made ambiguous is resolved: it need not be told again.
            if let Err(error) = self.store.settle().await {
                tracing::error!(%error, "settle what the store lost");
            }
        }
    }

    /// Its tasks have ended; somebody may have asked for it meanwhile.
    pub(super) async fn session_has_ended(
        &mut self,
        myself: &ActorRef<FarmMessage>,
        session: SessionId,
        ended: bool,
    ) {
        let role = Role::Session(session);
        if self.coming.ended(&role, ended) {
            self.start_again(myself, vec![role], "it was asked for").await;
        }
    }

    /// Refuses to start anything over what does not end.
    pub(super) fn refuse_stuck(&self, role: &Role) -> Result<(), Problem> {
        match self.coming.stuck(role) {
            None => Ok(()),
            Some(why) => Err(infra(
                "F807",
                format!("the {role} actor is not started again: {why}"),
                &["start the farm anew: `farmhand stop`, then any command"],
            )),
        }
    }

    /// The device actors are ended, for their configuration changed.
    pub(super) async fn end_device(&mut self, device: &DeviceName) -> Result<(), Problem> {
        for role in [Role::Device(device.clone()), Role::Serial(device.clone())] {
            if let Some(child) = self.children.remove(&role) {
                let _stopped = child.cell.stop_and_wait(None, Some(EFFECTS_END)).await;
                if !child.effects.end(EFFECTS_END).await {
                    self.coming.is_stuck(role.clone());
                }
            }
            self.refuse_stuck(&role)?;
        }
        Ok(())
    }

    /// Ends all actors, sessions first, and awaits their tasks, and those of actors that ended before.
    pub(super) async fn end_children(&mut self) {
        let mut children: Vec<_> = std::mem::take(&mut self.children).into_iter().collect();
        // Sessions, then devices before their ports, then the core: the order of starting, reversed.
        children.sort_by(|(one, _), (other, _)| other.cmp(one));
        for (role, child) in children {
            let _stopped_already = child.cell.stop_and_wait(None, Some(EFFECTS_END)).await;
            if !child.effects.end(EFFECTS_END).await {
                tracing::error!(actor = %role, "what it set going does not end");
            }
        }
        match load::<Schedule>(&self.store, &Schedule::default().key()).await {
            Ok(schedule) => self.end_orphaned_machines(&schedule.unwrap_or_default(), &[]),
            Err(error) => tracing::warn!(%error, "who has which machine is not known: they run on"),
        }
        self.ends.close();
        if timeout(EFFECTS_END, self.ends.wait()).await.is_err() {
            tracing::error!("what failed actors set going does not end");
        }
    }
}
