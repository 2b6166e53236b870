//! The shell of the scheduler: persists, then answers.

use std::time::Duration;

use farmhand_api::{DeviceState, DeviceView};
use farmhand_messages::SchedulerMessage;
use farmhand_messages::scheduler::Offer;
use farmhand_records::v1::Schedule;
use farmhand_records::{Kind, Record};
use farmhand_runtime::{ChaosRole, Ctx, Failpoint, failpoint, load, mono_us, save, unix_ms};
use farmhand_store::{Durability, StoreError};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::state::{State, Step};

/// How often leases are looked at: a lease is 30 s, and a second more harms nobody.
const TICK: Duration = Duration::from_secs(1);

/// Leases and the queue.
pub(crate) struct SchedulerActor;

pub(crate) struct Shell {
    ctx: Ctx,
    state: State,
    /// The state is ahead of the disk, which was full or busy: nothing that rests on it is answered until it is not.
    unsaved: bool,
}

/// A reply that is dropped is asked for again.
fn give<A>(reply: RpcReplyPort<A>, answer: Option<A>) {
    if let Some(answer) = answer {
        let _gone = reply.send(answer);
    }
}

fn now() -> Duration {
    Duration::from_micros(mono_us())
}

impl Shell {
    /// The answer, once what it promises is durable; `None` where there is no room on the disk for it, or no place in
    /// the store's queue: who asked hears nothing, asks again, and is answered once the disk has caught up. Any other
    /// write that fails fails the actor, whose successor begins from the disk.
    async fn settle<A>(
        &mut self,
        step: Step<A>,
        before: Failpoint,
        after: Failpoint,
    ) -> Result<Option<A>, ActorProcessingErr> {
        if step.durable || self.unsaved {
            failpoint(before);
            // Tokens go to the mark: a lease that was granted must not be forgotten by a store that went back.
            let saved =
                save(&self.ctx.store, self.state.schedule(), self.ctx.incarnation, Durability::Marked).await;
            match saved {
                Ok(_) => self.unsaved = false,
                Err(error @ (StoreError::Full { .. } | StoreError::Busy { .. })) => {
                    if !std::mem::replace(&mut self.unsaved, true) {
                        tracing::warn!(%error, "leases and the queue wait for the disk");
                    }
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
            failpoint(after);
        }
        Ok(Some(step.answer))
    }

    fn views(&self) -> Vec<DeviceView> {
        let mut views: Vec<_> = self.state.offers().iter().map(|offer| self.view(offer)).collect();
        views.sort_by(|one, other| one.name.cmp(&other.name));
        views
    }

    fn view(&self, offer: &Offer) -> DeviceView {
        let quarantine = self.state.quarantine_of(&offer.device);
        let lease = self.state.lease_of(&offer.device);
        let state = match (quarantine, lease) {
            (Some(_), _) => DeviceState::Quarantined,
            (None, Some(_)) => DeviceState::Leased,
            (None, None) if offer.present => DeviceState::Free,
            (None, None) => DeviceState::Absent,
        };
        let holder = lease.map(|lease| lease.session);
        DeviceView {
            name: Some(offer.device.clone()),
            board: offer.board.clone(),
            driver: String::new(),
            state,
            holder: holder.or_else(|| quarantine.and_then(|quarantine| quarantine.session)),
            since_unix_ms: match quarantine {
                Some(quarantine) => Some(quarantine.since_unix_ms),
                None => holder.and_then(|session| self.state.since_unix_ms(session)),
            },
            port: offer.port.clone(),
            seen_unix_ms: offer.present.then(unix_ms),
            virtual_: offer.virtual_,
            epoch: None,
            note: quarantine.map(|quarantine| quarantine.why.clone()),
        }
    }
}

#[ractor::async_trait]
impl Actor for SchedulerActor {
    type Msg = SchedulerMessage;
    type State = Shell;
    type Arguments = Ctx;

    async fn pre_start(&self, myself: ActorRef<Self::Msg>, ctx: Ctx) -> Result<Shell, ActorProcessingErr> {
        debug_assert_eq!(Schedule::KIND, Kind::Schedule);
        let schedule = load::<Schedule>(&ctx.store, &Schedule::default().key()).await?.unwrap_or_default();
        let state = State::recover(schedule, now());
        myself.send_interval(TICK, || SchedulerMessage::Tick);
        Ok(Shell { ctx, state, unsaved: false })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: SchedulerMessage,
        shell: &mut Shell,
    ) -> Result<(), ActorProcessingErr> {
        shell.ctx.chaos.strike(ChaosRole::Scheduler);
        match message {
            SchedulerMessage::Acquire { session, board, select, reply } => {
                let step = shell.state.acquire(session, &board, &select, now(), unix_ms());
                let answer =
                    shell.settle(step, Failpoint::GrantBeforePersist, Failpoint::GrantAfterPersist).await?;
                give(reply, answer);
            }
            SchedulerMessage::Renew { session, token, intent, reply } => {
                let step = shell.state.renew(session, token, intent, now());
                // Nothing is promised that is not on disk already, unless the lease had been revoked.
                let answer = if step.durable {
                    shell.settle(step, Failpoint::GrantBeforePersist, Failpoint::GrantAfterPersist).await?
                } else {
                    Some(step.answer)
                };
                give(reply, answer);
            }
            SchedulerMessage::Release { session, quarantine, reply } => {
                let step = shell.state.release(session, quarantine);
                let done = shell
                    .settle(step, Failpoint::ReleaseBeforePersist, Failpoint::ReleaseAfterPersist)
                    .await?;
                give(reply, done);
            }
            SchedulerMessage::Unquarantine { device, reply } => {
                let step = shell.state.unquarantine(&device);
                let was = shell
                    .settle(step, Failpoint::ReleaseBeforePersist, Failpoint::ReleaseAfterPersist)
                    .await?;
                give(reply, was);
            }
            SchedulerMessage::Quarantine { device, quarantine, reply } => {
                let step = shell.state.quarantine(&device, quarantine);
                let done = shell
                    .settle(step, Failpoint::ReleaseBeforePersist, Failpoint::ReleaseAfterPersist)
                    .await?;
                give(reply, done);
            }
            SchedulerMessage::Offers(offers) => shell.state.set_offers(offers),
            SchedulerMessage::Devices { reply } => {
                let _gone = reply.send(shell.views());
            }
            SchedulerMessage::Leases { reply } => {
                let _gone = reply.send(shell.state.schedule().leases.clone());
            }
            SchedulerMessage::StopGranting { reply } => {
                shell.state.stop_granting();
                let _gone = reply.send(());
            }
            SchedulerMessage::Tick => {
                let step = shell.state.tick(now());
                shell.settle(step, Failpoint::GrantBeforePersist, Failpoint::GrantAfterPersist).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use farmhand_api::DeviceSelect;
    use farmhand_messages::Names;
    use farmhand_messages::scheduler::Standing;
    use farmhand_records::{DeviceName, Incarnation, SessionId};
    use farmhand_runtime::{Chaos, Effects, Paths, ask};
    use farmhand_store::{Disk, StoreHandle};

    use super::*;

    /// Far more than it takes.
    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_full_disk_is_waited_for_and_a_grant_is_answered_once_it_is_durable() {
        let mut disk = Disk::new();
        disk.full_at_append(1, 3);
        let (store, _) = StoreHandle::open_memory(disk).await.unwrap();
        let ctx = Ctx {
            names: Names::new("full disk"),
            store: store.clone(),
            paths: Paths::new("nothing is written there"),
            incarnation: Incarnation(1),
            effects: Effects::new(),
            chaos: Chaos::default(),
        };
        let name = ctx.names.scheduler();
        let (scheduler, ended) = Actor::spawn(Some(name.clone()), SchedulerActor, ctx).await.unwrap();
        let offer = Offer {
            device: DeviceName::new("uno-1").unwrap(),
            board: "b".into(),
            port: None,
            present: true,
            virtual_: false,
        };
        scheduler.cast(SchedulerMessage::Offers(vec![offer])).unwrap();
        let wish = |reply| SchedulerMessage::Acquire {
            session: SessionId(1),
            board: "b".into(),
            select: DeviceSelect::Board,
            reply,
        };
        let standing = ask(&name, LONG, wish).await.unwrap();
        assert!(matches!(standing, Ok(Standing::Granted { .. })), "{standing:?}");
        let schedule = load::<Schedule>(&store, &Schedule::default().key()).await.unwrap().unwrap();
        assert_eq!(schedule.leases.len(), 1);
        scheduler.stop(None);
        ended.await.unwrap();
        store.close().await.unwrap();
    }
}
