//! What is given up ends: a transfer with its session, a person's word with the person. The next one finds a phone to which
//! nobody else speaks.

use std::time::Duration;

use farmhand::transport::Reply;
use farmhand_api::{
    Answer, BootloaderCommand, EventBody, Item, Leave, PartitionStep, PhaseName, Problem, Request, SessionId,
    SessionView, Verdict,
};
use farmhand_tests::{TestPhone, boot, noise, partitions, put_file, session, sha256, step, submit, until};

use super::bench::{BOTH, Bench, MOST, options};

/// Longer than the API waits for a session that is being cancelled.
const CANCELS_WITHIN: Duration = Duration::from_secs(60);

async fn cancel(bench: &Bench, id: SessionId) -> SessionView {
    match bench.client.ask_within(Request::Cancel(id), CANCELS_WITHIN).await.unwrap() {
        Answer::Session(view) => *view,
        other => panic!("{other:?}"),
    }
}

/// What it was cancelled with.
fn cancelled(view: &SessionView) -> &Problem {
    let problem = view.problem.as_ref().unwrap_or_else(|| panic!("no problem: {view:?}"));
    assert_eq!((view.verdict, problem.code.as_str()), (Some(Verdict::Cancelled), "F130"), "{view:?}");
    problem
}

fn detail(problem: &Problem, text: &str) {
    assert!(problem.detail.iter().any(|line| line.contains(text)), "{text:?}: {problem:?}");
}

/// Once the phone has taken some of it, beyond `before` bytes.
async fn downloads(phone: &TestPhone, before: u64) {
    let moves = async || (phone.counters().await.download_bytes > before + 50_000).then_some(());
    until("the download is under way", moves).await;
}

/// Guards: `Machine::stop_for` and `Client::run`'s look at its stop; `Session::cancel` waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_once_a_flash_is_cancelled_in_its_download() {
    for over in BOTH {
        let (bench, phone) = Bench::one(over).await;
        let (small, large) = (noise(1, 100_000), noise(2, 2 * MOST as usize));
        let (misc, userdata) =
            (put_file(bench.folder(), "misc.img", &small), put_file(bench.folder(), "userdata.img", &large));
        let steps = vec![
            step("misc", &misc),
            step("userdata", &userdata),
            PartitionStep::Erase("misc".into()),
            step("boot", &misc),
        ];
        let job = partitions(steps, Leave::Reboot, "phone-1", false);
        phone.fault("slow 400000").await;
        let id = submit(&bench.client, "given up", &job).await.unwrap();
        downloads(&phone, small.len() as u64).await;
        let view = cancel(&bench, id).await;
        // It was answered, so nothing more is written, however long it would have taken.
        assert_eq!(phone.counters().await.flashes, 1, "{over:?}");
        detail(cancelled(&view), "written to phone-1 before that: misc");
        phone.fault("clear").await;
        let other = put_file(bench.folder(), "other.img", &noise(3, 50_000));
        let next = partitions(vec![step("misc", &other)], Leave::Stay, "phone-1", false);
        bench.passes("next", &next).await;
        let counters = phone.counters().await;
        assert_eq!((counters.flashes, counters.erases, counters.system_starts), (2, 0, 0), "{over:?}");
        assert_eq!(phone.times("flash:userdata").await, 0, "{over:?}");
        assert_eq!(phone.partition("misc", 50_000).await, sha256(&noise(3, 50_000)), "{over:?}");
        bench.is_free("phone-1").await;
        bench.stop().await;
    }
}

/// A boot from memory: it is not handed off, and nothing of it is left in the next one's way.
#[tokio::test(flavor = "multi_thread")]
async fn a_boot_that_is_cancelled_in_its_download_is_not_booted() {
    for over in BOTH {
        let (bench, phone) = Bench::one(over).await;
        let image = bench.image(1);
        phone.fault("slow 200000").await;
        let id = submit(&bench.client, "given up", &boot(&image, "phone-1")).await.unwrap();
        downloads(&phone, 0).await;
        let view = cancel(&bench, id).await;
        assert!(cancelled(&view).detail.is_empty(), "{view:?}");
        phone.fault("clear").await;
        bench.passes("next", &boot(&bench.image(2), "phone-1")).await;
        let counters = phone.counters().await;
        assert_eq!((counters.boots, counters.boot_commands), (1, 1), "{over:?}: {counters}");
        bench.stop().await;
    }
}

/// A command that writes has left, and the phone says nothing yet: it is waited for, and nobody else is given the phone.
///
/// Guard: `writes` in `Client::run`; `gives_up` asks until it is answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_has_left_is_waited_for() {
    let (bench, phone) = Bench::one(BOTH[0]).await;
    let file = put_file(bench.folder(), "misc.img", &noise(4, 20_000));
    let steps = vec![step("misc", &file), step("boot", &file)];
    phone.fault("stall flash:misc").await;
    let id =
        submit(&bench.client, "given up", &partitions(steps, Leave::Stay, "phone-1", false)).await.unwrap();
    until("the write has left", async || (phone.times("flash:misc").await == 1).then_some(())).await;
    // Answered after a while with how it stands: it has not ended.
    let view = cancel(&bench, id).await;
    assert_eq!((view.phase, view.verdict), (PhaseName::Transferring, None), "{view:?}");
    let next = partitions(vec![step("misc", &file)], Leave::Stay, "phone-1", false);
    let waits = submit(&bench.client, "next", &next).await.unwrap();
    let queued = async || {
        let view = session(&bench.client, waits).await.unwrap();
        (view.phase == PhaseName::Queued).then_some(())
    };
    until("the next one waits", queued).await;
    // Its end is known: the phone is started anew.
    phone.enter(farmhand_sim::fastboot::Mode::Loader).await;
    let ended = farmhand_tests::follow(&bench.client, id).await.unwrap().view;
    detail(cancelled(&ended), "misc was begun, and may be written");
    let passed = farmhand_tests::follow(&bench.client, waits).await.unwrap().view;
    assert_eq!(passed.verdict, Some(Verdict::Passed), "{:?}", passed.problem);
    assert_eq!((phone.times("flash:boot").await, phone.times("flash:misc").await), (0, 2));
    bench.stop().await;
}

/// Guards: `Machine::asker_gone`, and `items.closed()` where the API waits for a word.
#[tokio::test(flavor = "multi_thread")]
async fn a_word_ends_with_the_one_who_said_it() {
    for over in BOTH {
        let phone = TestPhone::start("phone-1", over, options()).await;
        let bench = Bench::of(&[phone.entry("allow = [\"oem\"]")]).await;
        let ask = |command| Request::Bootloader { device: Some("phone-1".into()), project: None, command };
        phone.fault("stall oem").await;
        let one = bench.another().await;
        let word = one.stream(ask(BootloaderCommand::Oem("unlock-it".into()))).await.unwrap();
        until("it was said", async || (phone.times("oem").await == 1).then_some(())).await;
        // Another waits behind it, and is told for what.
        let getvar = ask(BootloaderCommand::GetVar("product".into()));
        let mut waits = bench.client.stream(getvar).await.unwrap();
        let told = waits.next().await.unwrap();
        let Some(Reply::Item(Item::Event(event))) = &told else { panic!("{over:?}: {told:?}") };
        let EventBody::Note(note) = &event.body else { panic!("{over:?}: {event:?}") };
        assert!(note.contains("busy with oem unlock-it"), "{over:?}: {note}");
        phone.fault("clear").await;
        // Whether it was the word alone that was given up, or the whole connection.
        drop(word);
        let _stays = (over == BOTH[0]).then_some(one);
        let answer = farmhand_tests::or_hang("it is answered", waits.next()).await.unwrap();
        assert!(matches!(answer, Some(Reply::Done(Answer::Said(_)))), "{over:?}: {answer:?}");
        assert_eq!(phone.times("oem").await, 1, "{over:?}");
        bench.stop().await;
    }
}
