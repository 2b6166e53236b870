//! Recording, readers, writers, opening: over real pseudo terminals.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::path::PathBuf;

use common::{Board, Farm, LONG, eventually, marks, next, of_epoch, read, text};
use farmhand_api::{EpochCause, LogFrom, LogItem};
use farmhand_messages::SerialMessage;
use farmhand_messages::serial::{OpenPortError, PortError, PortNews, PortSpec};
use farmhand_records::{Epoch, v1};
use rustix::termios::LocalModes;
use tokio::time::timeout;

/// Lines that say which they are.
fn lines(bytes: usize) -> Vec<u8> {
    (0_u64..).flat_map(|number| format!("line {number}\n").into_bytes()).take(bytes).collect()
}

async fn begin_epoch(farm: &Farm, epoch: u64) {
    let (epoch, cause) = (Epoch(epoch), EpochCause::Itself("watchdog".into()));
    farm.ask(|reply| SerialMessage::BeginEpoch { epoch, cause, reply }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_come_in_order_and_are_on_the_disk_before_they_are_told() {
    let (farm, board) = (Farm::start().await, Board::new());
    let mut reader = farm.subscribe(LogFrom::Now, true).await;
    farm.open(board.spec(), 0, 1).await.unwrap();
    assert_eq!(marks(&[next(&mut reader).await]), ["epoch 1 Opened"]);
    let mut said = Vec::new();
    for number in 0..200 {
        let line = format!("marker-{number}-{}\n", "\u{0}\u{ff}".repeat(number % 7));
        board.say(line.clone()).await;
        said.extend_from_slice(line.as_bytes());
    }
    let mut heard = Vec::new();
    let mut last = 0;
    while heard.len() < said.len() {
        let LogItem::Chunk { offset, epoch, stamp, bytes } = next(&mut reader).await else {
            panic!("a mark")
        };
        assert_eq!((offset, epoch), (heard.len() as u64, Epoch(1)));
        assert!(stamp.mono_us >= last && stamp.unix_us > 0);
        last = stamp.mono_us;
        let recording = farm.recording();
        assert!(recording.windows(bytes.len()).any(|window| window == bytes), "it is not on the disk");
        heard.extend_from_slice(&bytes);
    }
    assert_eq!(heard, said);
    assert_eq!(farm.position().await, (said.len() as u64, Epoch(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_reader_slows_nobody_and_loses_nothing_that_is_kept() {
    let (farm, board) = (Farm::start().await, Board::new());
    farm.open(board.spec(), 0, 1).await.unwrap();
    let mut stalled = farm.subscribe(LogFrom::Start, true).await;
    let mut live = farm.subscribe(LogFrom::Now, true).await;
    let said = lines(6_000_000);
    let (_, heard) = tokio::join!(board.say(said.clone()), read(&mut live, said.len()));
    assert_eq!(text(&heard), said);
    assert!(marks(&heard).is_empty(), "the live one lost something: {:?}", marks(&heard));
    // It has read nothing so far; all of it is in the recording.
    let late = read(&mut stalled, said.len()).await;
    assert_eq!(text(&late), said);
    assert_eq!(marks(&late), ["epoch 1 Opened"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_too_slow_for_the_rotation_loses_its_own_place_and_is_told_how_much() {
    let (farm, board) = (Farm::start_with(64 * 1024).await, Board::new());
    farm.open(board.spec(), 0, 1).await.unwrap();
    let mut stalled = farm.subscribe(LogFrom::Start, true).await;
    let mut live = farm.subscribe(LogFrom::Now, true).await;
    let said = lines(6_000_000);
    let (_, heard) = tokio::join!(board.say(said.clone()), read(&mut live, said.len()));
    assert_eq!(text(&heard), said);
    let mut end = 0;
    let mut lost_bytes = 0;
    while end < said.len() {
        match next(&mut stalled).await {
            LogItem::Chunk { offset, bytes, .. } => {
                assert_eq!(usize::try_from(offset).unwrap(), end);
                assert_eq!(bytes, said[end..end + bytes.len()]);
                end += bytes.len();
            }
            LogItem::Lost { offset, bytes, dropped } => {
                assert_eq!((usize::try_from(offset).unwrap(), dropped), (end, false));
                end += usize::try_from(bytes).unwrap();
                lost_bytes += bytes;
            }
            LogItem::EpochBegan { offset: 0, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(lost_bytes > 0, "it was not slow enough to test anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn is_replayed_from_any_offset_epoch_or_time() {
    // Small segments and more than the ring holds: some of it is on the disk only.
    let (farm, board) = (Farm::start_with(1024 * 1024).await, Board::new());
    farm.open(board.spec(), 0, 1).await.unwrap();
    let mut live = farm.subscribe(LogFrom::Start, true).await;
    let said = lines(900_000);
    for epoch in 1..=3 {
        if epoch > 1 {
            begin_epoch(&farm, epoch).await;
        }
        tokio::join!(board.say(said.clone()), read(&mut live, said.len()));
    }
    let whole = farm.log(LogFrom::Start).await;
    assert_eq!(text(&whole), said.repeat(3));
    let itself = |epoch: u64| format!("epoch {epoch} Itself(\"watchdog\")");
    assert_eq!(marks(&whole), ["epoch 1 Opened".into(), itself(2), itself(3)]);
    for offset in [0, 1, 4095, 4096, 900_000, 1_234_567, 2_699_999, 2_700_000] {
        let from = farm.log(LogFrom::Offset(offset)).await;
        assert_eq!(text(&from), &said.repeat(3)[usize::try_from(offset).unwrap()..], "from {offset}");
    }
    for epoch in 1..=3 {
        let from = farm.log(LogFrom::Epoch(Epoch(epoch))).await;
        assert!(matches!(&from[0], LogItem::EpochBegan { epoch: began, .. } if *began == Epoch(epoch)));
        assert_eq!(of_epoch(&from, epoch), said);
        assert_eq!(text(&from).len(), said.len() * usize::try_from(4 - epoch).unwrap());
    }
    for at in [1, whole.len() / 2, whole.len() - 1] {
        let (LogItem::Chunk { stamp, .. } | LogItem::EpochBegan { stamp, .. }) = &whole[at] else {
            panic!("a mark")
        };
        let from = farm.log(LogFrom::Time(stamp.unix_us)).await;
        let first = whole.iter().position(|item| {
            matches!(item, LogItem::Chunk { stamp: of, .. } | LogItem::EpochBegan { stamp: of, .. }
                if of.unix_us >= stamp.unix_us)
        });
        assert_eq!(from, whole[first.unwrap()..]);
    }
    assert!(farm.log(LogFrom::Now).await.is_empty());
    assert!(farm.log(LogFrom::Epoch(Epoch(9))).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_that_is_to_come_is_waited_for_and_begun_once() {
    let (farm, board) = (Farm::start().await, Board::new());
    farm.open(board.spec(), 0, 1).await.unwrap();
    let mut reader = farm.subscribe(LogFrom::Epoch(Epoch(2)), true).await;
    board.say("old\n").await;
    farm.recorded(4).await;
    begin_epoch(&farm, 2).await;
    begin_epoch(&farm, 2).await;
    begin_epoch(&farm, 1).await;
    board.say("new\n").await;
    let items = read(&mut reader, 4).await;
    assert_eq!(marks(&items), ["epoch 2 Itself(\"watchdog\")"]);
    assert_eq!(of_epoch(&items, 2), b"new\n");
    let device = farm.device.as_str().as_bytes().to_vec();
    eventually(async || {
        let place: Option<v1::Serial> = farmhand_runtime::load(&farm.ctx.store, &device).await.unwrap();
        place.is_some_and(|place| place.epoch == Epoch(2))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_writes_and_another_takes_over() {
    let (farm, board) = (Farm::start().await, Board::new());
    assert_eq!(farm.write("a", b"x", false).await, Err(PortError::Closed));
    farm.open(board.spec(), 0, 1).await.unwrap();
    assert_eq!(farm.write("a", b"one\r", false).await, Ok(()));
    assert_eq!(farm.write("b", b"two\r", false).await, Err(PortError::Taken { writer: "a".into() }));
    assert_eq!(farm.write("b", b"two\r", true).await, Ok(()));
    assert_eq!(farm.write("a", b"x", false).await, Err(PortError::Taken { writer: "b".into() }));
    assert_eq!(board.hear(8).await, b"one\rtwo\r", "as it was written: the line is raw");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_reads_nothing_stalls_the_writer_only() {
    let (farm, board) = (Farm::start().await, Board::new());
    farm.open(board.spec(), 0, 1).await.unwrap();
    let mut reader = farm.subscribe(LogFrom::Now, true).await;
    let long = vec![b'x'; 1024 * 1024];
    let (written, heard) = tokio::join!(farm.write("a", &long, false), async {
        board.say("still here\n").await;
        read(&mut reader, 11).await
    });
    assert_eq!(written, Err(PortError::Stalled));
    assert_eq!(text(&heard), b"still here\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_is_an_edge_where_hupcl_was_set() {
    let (farm, board) = (Farm::start().await, Board::new());
    board.set_hupcl(true);
    let opened = farm.open(board.spec(), 0, 1).await.unwrap();
    assert!(opened.may_have_reset && !opened.already && opened.epoch == Epoch(1));
    assert!(!board.hupcl(), "it is cleared");
    assert!(!board.termios().local_modes.intersects(LocalModes::ECHO | LocalModes::ICANON), "it is raw");
    // Asked again: an open port stays as it is.
    let again = farm.open(board.spec(), 1, 2).await.unwrap();
    assert!(again.already && !again.may_have_reset && again.epoch == Epoch(1));
    board.say("a").await;
    farm.recorded(1).await;

    // A farm that starts again opens again: no edge, since nobody set HUPCL. The epoch goes on, after a gap.
    let farm = farm.again().await;
    eventually(async || board.is_alone()).await;
    assert!(!board.hupcl());
    let opened = farm.open(board.spec(), 1, 2).await.unwrap();
    assert!(!opened.may_have_reset && opened.epoch == Epoch(1));
    board.say("b").await;
    farm.recorded(2).await;

    // Another program set it while we were away.
    let farm = farm.again().await;
    eventually(async || board.is_alone()).await;
    board.set_hupcl(true);
    let opened = farm.open(board.spec(), 1, 3).await.unwrap();
    assert!(opened.may_have_reset && opened.epoch == Epoch(3));

    // The device actor knows of an epoch that was never recorded.
    let farm = farm.again().await;
    eventually(async || board.is_alone()).await;
    let opened = farm.open(board.spec(), 7, 8).await.unwrap();
    assert!(!opened.may_have_reset && opened.epoch == Epoch(8));
    let gap = "gap: the farm was not there";
    let want = ["epoch 1 Opened", gap, gap, "epoch 3 Opened", gap, "epoch 8 Opened"];
    assert_eq!(marks(&farm.log(LogFrom::Start).await), want);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_vanishes_comes_back_by_another_path() {
    let (mut farm, board) = (Farm::start().await, Board::new());
    farm.open(board.spec(), 0, 1).await.unwrap();
    let mut reader = farm.subscribe(LogFrom::Start, true).await;
    board.say("before").await;
    farm.recorded(6).await;
    drop(board);
    let news = timeout(LONG, farm.news.recv()).await.expect("it is told").unwrap();
    assert_eq!(news, PortNews::Vanished);
    assert!(!farm.keeper.keeps());
    assert_eq!(farm.write("a", b"x", false).await, Err(PortError::Vanished));
    assert!(matches!(farm.lend(1).await, Err(PortError::Vanished)));
    let board = Board::new();
    let opened = farm.open(board.spec(), 1, 2).await.unwrap();
    assert_eq!(opened.epoch, Epoch(2));
    board.say("after").await;
    // The same reader.
    let items = read(&mut reader, 11).await;
    assert_eq!((of_epoch(&items, 1), of_epoch(&items, 2)), (b"before".to_vec(), b"after".to_vec()));
    let marks = marks(&items);
    assert_eq!(
        (marks[0].as_str(), marks[2].as_str(), marks.len()),
        ("epoch 1 Opened", "epoch 2 Returned", 3)
    );
    assert!(marks[1].starts_with("gap: the port vanished"), "{marks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_elsewhere_is_followed_there() {
    let (farm, old, new) = (Farm::start().await, Board::new(), Board::new());
    farm.open(old.spec(), 0, 1).await.unwrap();
    let opened = farm.open(new.spec(), 1, 2).await.unwrap();
    assert_eq!((opened.already, opened.epoch), (false, Epoch(2)));
    eventually(async || old.is_alone()).await;
    new.say("here").await;
    farm.recorded(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_marks_the_gap_and_lets_go() {
    let (farm, board) = (Farm::start().await, Board::new());
    farm.open(board.spec(), 0, 1).await.unwrap();
    for _ in 0..2 {
        farm.ask(|reply| SerialMessage::Close { why: "for avrdude".into(), reply }).await;
    }
    assert!(board.is_alone() && !farm.keeper.keeps());
    farm.open(board.spec(), 1, 2).await.unwrap();
    assert_eq!(marks(&farm.log(LogFrom::Start).await), ["epoch 1 Opened", "gap: for avrdude"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_cannot_be_opened_says_why() {
    let (farm, board) = (Farm::start().await, Board::new());
    let mut holder = common::holder(board.client());
    let held = farm.open(board.spec(), 0, 1).await.unwrap_err();
    let pid = holder.id();
    // The name follows the exec; the pid is what matters.
    assert!(
        matches!(&held, OpenPortError::Held { path, holder }
            if *path == board.path && holder.ends_with(&format!("(pid {pid})"))),
        "{held:?}"
    );
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(farm.open(board.spec(), 0, 1).await.is_ok());

    // A lock without an open descriptor that can be seen: another farm in this very process.
    let other = Farm::start().await;
    let held = other.open(board.spec(), 0, 1).await.unwrap_err();
    assert!(matches!(held, OpenPortError::Held { .. }), "{held:?}");

    let path = PathBuf::from("/dev/farmhand-is-not-there");
    let missing = other.open(PortSpec { path: path.clone(), baud: 9600, apart: false }, 0, 1).await;
    assert_eq!(missing, Err(OpenPortError::Missing { path }));
    let file = tempfile::NamedTempFile::new().unwrap();
    let no_port = other.open(PortSpec { path: file.path().into(), baud: 9600, apart: false }, 0, 1).await;
    assert!(matches!(no_port, Err(OpenPortError::Other { .. })), "{no_port:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_actor_goes_on_with_the_open_port() {
    let (mut farm, board) = (Farm::start().await, Board::new());
    board.set_hupcl(true);
    farm.open(board.spec(), 0, 1).await.unwrap();
    board.set_hupcl(true); // so that a close would be seen as an edge
    let mut said = Vec::new();
    for round in 0..5 {
        board.say(format!("before {round}\n")).await;
        said.extend_from_slice(format!("before {round}\nafter {round}\n").as_bytes());
        farm.kill().await;
        farm.ended().await;
        assert!(!board.is_alone(), "the port was closed");
        // Nobody is there to read it: it waits.
        board.say(format!("after {round}\n")).await;
        farm.restart_ended().await;
        farm.recorded(said.len() as u64).await;
    }
    let opened = farm.open(board.spec(), 1, 2).await.unwrap();
    assert!(opened.already && opened.epoch == Epoch(1));
    let log = farm.log(LogFrom::Start).await;
    assert_eq!(text(&log), said);
    assert_eq!(marks(&log), ["epoch 1 Opened"], "no gap, no epoch");
    assert_eq!(farm.write("a", b"hello", false).await, Ok(()));
    assert_eq!(board.hear(5).await, b"hello");
}
