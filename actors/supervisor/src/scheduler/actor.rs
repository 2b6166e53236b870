//! The shell of the scheduler: persists, then answers.

use std::collections::BTreeMap;
use std::time::Duration;

use farmhand_api::{DeviceSelect, DeviceState, DeviceView, Problem};
use farmhand_messages::SchedulerMessage;
use farmhand_messages::scheduler::{Offer, QUEUED_WITHIN, QueuePlace, Seen, Standing};
use farmhand_records::v1::Schedule;
use farmhand_records::{Kind, Record, SessionId};
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
    /// Those who wait, and are told when they stand otherwise: one wish a session.
    held: BTreeMap<SessionId, Held>,
    /// Somebody may stand otherwise.
    changed: bool,
    /// The state is ahead of the disk, which was full or busy: nothing that rests on it is answered until it is not.
    unsaved: bool,
}

/// A wish that is answered when it stands otherwise, or when it is time.
struct Held {
    board: String,
    select: DeviceSelect,
    seen: QueuePlace,
    until: Duration,
    reply: RpcReplyPort<Result<Standing, Problem>>,
}

impl Held {
    /// It stands as it stood.
    fn answer(self) {
        let (place, behind) = self.seen;
        let _gone = self.reply.send(Ok(Standing::Queued { place, behind }));
    }
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
        self.changed |= step.durable;
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

    /// A session wants a device. One that waits already, and knows how it stands, is held.
    async fn acquire(
        &mut self,
        session: SessionId,
        (board, select): (String, DeviceSelect),
        seen: Option<QueuePlace>,
        until: Duration,
        reply: RpcReplyPort<Result<Standing, Problem>>,
    ) -> Result<(), ActorProcessingErr> {
        let step = self.state.acquire(session, &board, &select, now(), unix_ms());
        let queued = match step.answer {
            Ok(Standing::Queued { place, behind }) if !step.durable => Some((place, behind)),
            _ => None,
        };
        let answer = self.settle(step, Failpoint::GrantBeforePersist, Failpoint::GrantAfterPersist).await?;
        match (seen, answer) {
            (Some(seen), Some(_)) if queued == Some(seen) => {
                self.held.insert(session, Held { board, select, seen, until, reply });
            }
            (_, answer) => give(reply, answer),
        }
        Ok(())
    }

    /// Answers those who stand otherwise now.
    async fn tell(&mut self) -> Result<(), ActorProcessingErr> {
        while std::mem::take(&mut self.changed) && !self.unsaved && !self.held.is_empty() {
            let standings: BTreeMap<_, _> = self.state.standings().into_iter().collect();
            let moved = |(session, held): &(&SessionId, &Held)| {
                standings.get(session).copied().flatten() != Some(held.seen)
            };
            let mut moved: Vec<_> = self.held.iter().filter(moved).map(|(&session, _)| session).collect();
            // First come, first served; who is not in the queue any more is asked for last.
            let places: BTreeMap<_, _> =
                self.state.schedule().queue.iter().enumerate().map(|(at, own)| (own.session, at)).collect();
            moved.sort_by_key(|session| places.get(session).copied().unwrap_or(usize::MAX));
            for session in moved {
                let Some(held) = self.held.remove(&session) else { continue };
                match standings.get(&session).copied().flatten() {
                    Some((place, behind)) => give(held.reply, Some(Ok(Standing::Queued { place, behind }))),
                    // What it stands for it knows already: it is held on where nothing comes of it.
                    None => {
                        let Held { board, select, seen, until, reply } = held;
                        self.acquire(session, (board, select), Some(seen), until, reply).await?;
                    }
                }
            }
        }
        Ok(())
    }

    fn views(&self) -> Vec<DeviceView> {
        let mut views: Vec<_> = self.state.offers().iter().map(|offer| self.view(offer)).collect();
        views.sort_by(|one, other| one.name.cmp(&other.name));
        views
    }

    fn view(&self, offer: &Offer) -> DeviceView {
        let (quarantine, lease) = (self.state.aside(offer), self.state.held(offer));
        let state = match (quarantine, lease) {
            (Some(_), _) => DeviceState::Quarantined,
            (None, Some(_)) => DeviceState::Leased,
            (None, None) if offer.is_seen() => DeviceState::Free,
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
            serial: offer.serial.clone(),
            seen_unix_ms: match offer.seen {
                Seen::Now => offer.present.then(unix_ms),
                Seen::Answered { at_unix_ms, .. } => at_unix_ms,
            },
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
        Ok(Shell { ctx, state, held: BTreeMap::new(), changed: false, unsaved: false })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: SchedulerMessage,
        shell: &mut Shell,
    ) -> Result<(), ActorProcessingErr> {
        shell.ctx.chaos.strike(ChaosRole::Scheduler);
        match message {
            SchedulerMessage::Acquire { session, board, select, seen, reply } => {
                // Asked anew: whoever asked before waits no longer.
                shell.held.remove(&session).into_iter().for_each(Held::answer);
                shell.acquire(session, (board, select), seen, now() + QUEUED_WITHIN, reply).await?;
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
                shell.held.remove(&session).into_iter().for_each(Held::answer);
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
            SchedulerMessage::Offers(offers) => {
                shell.changed |= shell.state.offers() != offers;
                shell.state.set_offers(offers);
            }
            SchedulerMessage::Devices { reply } => {
                let _gone = reply.send(shell.views());
            }
            SchedulerMessage::Leases { reply } => {
                let _gone = reply.send(shell.state.schedule().leases.clone());
            }
            SchedulerMessage::HadAs { device, also, reply } => {
                let _gone = reply.send(shell.state.had_as(&device, &also));
            }
            SchedulerMessage::StopGranting { reply } => {
                shell.state.stop_granting();
                let _gone = reply.send(());
            }
            SchedulerMessage::Tick => {
                let step = shell.state.tick(now());
                shell.settle(step, Failpoint::GrantBeforePersist, Failpoint::GrantAfterPersist).await?;
                let time = now();
                let (due, held) = std::mem::take(&mut shell.held)
                    .into_iter()
                    .partition::<BTreeMap<_, _>, _>(|(_, held)| held.until <= time);
                shell.held = held;
                due.into_values().for_each(Held::answer);
            }
        }
        shell.tell().await
    }
}

#[cfg(test)]
mod tests {
    use farmhand_messages::Names;
    use farmhand_records::{DeviceName, Incarnation};
    use farmhand_runtime::{Chaos, Effects, Paths, ask};
    use farmhand_store::{Disk, StoreHandle};

    use super::*;

    /// Far more than it takes.
    const LONG: Duration = Duration::from_secs(30);

    async fn scheduler(
        instance: &str,
        disk: Disk,
    ) -> (String, StoreHandle, ActorRef<SchedulerMessage>, tokio::task::JoinHandle<()>) {
        let (store, _) = StoreHandle::open_memory(disk).await.unwrap();
        let ctx = Ctx {
            names: Names::new(instance),
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
            serial: None,
            also: Vec::new(),
            present: true,
            seen: Seen::Now,
            virtual_: false,
        };
        scheduler.cast(SchedulerMessage::Offers(vec![offer])).unwrap();
        (name, store, scheduler, ended)
    }

    async fn wish(name: &str, session: u64, seen: Option<QueuePlace>) -> Result<Standing, Problem> {
        let wish = |reply| SchedulerMessage::Acquire {
            session: SessionId(session),
            board: "b".into(),
            select: DeviceSelect::Board,
            seen,
            reply,
        };
        ask(name, LONG, wish).await.unwrap()
    }

    async fn release(name: &str, session: u64) {
        let release =
            |reply| SchedulerMessage::Release { session: SessionId(session), quarantine: None, reply };
        ask(name, LONG, release).await.unwrap();
    }

    fn seen(standing: &Result<Standing, Problem>) -> Option<QueuePlace> {
        match standing {
            Ok(Standing::Queued { place, behind }) => Some((*place, *behind)),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn who_waits_is_told_when_it_stands_otherwise_and_not_before() {
        const WAITING: u64 = 1000;
        let (name, store, scheduler, ended) = scheduler("a thousand wait", Disk::new()).await;
        assert!(matches!(wish(&name, 1, None).await, Ok(Standing::Granted { .. })));
        let mut waits = tokio::task::JoinSet::new();
        for session in 2..WAITING + 2 {
            let stands = seen(&wish(&name, session, None).await);
            assert_eq!(stands, Some((u32::try_from(session).unwrap() - 1, Some(SessionId(session - 1)))));
            let name = name.clone();
            waits.spawn(async move { (session, wish(&name, session, stands).await) });
        }
        heard(&name).await;
        assert!(waits.try_join_next().is_none(), "nothing has changed for anybody");
        release(&name, 1).await;
        for _ in 0..WAITING {
            let (session, standing) = waits.join_next().await.unwrap().unwrap();
            match session {
                2 => assert!(matches!(standing, Ok(Standing::Granted { .. })), "{standing:?}"),
                _ => assert_eq!(
                    seen(&standing),
                    Some((u32::try_from(session).unwrap() - 2, Some(SessionId(session - 1))))
                ),
            }
        }
        // Who goes is answered, and asks no more.
        let stands = seen(&wish(&name, 3, None).await);
        let third = tokio::spawn({
            let name = name.clone();
            async move { wish(&name, 3, stands).await }
        });
        heard(&name).await;
        assert!(!third.is_finished(), "nothing has changed for it");
        release(&name, 3).await;
        assert_eq!(seen(&third.await.unwrap()), stands);
        scheduler.stop(None);
        ended.await.unwrap();
        store.close().await.unwrap();
    }

    /// The scheduler has heard of all that was asked before.
    async fn heard(name: &str) {
        // Those who ask, on this one thread, come to asking.
        tokio::task::yield_now().await;
        ask(name, LONG, |reply| SchedulerMessage::Leases { reply }).await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_is_waited_for_and_a_grant_is_answered_once_it_is_durable() {
        let mut disk = Disk::new();
        disk.full_at_append(1, 3);
        let (name, store, scheduler, ended) = scheduler("full disk", disk).await;
        let standing = wish(&name, 1, None).await;
        assert!(matches!(standing, Ok(Standing::Granted { .. })), "{standing:?}");
        let schedule = load::<Schedule>(&store, &Schedule::default().key()).await.unwrap().unwrap();
        assert_eq!(schedule.leases.len(), 1);
        scheduler.stop(None);
        ended.await.unwrap();
        store.close().await.unwrap();
    }
}
