//! The handoff, and what a successor finds after a host that died.

use std::io::Cursor;
use std::time::Duration;

use farmhand_sim::fastboot::{Mode, PhoneHandle};
use farmhand_wire::fastboot::Reply;

use tokio::time::timeout;

use super::bus::BusPipe;
use super::{TRANSPORTS, boot_image, fault, over, over_bus, over_tcp, over_udp, phone, plugged_in};
use crate::fastboot::deadlines::{BOOT, BOOT_MAX};
use crate::fastboot::{Client, ClientError, Connection, HandoffError, PipeError, Said, State};

async fn boots(phone: &PhoneHandle) -> (u64, u64) {
    let counters = phone.call(|phone| phone.counters()).await.unwrap();
    (counters.boot_commands, counters.boots)
}

async fn stage(client: &mut Client) {
    let image = boot_image();
    let len = u32::try_from(image.len()).unwrap();
    client.download(Box::new(Cursor::new(image)), len, &mut ()).await.unwrap();
}

fn answers() -> State {
    State::Answers { product: Some("fajita".to_owned()), serial: Some("c0ffee".to_owned()) }
}

fn okay() -> Said {
    Said::Reply(Reply::Okay(String::new()))
}

#[tokio::test]
async fn a_boot_is_issued_once_for_what_was_downloaded() {
    let phone = phone().await;
    for transport in TRANSPORTS {
        let mut client = over(transport, &phone).await;
        assert!(matches!(client.handoff(), Err(ClientError::NothingStaged)));
        stage(&mut client).await;
        let before = boots(phone.handle()).await;
        let handoff = client.handoff().unwrap();
        // Here the intent is made durable.
        assert_eq!(boots(phone.handle()).await, before);
        let issued = handoff.send().await.unwrap();
        issued.finish(&mut ()).await.unwrap();
        assert_eq!(boots(phone.handle()).await, (before.0 + 1, before.1 + 1));
        assert!(matches!(client.handoff(), Err(ClientError::Unusable)));
        phone.handle().call(|phone| phone.enter(Mode::Loader)).await.unwrap();
    }
}

#[tokio::test]
async fn a_boot_that_is_refused_is_known_not_to_have_happened() {
    let phone = phone().await;
    let mut client = over_tcp(&phone).await;
    client.download(Box::new(Cursor::new(b"no image".to_vec())), 8, &mut ()).await.unwrap();
    let error = client.handoff().unwrap().issue(&mut ()).await.unwrap_err();
    assert!(matches!(error, HandoffError::Refused(ClientError::Refused { .. })), "{error}");
    assert_eq!(client.connection(), Connection::Ready);
    assert!(matches!(client.handoff(), Err(ClientError::NothingStaged)));
    stage(&mut client).await;
    client.handoff().unwrap().issue(&mut ()).await.unwrap();
    assert_eq!(boots(phone.handle()).await, (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_boot_whose_answer_is_lost_is_ambiguous() {
    let phone = plugged_in();
    let mut client = over_bus(&phone).await;
    stage(&mut client).await;
    fault(&phone, "boot-unanswered").await;
    let handoff = client.handoff().unwrap();
    let mark = handoff.mark();
    let error = handoff.issue(&mut ()).await.unwrap_err();
    assert!(matches!(error, HandoffError::Ambiguous(_)), "{error}");
    assert_eq!(client.connection(), Connection::Gone);
    assert_eq!(boots(&phone).await, (1, 1));
    assert_ne!(over_bus(&phone).await.found(), mark);
}

/// It says how it goes, well within the time for an answer, and never comes to an end.
///
/// Guard: `BOOT_MAX` in `Issued::finish`; seen red without it.
#[tokio::test(start_paused = true)]
async fn a_boot_that_talks_for_ever_is_ambiguous_in_the_end() {
    let phone = plugged_in();
    let pipe = BusPipe::open(&phone).await.thinks_for(BOOT / 4);
    let mut client = Client::new(Box::new(pipe));
    stage(&mut client).await;
    fault(&phone, "nonsense endless-info boot").await;
    // A clock that stands still until nobody else can go on.
    let ended = timeout(BOOT_MAX * 2, client.handoff().unwrap().issue(&mut ())).await.expect("it ends");
    match ended.unwrap_err() {
        HandoffError::Ambiguous(ClientError::Pipe { error: PipeError::Silent(after), .. }) => {
            assert_eq!(after, BOOT_MAX);
        }
        other => panic!("{other}"),
    }
    assert_eq!(boots(&phone).await.0, 1);
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_that_nobody_read_is_not_the_bootloader_answering() {
    let phone = plugged_in();
    let mut client = over_bus(&phone).await;
    stage(&mut client).await;
    let _dies_here = client.handoff().unwrap().send().await.unwrap();
    drop(client);
    let mut successor = over_bus(&phone).await;
    let presence = successor.who_answers().await.unwrap();
    assert_eq!(presence.stale, [okay()]);
    assert_eq!(presence.state, State::Gone);
    assert_eq!(boots(&phone).await, (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_is_told_from_a_new_one_even_where_it_comes_late() {
    for late in [Duration::ZERO, Duration::from_secs(2)] {
        let phone = plugged_in();
        let mut client = over_bus(&phone).await;
        stage(&mut client).await;
        fault(&phone, "boot-ignored").await;
        let mark = client.mark();
        let _dies_here = client.handoff().unwrap().send().await.unwrap();
        drop(client);
        let mut successor = Client::new(Box::new(BusPipe::open(&phone).await.busy_for(late)));
        assert_eq!(successor.found(), mark);
        let presence = successor.who_answers().await.unwrap();
        assert_eq!(presence.stale, [okay()], "{late:?}");
        assert_eq!(presence.state, answers(), "{late:?}");
        assert_eq!(successor.connection(), Connection::Ready);
        let product = successor.getvar(&"product".parse().unwrap()).await.unwrap();
        assert_eq!(product.as_deref(), Some("fajita"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_bootloader_that_was_asked_nothing_answers_with_nothing_stale() {
    let phone = plugged_in();
    let mut client = over_bus(&phone).await;
    let presence = client.who_answers().await.unwrap();
    assert_eq!((presence.stale, presence.state), (Vec::new(), answers()));
    fault(&phone, "stall").await;
    let presence = client.who_answers().await.unwrap();
    assert_eq!((presence.stale, presence.state), (Vec::new(), State::Silent));
    assert_eq!(client.connection(), Connection::Resynchronise);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_nobody_read_is_found() {
    let phone = plugged_in();
    let mut client = over_bus(&phone).await;
    client.download(Box::new(Cursor::new(b"no image".to_vec())), 8, &mut ()).await.unwrap();
    let _dies_here = client.handoff().unwrap().send().await.unwrap();
    drop(client);
    let presence = over_bus(&phone).await.who_answers().await.unwrap();
    assert!(matches!(&presence.stale[..], [Said::Reply(Reply::Fail(_))]), "{presence:?}");
    assert_eq!(presence.state, answers());
}

#[tokio::test]
async fn over_sockets_who_answers_is_asked_over_a_new_connection() {
    let phone = phone().await;
    for transport in TRANSPORTS {
        let mut client = over(transport, &phone).await;
        let presence = client.who_answers().await.unwrap();
        assert_eq!((presence.stale, presence.state), (Vec::new(), answers()));
        assert_eq!(client.connection(), Connection::Ready);
    }
}

#[tokio::test]
async fn over_udp_the_number_tells_whether_the_boot_was_taken() {
    let phone = phone().await;
    let mut client = over_udp(&phone).await;
    stage(&mut client).await;
    let mark = client.handoff().unwrap().mark();
    drop(client);
    let mut successor = over_udp(&phone).await;
    assert_eq!(successor.found(), mark, "no packet was taken since");
    stage(&mut successor).await;
    fault(phone.handle(), "boot-ignored").await;
    let handoff = successor.handoff().unwrap();
    let mark = handoff.mark();
    let _dies_here = handoff.send().await.unwrap();
    drop(successor);
    assert_ne!(over_udp(&phone).await.found(), mark);
}

#[tokio::test(start_paused = true)]
async fn a_download_of_a_host_that_died_is_ended_by_its_successor() {
    let phone = plugged_in();
    let mut client = over_bus(&phone).await;
    fault(&phone, "stall-data 30000").await;
    client.download(Box::new(Cursor::new(vec![7_u8; 100_000])), 100_000, &mut ()).await.unwrap_err();
    drop(client);
    fault(&phone, "clear").await;
    let mut successor = over_bus(&phone).await;
    assert_eq!(successor.resynchronise().await.unwrap(), Connection::Ready);
    stage(&mut successor).await;
    successor.handoff().unwrap().issue(&mut ()).await.unwrap();
    assert_eq!(boots(&phone).await, (1, 1));
}
