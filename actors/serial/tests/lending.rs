//! A port that is lent to a driver: whose bytes are whose, to the byte.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use bytes::{Bytes, BytesMut};
use common::{Board, Farm, LONG, eventually, marks, next, of_epoch, read, text};
use farmhand_api::{EpochCause, LogFrom};
use farmhand_messages::SerialMessage;
use farmhand_messages::serial::{LentPort, PortCommand, PortError};
use farmhand_records::{Epoch, SessionId};
use tokio::sync::oneshot;
use tokio::time::timeout;

async fn command<R>(port: &LentPort, command: impl FnOnce(oneshot::Sender<R>) -> PortCommand) -> R {
    let (done, answer) = oneshot::channel();
    port.commands.send(command(done)).await.expect("the port takes commands");
    timeout(LONG, answer).await.expect("it answers").expect("it answers")
}

async fn hand_off(port: &LentPort, epoch: u64, unread: &[u8]) {
    let (epoch, unread) = (Epoch(epoch), Bytes::copy_from_slice(unread));
    let cause = EpochCause::Handoff(SessionId(7));
    command(port, |done| PortCommand::BeginEpoch { epoch, cause, unread, done }).await;
}

async fn take(port: &mut LentPort, bytes: usize) -> BytesMut {
    let mut taken = BytesMut::new();
    while taken.len() < bytes {
        taken.extend_from_slice(
            &timeout(LONG, port.bytes.recv()).await.expect("it says more").expect("it is lent"),
        );
    }
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loader_is_spoken_to_while_readers_stay() {
    let (farm, board) = (Farm::start().await, Board::new());
    farm.open(board.spec(), 0, 1).await.unwrap();
    let mut reader = farm.subscribe(LogFrom::Start, true).await;
    board.say("console\n").await;
    let before = read(&mut reader, 8).await;
    let mut port = farm.lend(5).await.unwrap();
    assert!(matches!(farm.lend(5).await, Err(PortError::Lent)));
    assert!(matches!(farm.lend(4).await, Err(PortError::Fenced)));
    assert_eq!(farm.write("a", b"x", true).await, Err(PortError::Lent));

    let ask = Bytes::from_static(b"\x30\x20");
    assert_eq!(command(&port, |done| PortCommand::Write { bytes: ask, done }).await, Ok(()));
    assert_eq!(board.hear(2).await, b"\x30\x20");
    board.say(&b"\x14\x10"[..]).await;
    assert_eq!(take(&mut port, 2).await, &b"\x14\x10"[..]);
    assert_eq!(command(&port, |done| PortCommand::Baud { baud: 57_600, done }).await, Ok(()));
    assert_eq!(board.termios().output_speed(), 57_600);
    let lines = command(&port, |done| PortCommand::Lines { dtr: false, rts: false, done }).await;
    assert_eq!(lines, Ok(false), "a pseudo terminal has none");

    hand_off(&port, 2, b"").await;
    board.say("hello\n").await;
    // Though the port is not given back yet.
    let after = read(&mut reader, 6).await;
    assert_eq!(port.bytes.recv().await, None, "nothing more is the driver's");
    drop(port);
    assert_eq!(marks(&[next(&mut reader).await]), ["returned"]);
    assert_eq!(marks(&before), ["epoch 1 Opened"]);
    assert_eq!(marks(&after), ["lent", "epoch 2 Handoff(SessionId(7))"]);
    assert_eq!((text(&before), of_epoch(&after, 2)), (b"console\n".to_vec(), b"hello\n".to_vec()));
    assert!(farm.lend(5).await.is_ok());
}

/// The boundary is wherever the driver says, however its bytes were cut: all before it are the driver's, all from it
/// on are recorded in the new epoch.
#[tokio::test(flavor = "multi_thread")]
async fn not_a_byte_is_lost_or_doubled_at_the_boundary() {
    let (farm, board) = (Farm::start().await, Board::new());
    farm.open(board.spec(), 0, 1).await.unwrap();
    for round in 0..40_usize {
        let epoch = 2 + round as u64;
        let mut port = farm.lend(1).await.unwrap();
        // So much of the answer, in pieces; the program's first words follow at once.
        let answer = vec![b'#'; 1 + round % 9];
        let first: Vec<u8> = (0..round * 7 % 50).map(|n| b'a' + u8::try_from(n % 26).unwrap()).collect();
        let rest = format!("<{round}>");
        let said = [&answer[..], &first].concat();
        for piece in said.chunks(1 + round % 4) {
            board.say(piece.to_vec()).await;
        }
        let took = take(&mut port, answer.len() + first.len() * (round % 3) / 2).await;
        let (_, unread) = took.split_at(answer.len());
        tokio::join!(board.say(rest.clone()), hand_off(&port, epoch, unread));
        let want = [&first[..], rest.as_bytes()].concat();
        let mut reader = farm.subscribe(LogFrom::Epoch(Epoch(epoch)), true).await;
        let items = read(&mut reader, want.len()).await;
        assert_eq!(of_epoch(&items, epoch), want, "round {round}");
        if round % 2 == 0 {
            drop(port);
            eventually(async || farm.log(LogFrom::Epoch(Epoch(epoch))).await.len() > items.len()).await;
        } else {
            let (_, more) = tokio::join!(board.say("more"), read(&mut reader, 4));
            assert_eq!(of_epoch(&more, epoch), b"more");
            drop(port);
            assert_eq!(marks(&[next(&mut reader).await]), ["returned"]);
        }
    }
    let log = farm.log(LogFrom::Start).await;
    assert!(!text(&log).contains(&b'#'), "the loader's answers are no console output");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_driver_did_not_take_is_recorded_when_it_gives_back() {
    let (farm, board) = (Farm::start().await, Board::new());
    farm.open(board.spec(), 0, 1).await.unwrap();
    let mut reader = farm.subscribe(LogFrom::Now, true).await;
    let mut port = farm.lend(1).await.unwrap();
    board.say("taken").await;
    take(&mut port, 5).await;
    board.say("untaken").await;
    // Whether the task has it, or the kernel still, it is recorded.
    assert_eq!(command(&port, |done| PortCommand::Baud { baud: 9600, done }).await, Ok(()));
    drop(port);
    let items = read(&mut reader, 7).await;
    assert_eq!(text(&items), b"untaken");
    assert_eq!(marks(&items), ["lent", "returned"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_that_was_ordered_is_recorded_though_its_driver_ends() {
    let (farm, board) = (Farm::start().await, Board::new());
    farm.open(board.spec(), 0, 1).await.unwrap();
    let mut reader = farm.subscribe(LogFrom::Now, true).await;
    let port = farm.lend(1).await.unwrap();
    let (done, _nobody_waits) = oneshot::channel();
    let (epoch, unread) = (Epoch(2), Bytes::from_static(b"first "));
    let begin = PortCommand::BeginEpoch { epoch, cause: EpochCause::Handoff(SessionId(1)), unread, done };
    port.commands.send(begin).await.unwrap();
    drop(port);
    board.say("second").await;
    let items = read(&mut reader, 12).await;
    assert_eq!(of_epoch(&items, 2), b"first second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_sleeps_loses_the_port() {
    let (mut farm, board) = (Farm::start().await, Board::new());
    farm.open(board.spec(), 0, 1).await.unwrap();
    let mut reader = farm.subscribe(LogFrom::Now, true).await;
    let port = farm.lend(1).await.unwrap();
    // More than the channel and the kernel hold: the board waits until the loan is over.
    let said: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let (_, items) = tokio::join!(board.say(said.clone()), read(&mut reader, said.len()));
    assert_eq!(text(&items), said);
    assert_eq!(marks(&items), ["lent", "returned"]);
    let note = timeout(LONG, farm.notes.recv()).await.expect("it is told").unwrap();
    assert!(note.contains("taken back"), "{note}");
    let (done, _) = oneshot::channel();
    assert!(port.commands.send(PortCommand::Baud { baud: 9600, done }).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_begins_even_when_the_channel_is_full() {
    let (farm, board) = (Farm::start().await, Board::new());
    farm.open(board.spec(), 0, 1).await.unwrap();
    let port = farm.lend(1).await.unwrap();
    let said: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut reader = farm.subscribe(LogFrom::Epoch(Epoch(2)), true).await;
    let (_, (), items) =
        tokio::join!(board.say(said.clone()), hand_off(&port, 2, b""), read(&mut reader, said.len()));
    assert_eq!(of_epoch(&items, 2), said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_vanishes_while_lent_still_takes_the_handoff() {
    let (mut farm, board) = (Farm::start().await, Board::new());
    farm.open(board.spec(), 0, 1).await.unwrap();
    let mut port = farm.lend(1).await.unwrap();
    board.say("ack").await;
    let taken = take(&mut port, 3).await;
    drop(board);
    timeout(LONG, farm.news.recv()).await.expect("it is told").unwrap();
    assert_eq!(port.bytes.recv().await, None);
    let written = command(&port, |done| PortCommand::Write { bytes: Bytes::from_static(b"x"), done }).await;
    assert_eq!(written, Err(PortError::Vanished));
    hand_off(&port, 2, &taken[1..]).await;
    drop(port);
    let board = Board::new();
    farm.open(board.spec(), 2, 3).await.unwrap();
    let log = farm.log(LogFrom::Epoch(Epoch(2))).await;
    assert_eq!(of_epoch(&log, 2), b"ck");
    assert_eq!(marks(&log), ["epoch 2 Handoff(SessionId(7))", "returned", "epoch 3 Returned"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_dies_takes_the_loan_with_it_and_keeps_the_port() {
    let (mut farm, board) = (Farm::start().await, Board::new());
    farm.open(board.spec(), 0, 1).await.unwrap();
    let mut port = farm.lend(1).await.unwrap();
    farm.kill().await;
    farm.restart().await;
    assert_eq!(port.bytes.recv().await, None);
    assert!(!board.is_alone());
    board.say("console").await;
    farm.recorded(7).await;
    let log = farm.log(LogFrom::Start).await;
    assert_eq!(marks(&log), ["epoch 1 Opened", "lent", "returned"]);
    assert!(farm.lend(1).await.is_ok());
    farm.ask(|reply| SerialMessage::Close { why: "enough".into(), reply }).await;
}
