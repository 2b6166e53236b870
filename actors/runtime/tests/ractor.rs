//! The semantics of ractor that we rely on. The version is pinned; where one of these fails after an upgrade, read
//! what relies on it before mending the test.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use farmhand_runtime::{AskError, Effects, ask, ask_once};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent, registry};
use tokio::sync::mpsc;

const LONG: Duration = Duration::from_secs(20);

enum ChildMessage {
    Answer(RpcReplyPort<u32>),
    Panic,
    Block(tokio::sync::oneshot::Receiver<()>),
    EffectPanics,
}

struct Child;

#[ractor::async_trait]
impl Actor for Child {
    type Msg = ChildMessage;
    type State = (u32, Effects);
    type Arguments = (u32, Effects);

    async fn pre_start(
        &self,
        _myself: ActorRef<ChildMessage>,
        args: (u32, Effects),
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(args)
    }

    async fn handle(
        &self,
        myself: ActorRef<ChildMessage>,
        message: ChildMessage,
        (number, effects): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ChildMessage::Answer(reply) => drop(reply.send(*number)),
            ChildMessage::Panic => panic!("as asked"),
            ChildMessage::Block(until) => drop(until.await),
            ChildMessage::EffectPanics => effects.spawn(&myself, async { panic!("in a task") }),
        }
        Ok(())
    }
}

/// What a supervisor is told, passed on.
enum Told {
    Failed(ActorCell, bool),
    Terminated(ActorCell, Option<String>),
}

struct Parent;

#[ractor::async_trait]
impl Actor for Parent {
    type Msg = ();
    type State = mpsc::UnboundedSender<Told>;
    type Arguments = mpsc::UnboundedSender<Told>;

    async fn pre_start(
        &self,
        _myself: ActorRef<()>,
        told: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(told)
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<()>,
        event: SupervisionEvent,
        told: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let free = |cell: &ActorCell| registry::where_is(cell.get_name().unwrap()).is_none();
        let _over = match event {
            SupervisionEvent::ActorFailed(cell, _) => {
                let free = free(&cell);
                told.send(Told::Failed(cell, free))
            }
            SupervisionEvent::ActorTerminated(cell, _, reason) => told.send(Told::Terminated(cell, reason)),
            _ => Ok(()),
        };
        Ok(())
    }
}

struct Bench {
    parent: ActorRef<()>,
    told: mpsc::UnboundedReceiver<Told>,
    name: String,
    effects: Effects,
}

impl Bench {
    async fn new(name: &str) -> (Self, ActorRef<ChildMessage>) {
        let (sender, told) = mpsc::unbounded_channel();
        let (parent, _) = Actor::spawn(None, Parent, sender).await.unwrap();
        let bench = Self { parent, told, name: format!("test/{name}"), effects: Effects::new() };
        let child = bench.child(1).await;
        (bench, child)
    }

    async fn child(&self, number: u32) -> ActorRef<ChildMessage> {
        let args = (number, self.effects.clone());
        self.parent.spawn_linked(Some(self.name.clone()), Child, args).await.unwrap().0
    }

    async fn told(&mut self) -> Told {
        tokio::time::timeout(LONG, self.told.recv()).await.expect("told in time").unwrap()
    }
}

#[tokio::test]
async fn when_a_failure_is_told_the_name_is_free_again() {
    let (mut bench, child) = Bench::new("free").await;
    child.cast(ChildMessage::Panic).unwrap();
    let Told::Failed(cell, free) = bench.told().await else { panic!("not a failure") };
    assert_eq!(cell.get_id(), child.get_id());
    assert!(free);
    bench.child(2).await;
    assert_eq!(ask_once(&bench.name, LONG, ChildMessage::Answer).await, Ok(2));
}

#[tokio::test]
async fn what_is_queued_behind_a_panic_is_dropped_and_its_call_errors() {
    let (mut bench, child) = Bench::new("queue").await;
    let (go, gate) = tokio::sync::oneshot::channel();
    child.cast(ChildMessage::Block(gate)).unwrap();
    child.cast(ChildMessage::Panic).unwrap();
    let (reply, answer) = tokio::sync::oneshot::channel();
    child.cast(ChildMessage::Answer(reply.into())).unwrap();
    go.send(()).unwrap();
    assert!(answer.await.is_err());
    assert!(matches!(bench.told().await, Told::Failed(..)));
}

#[tokio::test]
async fn a_kill_says_so_and_a_stop_without_reason_says_nothing() {
    let (mut bench, child) = Bench::new("kill").await;
    child.kill();
    let Told::Terminated(_, reason) = bench.told().await else { panic!("not an end") };
    // Whether the state is handed over depends on where the kill struck: only the reason tells.
    assert_eq!(reason.as_deref(), Some("killed"));
    let child = bench.child(2).await;
    child.stop(None);
    let Told::Terminated(_, reason) = bench.told().await else { panic!("not an end") };
    assert_eq!(reason, None);
}

#[tokio::test]
async fn a_call_that_timed_out_may_still_be_carried_out() {
    let (_bench, child) = Bench::new("late").await;
    let (go, gate) = tokio::sync::oneshot::channel();
    child.cast(ChildMessage::Block(gate)).unwrap();
    let (reply, mut answer) = tokio::sync::oneshot::channel();
    child.cast(ChildMessage::Answer(reply.into())).unwrap();
    assert!(answer.try_recv().is_err());
    go.send(()).unwrap();
    assert_eq!(answer.await, Ok(1));
}

#[tokio::test]
async fn asking_survives_a_restart() {
    let (mut bench, child) = Bench::new("again").await;
    let (go, gate) = tokio::sync::oneshot::channel();
    child.cast(ChildMessage::Block(gate)).unwrap();
    child.cast(ChildMessage::Panic).unwrap();
    let name = bench.name.clone();
    let asked = tokio::spawn(async move { ask(name, LONG, ChildMessage::Answer).await });
    go.send(()).unwrap();
    assert!(matches!(bench.told().await, Told::Failed(..)));
    bench.child(2).await;
    assert_eq!(asked.await.unwrap(), Ok(2));
}

#[tokio::test]
async fn nobody_of_that_name_is_not_done() {
    let asked = ask_once("test/nobody", Duration::from_millis(1), ChildMessage::Answer).await;
    assert_eq!(asked, Err(AskError::Absent));
}

#[tokio::test]
async fn a_tasks_panic_is_its_actors_failure() {
    let (mut bench, child) = Bench::new("task").await;
    child.cast(ChildMessage::EffectPanics).unwrap();
    let Told::Terminated(cell, reason) = bench.told().await else { panic!("not an end") };
    assert_eq!(cell.get_id(), child.get_id());
    assert_eq!(reason.as_deref(), Some("killed"));
    assert!(bench.effects.end(LONG).await);
}
