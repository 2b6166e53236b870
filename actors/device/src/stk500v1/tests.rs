use farmhand_records::Epoch;

use super::*;
use crate::peer::{Peer, epochs};

fn image(len: u32) -> Image {
    let bytes: Vec<_> = (0..len).map(|at| (at * 7 + at / 128) as u8).collect();
    Image::from_chunks([(0, bytes)]).unwrap()
}

fn uno() -> Stk500v1 {
    Stk500v1::new(&[0x1e, 0x95, 0x0f], 128, 0x7e00, 115_200).unwrap()
}

/// Prepares and transfers; gives what came of it, and the peer as it was left.
async fn upload(peer: Peer, image: &Image, holds: bool) -> (Result<Written, DriverError>, Peer) {
    let (mut way, peer) = peer.run();
    let mut driver = uno();
    let mut epochs = epochs(1..=RESETS_PER_TRANSFER_MAX as u64);
    let done = match driver.prepare(&mut way, &mut epochs).await {
        Ok(_) => driver.transfer(&mut way, &mut epochs, image, holds, &mut |_, _, _| ()).await,
        Err(error) => Err(error),
    };
    drop(way);
    (done, peer.await.unwrap())
}

#[tokio::test]
async fn an_image_is_written_read_back_and_sent_on_its_way() {
    let image = image(1000);
    for chunk in [1, 3, usize::MAX] {
        let peer = Peer { chunk, garbage: b"tick\x14tock\x10".to_vec(), ..Peer::default() };
        let (mut way, peer) = peer.run();
        let mut driver = uno();
        let mut epochs = epochs(5..=8);
        let identity = driver.prepare(&mut way, &mut epochs).await.unwrap();
        assert_eq!(identity.signature, [0x1e, 0x95, 0x0f]);
        assert_eq!(identity.loader, "optiboot 4.4");
        let mut steps = Vec::new();
        let mut told = |step, done, total| steps.push((step, done, total));
        let written = driver.transfer(&mut way, &mut epochs, &image, false, &mut told).await.unwrap();
        assert_eq!(written, Written { bytes: 1024 });
        assert_eq!(steps.first(), Some(&(Step::Write, 0, 1024)));
        assert_eq!(steps.last(), Some(&(Step::Verify, 1024, 1024)));
        assert!(driver.probe(&mut way).await.unwrap());
        let acknowledged = driver.handoff(&mut way).await.unwrap();
        // To the byte: what of the program's first words came with the answer, and nothing of the answer.
        assert!(b"hello\r\n".starts_with(&acknowledged.unread), "{:?}", acknowledged.unread);
        let again = driver.handoff(&mut way).await.unwrap_err();
        assert!(matches!(again, HandoffError::Ambiguous(_)), "{again}");
        assert_eq!(epochs.begun(), Some(Epoch(5)));
        drop(way);
        let peer = peer.await.unwrap();
        assert_eq!((peer.seen.pages_written, peer.seen.leaves, peer.seen.resets), (8, 1, 1));
        assert_eq!(peer.flash[..1024], image.flatten(0x8000).unwrap()[..1024]);
    }
}

#[tokio::test]
async fn what_is_there_is_not_written_again() {
    let image = image(1000);
    let flash = image.flatten(0x8000).unwrap();
    let (done, peer) = upload(Peer { flash: flash.clone(), ..Peer::default() }, &image, true).await;
    assert_eq!((done, peer.seen.pages_written), (Ok(Written { bytes: 0 }), 0));
    let mut other = flash.clone();
    other[300] ^= 1;
    other[999] ^= 1;
    let (done, peer) = upload(Peer { flash: other, ..Peer::default() }, &image, true).await;
    assert_eq!((done, peer.seen.pages_written), (Ok(Written { bytes: 256 }), 2));
    assert_eq!(peer.flash, flash);
}

#[tokio::test]
async fn another_chip_is_never_written() {
    let (done, peer) =
        upload(Peer { signature: [0x1e, 0x94, 0x06], ..Peer::default() }, &image(1000), false).await;
    assert_eq!(
        done.unwrap_err().to_string(),
        "has another signature (found 1e 94 06, an ATmega168; wants 1e 95 0f, an ATmega328P)"
    );
    assert_eq!((peer.seen.pages_written, peer.seen.leaves), (0, 0));
}

#[tokio::test]
async fn a_bad_read_is_tried_once_more_and_a_bad_page_is_named() {
    let (done, peer) = upload(Peer { flips: 1, ..Peer::default() }, &image(300), false).await;
    assert_eq!((done, peer.seen.resets), (Ok(Written { bytes: 384 }), 2));
    let (done, peer) = upload(Peer { flips: u32::MAX, ..Peer::default() }, &image(300), false).await;
    assert_eq!(done, Err(DriverError::Verify { address: 1, expected: 7, found: 6 }));
    assert_eq!((peer.seen.resets, peer.seen.leaves), (2, 0));
}

#[tokio::test]
async fn a_loader_that_cannot_hear_while_it_speaks_is_asked_one_thing_at_a_time() {
    let image = image(300);
    let (done, peer) = upload(Peer { loses_bytes: true, ..Peer::default() }, &image, false).await;
    assert_eq!((done, peer.seen.resets), (Ok(Written { bytes: 384 }), 2));
    assert_eq!(peer.flash[..300], image.flatten(0x8000).unwrap()[..300]);
}

#[tokio::test]
async fn silence_is_a_board_that_does_not_answer() {
    let (done, peer) = upload(Peer { deaf_resets: u32::MAX, ..Peer::default() }, &image(300), false).await;
    let error = done.unwrap_err();
    assert!(matches!(error, DriverError::NoLoader { resets: 3, .. }), "{error}");
    assert_eq!((peer.seen.resets, peer.seen.pages_written), (3, 0));
}

#[tokio::test]
async fn a_second_reset_wakes_a_board_that_missed_the_first() {
    let (done, peer) = upload(Peer { deaf_resets: 1, ..Peer::default() }, &image(300), false).await;
    assert_eq!((done, peer.seen.resets), (Ok(Written { bytes: 384 }), 2));
}

#[tokio::test]
async fn a_loader_that_has_gone_is_not_told_to_leave() {
    let peer = Peer {
        gone_after: Some(Command::GetParameter(farmhand_wire::stk500v1::Parameter::SW_MINOR)),
        ..Peer::default()
    };
    let (mut way, peer) = peer.run();
    let mut driver = uno();
    // The program's words come where nothing was asked.
    let prepared = driver.prepare(&mut way, &mut epochs(1..=4)).await;
    assert!(matches!(prepared, Err(DriverError::Talk(TalkError::Host(HostError::Unasked { .. })))));
    let left = driver.handoff(&mut way).await;
    assert!(matches!(left, Err(HandoffError::LoaderGone { .. })), "{left:?}");
    drop(way);
    let peer = peer.await.unwrap();
    assert_eq!(peer.seen.leaves, 0);
    assert!(!peer.seen.to_program.contains(&farmhand_wire::stk500v1::bytes::LEAVE_PROGMODE));
}

#[tokio::test]
async fn a_handoff_without_an_answer_is_ambiguous_and_issued_once() {
    let peer = Peer { mute_leave: true, program: Vec::new(), ..Peer::default() };
    let (mut way, peer) = peer.run();
    let mut driver = uno();
    driver.prepare(&mut way, &mut epochs(1..=4)).await.unwrap();
    for _ in 0..2 {
        let left = driver.handoff(&mut way).await;
        assert!(matches!(left, Err(HandoffError::Ambiguous(_))), "{left:?}");
    }
    drop(way);
    assert_eq!(peer.await.unwrap().seen.leaves, 1);
}

#[test]
fn what_is_not_for_this_board_is_refused_before_anything_is_sent() {
    let error = uno().fits(&image(0x7e01)).unwrap_err();
    assert!(matches!(&error, DriverError::Image(why) if why.contains("beyond")), "{error}");
    assert_eq!(uno().fits(&image(0x7e00)), Ok(()));
    assert_eq!(Stk500v1::new(&[1, 2], 128, 1, 1).unwrap_err(), ConfigError::Signature(2));
    assert_eq!(Stk500v1::new(&[1, 2, 3], 0, 1, 1).unwrap_err(), ConfigError::Page);
}
