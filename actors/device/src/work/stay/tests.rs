use farmhand_records::{Attempt, PlanHash, SessionId};

use super::*;
use crate::peer::{Peer, epochs};
use crate::stk500v1::Stk500v1;

const SESSION: SessionId = SessionId(3);
/// Longer than any test runs.
const LONG: Duration = Duration::from_secs(60);

/// A stay that is being kept awake, what it is told by, and its peer.
async fn stay(
    peer: Peer,
) -> (mpsc::Sender<StayCommand>, tokio::task::JoinHandle<StayEnd>, tokio::task::JoinHandle<Peer>) {
    let (mut way, peer) = peer.run();
    let mut driver = Stk500v1::new(&[0x1e, 0x95, 0x0f], 128, 0x7e00, 115_200).unwrap();
    let mut epochs = epochs(5..=6);
    driver.prepare(&mut way, &mut epochs).await.unwrap();
    let of = Try { session: SESSION, attempt: Attempt(1), plan: PlanHash([0; 32]) };
    let stay = Stay::new(of, way, Box::new(driver), epochs, None, 9600);
    let (tell, told) = mpsc::channel(1);
    (tell, tokio::spawn(stay.run(told)), peer)
}

async fn leave(tell: &mpsc::Sender<StayCommand>, epoch: Epoch) -> Option<Left> {
    let (done, left) = oneshot::channel();
    tell.send(StayCommand::Leave { epoch, done }).await.ok()?;
    tokio::time::timeout(LONG, left).await.unwrap().ok()
}

#[tokio::test]
async fn the_first_byte_after_the_handoff_is_in_its_epoch() {
    let (tell, task, peer) = stay(Peer::default()).await;
    let left = leave(&tell, Epoch(9)).await.unwrap();
    assert!(matches!(left, Left::Acknowledged { starts: None, recorded: true, .. }), "{left:?}");
    assert_eq!(task.await.unwrap().began, None);
    let seen = peer.await.unwrap().seen;
    assert_eq!(seen.epochs, [(Epoch(9), EpochCause::Handoff(SESSION), b"hello\r\n".to_vec())]);
    assert_eq!((seen.leaves, seen.bauds.last()), (1, Some(&9600)));
}

#[tokio::test]
async fn a_loader_is_kept_awake_until_it_gives_up_and_then_nobody_owns_the_epoch() {
    // One question finds the loader, the next keeps it awake, and the third is not for it any more.
    let (tell, task, peer) = stay(Peer { gone_after_syncs: Some(2), ..Peer::default() }).await;
    let end = tokio::time::timeout(LONG, task).await.unwrap().unwrap();
    assert_eq!(end, StayEnd { why: UNANSWERED.into(), began: Some(Epoch(6)), starts: None });
    assert_eq!(leave(&tell, Epoch(9)).await, None);
    let seen = peer.await.unwrap().seen;
    let (epoch, cause, _) = &seen.epochs[0];
    assert_eq!((epoch, cause), (&Epoch(6), &EpochCause::Itself("loader timeout".into())));
    assert_eq!((seen.leaves, seen.epochs.len()), (0, 1));
}

#[tokio::test]
async fn a_handoff_to_a_loader_that_gave_up_is_not_issued() {
    let (tell, task, peer) = stay(Peer { gone_after_syncs: Some(1), ..Peer::default() }).await;
    // Asked before the next question to the loader, or after: it is asked first either way.
    if let Some(left) = leave(&tell, Epoch(9)).await {
        let Left::LoaderGone { why, began: Some(Epoch(6)), starts: None } = &left else { panic!("{left:?}") };
        assert!(!why.is_empty());
    }
    task.await.unwrap();
    let seen = peer.await.unwrap().seen;
    assert_eq!((seen.leaves, seen.epochs[0].0), (0, Epoch(6)));
}

#[tokio::test]
async fn a_stay_that_is_let_go_says_in_which_epoch_the_program_will_start() {
    let (tell, task, peer) = stay(Peer::default()).await;
    let (done, end) = oneshot::channel();
    tell.send(StayCommand::LetGo { done }).await.unwrap();
    let end = end.await.unwrap();
    assert_eq!((end.began, end.starts), (Some(Epoch(6)), None));
    task.await.unwrap();
    assert_eq!(peer.await.unwrap().seen.leaves, 0);
}

#[tokio::test]
async fn a_stay_that_is_followed_by_a_transfer_begins_nothing() {
    let (tell, task, peer) = stay(Peer::default()).await;
    drop(tell);
    assert_eq!(task.await.unwrap().began, None);
    assert_eq!(peer.await.unwrap().seen.epochs, []);
}
