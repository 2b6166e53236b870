//! The shell of the scheduler: persists, then answers.

use std::time::Duration;

use farmhand_api::{DeviceState, DeviceView};
use farmhand_messages::SchedulerMessage;
use farmhand_messages::scheduler::Offer;
use farmhand_records::v1::Schedule;
use farmhand_records::{Kind, Record};
use farmhand_runtime::{ChaosRole, Ctx, Failpoint, failpoint, load, mono_us, save, unix_ms};
use farmhand_store::Durability;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::state::{State, Step};

/// How often leases are looked at: a lease is 30 s, and a second more harms nobody.
const TICK: Duration = Duration::from_secs(1);

/// Leases and the queue.
pub(crate) struct SchedulerActor;

pub(crate) struct Shell {
    ctx: Ctx,
    state: State,
}

fn now() -> Duration {
    Duration::from_micros(mono_us())
}

impl Shell {
    /// The answer, once what it promises is durable. A write that fails fails the actor: what is in memory then is
    /// not what was promised, and the successor begins from the disk.
    async fn settle<A>(
        &self,
        step: Step<A>,
        before: Failpoint,
        after: Failpoint,
    ) -> Result<A, ActorProcessingErr> {
        if step.durable {
            failpoint(before);
            // Tokens go to the mark: a lease that was granted must not be forgotten by a store that went back.
            save(&self.ctx.store, self.state.schedule(), self.ctx.incarnation, Durability::Marked).await?;
            failpoint(after);
        }
        Ok(step.answer)
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
        Ok(Shell { ctx, state })
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
                let _gone = reply.send(answer);
            }
            SchedulerMessage::Renew { session, token, intent, reply } => {
                let step = shell.state.renew(session, token, intent, now());
                let answer =
                    shell.settle(step, Failpoint::GrantBeforePersist, Failpoint::GrantAfterPersist).await?;
                let _gone = reply.send(answer);
            }
            SchedulerMessage::Release { session, quarantine, reply } => {
                let step = shell.state.release(session, quarantine);
                shell.settle(step, Failpoint::ReleaseBeforePersist, Failpoint::ReleaseAfterPersist).await?;
                let _gone = reply.send(());
            }
            SchedulerMessage::Unquarantine { device, reply } => {
                let step = shell.state.unquarantine(&device);
                let was = shell
                    .settle(step, Failpoint::ReleaseBeforePersist, Failpoint::ReleaseAfterPersist)
                    .await?;
                let _gone = reply.send(was);
            }
            SchedulerMessage::Quarantine { device, quarantine, reply } => {
                let step = shell.state.quarantine(&device, quarantine);
                shell.settle(step, Failpoint::ReleaseBeforePersist, Failpoint::ReleaseAfterPersist).await?;
                let _gone = reply.send(());
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
