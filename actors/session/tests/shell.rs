//! The shell, with the real store over memory and the real ask: killed at any message, it goes on from its record.

#![allow(clippy::unwrap_used, reason = "a test's helpers may panic as its tests may")]

mod world;

use std::time::Duration;

use farmhand_api::{DeviceName, Goal, Settle};
use farmhand_messages::device::Payload;
use farmhand_messages::scheduler::LeaseLost;
use farmhand_messages::session::Outcome;
use farmhand_messages::{
    DeviceMessage, DirectoryMessage, Names, SchedulerMessage, SerialMessage, SessionMessage,
};
use farmhand_records::v1::{Evidence, HandoffKind, LeaseHeld, Phase, Session as Record, Source, Verdict};
use farmhand_records::{FencingToken, Incarnation, PlanHash, Record as _};
use farmhand_runtime::{Chaos, ChaosRole, Ctx, Effects, Paths, ask, load, save};
use farmhand_session::{Act, SessionActor, SessionArgs, Start, Trust};
use farmhand_store::{Disk, Durability, StoreHandle};
use ractor::{Actor, ActorProcessingErr, ActorRef, Message};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use world::Device;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// What is done to the one device, in its own task.
type Change = Box<dyn FnOnce(&mut Device) + Send>;

/// An actor that does to the device what a message says.
struct Part<M>(std::marker::PhantomData<fn(M)>);

type Does<M> = fn(M, &mut Device);

#[ractor::async_trait]
impl<M: Message> Actor for Part<M> {
    type Msg = M;
    type State = (mpsc::Sender<Change>, Does<M>);
    type Arguments = Self::State;

    async fn pre_start(&self, _: ActorRef<M>, args: Self::State) -> Result<Self::State, ActorProcessingErr> {
        Ok(args)
    }

    async fn handle(
        &self,
        _: ActorRef<M>,
        message: M,
        (world, does): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let does = *does;
        let change: Change = Box::new(move |device| does(message, device));
        world.send(change).await.map_err(|_| "the world has ended")?;
        Ok(())
    }
}

fn directory(message: DirectoryMessage, device: &mut Device) {
    match message {
        DirectoryMessage::Provide { reply, .. } => drop(reply.send(Ok(()))),
        DirectoryMessage::Claim { device: name, reply } => {
            assert_eq!(name, Device::name());
            device.claims += 1;
            let _gone = reply.send(Ok(()));
        }
        DirectoryMessage::Drivers { reply } => drop(reply.send(vec![(Device::name(), "stk500v1".into())])),
        other => panic!("{other:?}"),
    }
}

fn scheduler(message: SchedulerMessage, device: &mut Device) {
    match message {
        SchedulerMessage::Acquire { board, select, reply, .. } => {
            let act = Act::Acquire { board, port: None, select, lift: None, seen: None };
            let Outcome::Standing(standing) = device.act(&act, true) else { panic!("another outcome") };
            let _gone = reply.send(standing);
        }
        SchedulerMessage::Renew { intent, reply, .. } => {
            device.intent = intent && device.fences == 0;
            let fenced = device.fences > 0;
            device.fences = device.fences.saturating_sub(1);
            let _gone = reply.send(if fenced { Err(LeaseLost::Fenced) } else { Ok(()) });
        }
        SchedulerMessage::Release { quarantine, reply, .. } => {
            device.act(&Act::Release { lease: None, quarantine }, true);
            device.intent = false;
            let _gone = reply.send(());
        }
        SchedulerMessage::Unquarantine { reply, .. } => {
            let _gone = reply.send(std::mem::take(&mut device.quarantined));
        }
        other => panic!("{other:?}"),
    }
}

fn board(message: DeviceMessage, device: &mut Device) {
    let lease = || LeaseHeld { device: Device::name(), token: FencingToken(1) };
    macro_rules! answer {
        ($reply:expr, $act:expr, $kind:path) => {{
            let $kind(outcome) = device.act(&$act, true) else { panic!("another outcome") };
            let _gone = $reply.send(outcome);
        }};
    }
    match message {
        DeviceMessage::Connect { reply, .. } => {
            assert!(std::mem::take(&mut device.claims) > 0, "where it is is asked before it is connected");
            answer!(reply, Act::Connect { lease: lease() }, Outcome::Connected);
        }
        DeviceMessage::Transfer { attempt, plan, reply, .. } => {
            assert!(
                matches!(plan.payload, Payload::Program { image, .. } if !image.is_empty()),
                "it is handed over"
            );
            let artifact =
                farmhand_records::v1::Artifact { hash: plan.artifact, path: String::new(), image_bytes: 1 };
            let act = Act::Transfer { lease: lease(), attempt, plan: plan.hash, artifact };
            answer!(reply, act, Outcome::Transferred);
        }
        DeviceMessage::ReserveEpoch { reply, .. } => {
            assert!(device.intent, "the scheduler hears of the intent first");
            answer!(reply, Act::Reserve { lease: lease() }, Outcome::Reserved);
        }
        DeviceMessage::Handoff { attempt, epoch, reply, .. } => {
            assert!(device.would_start(attempt), "the transfer comes first");
            device.start(attempt, epoch);
            device.speak();
            let _gone = reply.send(Ok(Evidence::Complete("acknowledged".into())));
        }
        DeviceMessage::Evidence { attempt, reply, .. } => {
            let act = Act::Evidence { lease: lease(), attempt, plan: PlanHash([0; 32]) };
            answer!(reply, act, Outcome::Evidence);
        }
        DeviceMessage::Confirm { epoch, reply, .. } => {
            answer!(reply, Act::Confirm { lease: lease(), epoch }, Outcome::Confirmed);
        }
        DeviceMessage::Disconnect { reply, .. } => drop(reply.send(())),
        other => panic!("{other:?}"),
    }
}

fn serial(message: SerialMessage, device: &mut Device) {
    match message {
        SerialMessage::Subscribe { from, reply, .. } => {
            let items = device.read(from);
            let (to, reader) = mpsc::channel(items.len().max(1));
            items.into_iter().for_each(|item| to.try_send(item).expect("there is room"));
            let _gone = reply.send(reader);
            // It stays open, as a port does.
            tokio::spawn(async move { to.closed().await });
        }
        SerialMessage::Position { reply } => {
            drop(reply.send((device.offset, device.running.unwrap_or_default())))
        }
        other => panic!("{other:?}"),
    }
}

struct Farm {
    names: Names,
    store: StoreHandle,
    paths: Paths,
    chaos: Chaos,
    world: mpsc::Sender<Change>,
    parts: Vec<ractor::ActorCell>,
    _home: tempfile::TempDir,
}

impl Farm {
    async fn new(instance: &str) -> Self {
        Self::on(instance, Disk::new()).await
    }

    async fn on(instance: &str, disk: Disk) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (world, mut changes) = mpsc::channel::<Change>(64);
        tokio::spawn(async move {
            let mut device = Device::default();
            while let Some(change) = changes.recv().await {
                change(&mut device);
            }
        });
        let names = Names::new(instance);
        let (store, _) = StoreHandle::open_memory(disk).await.unwrap();
        let mut farm = Self {
            store,
            paths: Paths::new(home.path()),
            chaos: Chaos::armable(),
            world,
            parts: vec![],
            _home: home,
            names: names.clone(),
        };
        farm.part(names.directory(), directory as Does<DirectoryMessage>).await;
        farm.part(names.scheduler(), scheduler as Does<SchedulerMessage>).await;
        farm.part(names.device(&Device::name()), board as Does<DeviceMessage>).await;
        farm.part(names.serial(&Device::name()), serial as Does<SerialMessage>).await;
        farm
    }

    async fn part<M: Message>(&mut self, name: String, does: Does<M>) {
        let part = Part::<M>(std::marker::PhantomData);
        let (part, _) = Actor::spawn(Some(name), part, (self.world.clone(), does)).await.unwrap();
        self.parts.push(part.get_cell());
    }

    async fn device(&self) -> Device {
        let (reply, device) = oneshot::channel();
        let change: Change = Box::new(move |device| drop(reply.send(device.clone())));
        self.world.send(change).await.map_err(drop).unwrap();
        timeout(LONG, device).await.unwrap().unwrap()
    }

    /// A session of a file that is built already.
    async fn submit(&self, kind: HandoffKind) -> Record {
        let path = self.paths.home().join("app.hex");
        std::fs::write(&path, ":0100000001FE\n:00000001FF\n").unwrap();
        let mut record = world::session(kind, Goal::Run);
        record.job.build.source = Source::Artifact(path.display().to_string());
        save(&self.store, &record, Incarnation(0), Durability::Durable).await.unwrap();
        record
    }

    async fn record(&self, record: &Record) -> Record {
        load(&self.store, &record.key()).await.unwrap().unwrap()
    }

    async fn spawn(
        &self,
        incarnation: u64,
        start: Start,
    ) -> (ActorRef<SessionMessage>, tokio::task::JoinHandle<()>, Effects) {
        let id = match &start {
            Start::New(record) | Start::Recover { record, .. } => record.id,
        };
        let effects = Effects::new();
        let ctx = Ctx {
            names: self.names.clone(),
            store: self.store.clone(),
            paths: self.paths.clone(),
            incarnation: Incarnation(incarnation),
            effects: effects.clone(),
            chaos: self.chaos.clone(),
        };
        let name = self.names.session(id);
        let (actor, ended) =
            Actor::spawn(Some(name), SessionActor, SessionArgs { ctx, id, start }).await.unwrap();
        (actor, ended, effects)
    }

    /// Runs a session to its verdict, as a supervisor does; how many incarnations it took.
    async fn run(&self, record: &Record) -> u64 {
        let mut start = Start::New(record.clone());
        for incarnation in 1..20 {
            let (_, ended, effects) = self.spawn(incarnation, start).await;
            let _panicked = timeout(LONG, ended).await.expect("it ends");
            assert!(effects.end(LONG).await, "its tasks end");
            let record = self.record(record).await;
            if matches!(record.phase, Phase::Finished(..)) && !self.device().await.leased {
                return incarnation;
            }
            start = Start::Recover { record, trust: Trust::Exact };
        }
        panic!("it does not end");
    }

    fn end(&self) {
        self.parts.iter().for_each(|part| part.stop(None));
    }
}

#[tokio::test]
async fn to_a_verdict() {
    let farm = Farm::new("to-a-verdict").await;
    let record = farm.submit(HandoffKind::Once).await;
    assert_eq!(farm.run(&record).await, 1);
    let record = farm.record(&record).await;
    assert_eq!(record.phase, Phase::Finished(Verdict::Passed, None));
    let artifact = record.artifact.unwrap();
    assert!(std::path::Path::new(&artifact.path).starts_with(farm.paths.home()), "{artifact:?}");
    assert_eq!(farm.device().await.total(), 1);
    farm.end();
}

#[tokio::test]
async fn a_lease_that_is_anothers_is_found_before_the_intent() {
    let farm = Farm::new("fenced-before-the-intent").await;
    let record = farm.submit(HandoffKind::Once).await;
    farm.world.send(Box::new(|device| device.fences = 1)).await.map_err(drop).unwrap();
    assert_eq!(farm.run(&record).await, 1);
    let (record, device) = (farm.record(&record).await, farm.device().await);
    assert_eq!(record.phase, Phase::Finished(Verdict::Passed, None));
    assert_eq!(
        (device.fences, device.epoch, device.total()),
        (0, 1, 1),
        "one epoch, reserved behind a grant"
    );
    farm.end();
}

#[tokio::test]
async fn a_full_disk_is_waited_for() {
    // Of what is marked: the intent, that it was issued, the verdict.
    for nth in 1..4 {
        let mut disk = Disk::new();
        disk.full_at_append(nth, 7);
        let farm = Farm::on(&format!("full-{nth}"), disk).await;
        let record = farm.submit(HandoffKind::Once).await;
        assert_eq!(farm.run(&record).await, 1, "full at write {nth}: the actor goes on");
        assert_eq!(
            farm.record(&record).await.phase,
            Phase::Finished(Verdict::Passed, None),
            "at write {nth}"
        );
        assert_eq!(farm.device().await.total(), 1, "at write {nth}");
        farm.end();
    }
}

#[tokio::test]
async fn killed_at_any_message() {
    let mut struck = 0;
    for nth in 1..40 {
        let farm = Farm::new(&format!("killed-{nth}")).await;
        let record = farm.submit(HandoffKind::Once).await;
        farm.chaos.arm(ChaosRole::Session, nth);
        let incarnations = farm.run(&record).await;
        farm.end();
        let record = farm.record(&record).await;
        assert_eq!(record.phase, Phase::Finished(Verdict::Passed, None), "killed at message {nth}");
        assert_eq!(farm.device().await.total(), 1, "killed at message {nth}");
        if farm.chaos.is_armed(ChaosRole::Session) {
            break;
        }
        // The last message says that the device was given back: nothing is left to do then.
        assert!(incarnations <= 2, "killed at message {nth}");
        struck += 1;
    }
    assert!(struck >= 10, "{struck} messages");
}

#[tokio::test]
async fn cancelled_settled_and_drained() {
    let farm = Farm::new("cancelled").await;
    let mut record = farm.submit(HandoffKind::Once).await;
    let device: DeviceName = Device::name();
    // Ended for want of proof, in an attempt that did boot.
    record.attempt = farmhand_records::Attempt(1);
    record.plan = Some(PlanHash([0; 32]));
    record.epoch = Some(farmhand_records::Epoch(1));
    record.lease = Some(LeaseHeld { device, token: FencingToken(1) });
    let problem = farmhand_api::Problem {
        code: "F301".into(),
        ..world::problem(farmhand_api::ProblemClass::Unknown, "F301")
    };
    record.phase = Phase::Finished(Verdict::Unknown, Some(problem));
    record.finished_unix_ms = Some(2);
    save(&farm.store, &record, Incarnation(0), Durability::Marked).await.unwrap();
    let change: Change = Box::new(|device| {
        device.epoch = 1;
        device.start(farmhand_records::Attempt(1), farmhand_records::Epoch(1));
        device.speak();
        device.quarantined = true;
    });
    farm.world.send(change).await.map_err(drop).unwrap();
    let start = Start::Recover { record: record.clone(), trust: Trust::Exact };
    let (_, ended, _effects) = farm.spawn(1, start).await;
    let name = farm.names.session(record.id);
    let settle = Settle::Booted;
    let view = ask(&name, LONG, |reply| SessionMessage::Settle { settle, reply }).await.unwrap().unwrap();
    assert_eq!(view.verdict, None, "{view:?}");
    timeout(LONG, ended).await.expect("it ends").unwrap();
    let settled = farm.record(&record).await;
    assert_eq!(settled.phase, Phase::Finished(Verdict::Passed, None));
    let device = farm.device().await;
    assert!(!device.quarantined && !device.leased && device.total() == 1, "{device:?}");

    // Ended for good: a second word changes nothing.
    let start = Start::Recover { record: settled, trust: Trust::Exact };
    let (actor, _ended, _effects) = farm.spawn(2, start).await;
    let refused =
        ask(&name, LONG, |reply| SessionMessage::Settle { settle, reply }).await.unwrap().unwrap_err();
    assert_eq!(refused.code, "F306");
    ask(&name, LONG, |reply| SessionMessage::Drain { reply }).await.unwrap();
    actor.stop_and_wait(None, Some(LONG)).await.unwrap();

    // A session that waits is cancelled at once.
    let mut waits = world::session(HandoffKind::Once, Goal::Run);
    waits.job.build.source = Source::Artifact("/nowhere".into());
    waits.job.expect = vec!["(".into()];
    waits.id = farmhand_records::SessionId(8);
    save(&farm.store, &waits, Incarnation(0), Durability::Durable).await.unwrap();
    let (_, ended, _effects) = farm.spawn(1, Start::New(waits.clone())).await;
    timeout(LONG, ended).await.expect("it ends").unwrap();
    let Phase::Finished(Verdict::Infra, Some(problem)) = farm.record(&waits).await.phase else {
        panic!("a wrong pattern ends it");
    };
    assert_eq!(problem.code, "F100");
    farm.end();
}
