//! Phones over a network, which nobody sees come and go: they are told from addresses at which nobody is.

use std::path::Path;

use farmhand::transport::{ClientError, Reply};
use farmhand_api::{
    Answer, BootloaderCommand, DeviceState, DeviceView, Leave, PhaseName, RebootTo, Request, SessionId,
    Verdict,
};
use farmhand_sim::fastboot::Mode;
use farmhand_tests::{
    Over, PHONE, TestPhone, boot, boot_and_watch, devices, follow, noise, partitions, put_file, sha256, step,
    submit, until,
};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::bench::{BOTH, Bench, MOST, options};
use super::console::Line;

fn product(of: Option<String>) -> Request {
    Request::Bootloader { device: of, project: None, command: BootloaderCommand::GetVar("product".into()) }
}

async fn only(bench: &Bench) -> DeviceView {
    let mut all = devices(&bench.client).await.unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// Guard: `untried` in the directory.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_at_which_nobody_is_becomes_no_device() {
    for over in BOTH {
        let phone = TestPhone::start("phone-1", over, options()).await;
        let bench = Bench::of(&[]).await;
        let place = phone.place();
        let nobody = |place: &str| place.replace("127.0.0.1", "127.0.0.2");
        let refused = bench.client.ask(product(Some(nobody(&place)))).await.unwrap_err();
        let ClientError::Problem(problem) = refused else { panic!("{over:?}: {refused:?}") };
        assert_eq!(problem.code, "F207", "{problem:?}");
        assert!(problem.message.contains(&nobody(&place)), "{problem:?}");
        assert_eq!(devices(&bench.client).await.unwrap(), [], "{over:?}: it was mistyped");
        // The right one is the only one then: it needs no name.
        let said = bench.client.ask(product(Some(place.clone()))).await.unwrap();
        assert!(matches!(&said, Answer::Said(product) if !product.is_empty()), "{said:?}");
        bench.client.ask(product(None)).await.unwrap();
        assert_eq!(only(&bench).await.port, Some(place));
        bench.stop().await;
    }
}

/// Guard: `Answered`, which the device tells the directory.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_answer_any_more_is_absent_and_was_seen_when_it_did() {
    for over in BOTH {
        let phone = TestPhone::start("phone-1", over, options()).await;
        let bench = Bench::of(&[phone.entry("")]).await;
        let untried = only(&bench).await;
        assert_eq!((untried.state, untried.seen_unix_ms), (DeviceState::Free, None), "nobody has looked");
        bench.client.ask(product(Some("phone-1".into()))).await.unwrap();
        let seen = only(&bench).await;
        assert!(seen.seen_unix_ms.is_some() && seen.state == DeviceState::Free, "{seen:?}");
        phone.enter(Mode::Away).await;
        bench.client.ask(product(Some("phone-1".into()))).await.unwrap_err();
        let gone = only(&bench).await;
        assert_eq!((gone.state, gone.seen_unix_ms), (DeviceState::Absent, seen.seen_unix_ms), "{gone:?}");
        // It can be tried all the same, and is there again: the only one needs no name.
        phone.enter(Mode::Loader).await;
        bench.client.ask(product(None)).await.unwrap();
        assert_eq!(only(&bench).await.state, DeviceState::Free);
        bench.stop().await;
    }
}

/// A phone that is reached over TCP as `wired`, and over UDP as `other`.
async fn under_two_names(more: &str) -> (TestPhone, Bench) {
    let phone = TestPhone::on_both("wired", options()).await;
    let may = "allow = [\"boot\", \"flash\"]";
    let other = phone.entry_over(Over::Udp, "other", (PHONE, ""), may);
    let bench = Bench::of(&[phone.entry(&format!("{may}\n{more}")), other]).await;
    (phone, bench)
}

/// It was booted as `wired`, by a session that waits for what it says, and is in its bootloader again.
async fn in_its_bootloader_while_a_session_has_it() -> (TestPhone, Bench, SessionId, Line) {
    let line = Line::new();
    let console = format!("console = {{ port = \"{}\" }}", line.path.display());
    let (phone, bench) = under_two_names(&console).await;
    let watched = boot_and_watch(&bench.image(1), "wired", "login: $", None);
    let first = submit(&bench.client, "first", &watched).await.unwrap();
    phone.boots().await;
    phone.enter(Mode::Loader).await;
    (phone, bench, first, line)
}

/// Guards: `is_had_by_no_other` where the device is reached, and `held` in the scheduler.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_under_two_names_is_had_once() {
    let (phone, bench, first, _line) = in_its_bootloader_while_a_session_has_it().await;
    let misc = put_file(bench.folder(), "misc.img", &noise(2, 50_000));
    let job = partitions(vec![step("misc", &misc)], Leave::Stay, "other", false);
    let problem = bench.end("second", &job, Verdict::Infra, "F212").await;
    assert!(problem.message.contains(&format!("other and wired are one device, and {first} has it")));
    assert_eq!(phone.times("flash:misc").await, 0);
    // What does more than to ask is not said either; it was not, before either name was known to be the other's.
    let word = |command| Request::Bootloader { device: Some("other".into()), project: None, command };
    let refused = bench.client.ask(word(BootloaderCommand::Reboot(RebootTo::System))).await.unwrap_err();
    let ClientError::Problem(refused) = refused else { panic!("{refused:?}") };
    assert_eq!((refused.code.as_str(), phone.times("reboot").await), ("F246", 0), "{refused:?}");
    assert_eq!(bench.device("other").await.holder, Some(first), "whoever asks is told who has it");
    // From now on it is known: who comes waits, and has it then.
    let third = submit(&bench.client, "third", &job).await.unwrap();
    let waits = async || (bench.view(third).await.phase == PhaseName::Queued).then_some(());
    until("it waits", waits).await;
    bench.client.ask(Request::Cancel(first)).await.unwrap();
    let view = follow(&bench.client, third).await.unwrap().view;
    assert_eq!(view.verdict, Some(Verdict::Passed), "{:?}", view.problem);
    assert_eq!(phone.partition("misc", 50_000).await, sha256(&noise(2, 50_000)));
    bench.stop().await;
}

/// Guard: all but questions go by `reach`, in `say`.
#[tokio::test(flavor = "multi_thread")]
async fn no_word_is_said_under_one_name_while_a_session_has_the_other() {
    let (phone, bench, first, _line) = in_its_bootloader_while_a_session_has_it().await;
    let staged = put_file(bench.folder(), "staged.img", &noise(2, 50_000)).display().to_string();
    for command in [BootloaderCommand::Stage(staged), BootloaderCommand::Reboot(RebootTo::System)] {
        let word = Request::Bootloader { device: Some("other".into()), project: None, command };
        let ClientError::Problem(refused) = bench.client.ask(word).await.unwrap_err() else { panic!() };
        assert!(matches!(refused.code.as_str(), "F212" | "F246"), "{refused:?}");
    }
    assert_eq!((phone.counters().await.downloads, phone.times("reboot").await), (1, 0));
    bench.client.ask(Request::Cancel(first)).await.unwrap();
    bench.stop().await;
}

/// Guard: `others_are_idle`. A word has no lease; one that is being said is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_waits_for_a_word_that_is_being_said_under_the_other_name() {
    let (phone, bench) = under_two_names("").await;
    let word = |at: &str, file: &Path| Request::Bootloader {
        device: Some(at.into()),
        project: None,
        command: BootloaderCommand::Stage(file.display().to_string()),
    };
    let (large, small) = (noise(1, MOST as usize), noise(2, 50_000));
    let misc = put_file(bench.folder(), "misc.img", &small);
    // Both names have told who they are.
    for at in ["wired", "other"] {
        bench.client.ask(word(at, &misc)).await.unwrap();
    }
    let before = phone.counters().await.download_bytes;
    phone.fault("slow 400000").await;
    let large = put_file(bench.folder(), "large.img", &large);
    let mut staged = bench.client.stream(word("other", &large)).await.unwrap();
    let moves = async || (phone.counters().await.download_bytes > before + 50_000).then_some(());
    until("it is being said", moves).await;
    let job = partitions(vec![step("misc", &misc)], Leave::Stay, "wired", false);
    let id = submit(&bench.client, "waits", &job).await.unwrap();
    let said = loop {
        match staged.next().await.unwrap() {
            Some(Reply::Item(_)) => {}
            other => break other,
        }
    };
    assert!(matches!(said, Some(Reply::Done(Answer::Said(_)))), "{said:?}");
    phone.fault("clear").await;
    let view = follow(&bench.client, id).await.unwrap().view;
    assert_eq!(view.verdict, Some(Verdict::Passed), "{:?}", view.problem);
    let asked = phone.asked().await.into_iter().filter(|asked| asked.command.starts_with("download:"));
    let bytes: Vec<_> = asked.filter_map(|asked| asked.data).collect();
    let sums: Vec<_> = bytes.iter().map(|data| data.sha256.as_str()).collect();
    let (misc, large) = (sha256(&small), sha256(&noise(1, MOST as usize)));
    assert_eq!(sums, [&misc, &misc, &large, &misc], "each whole, one after the other");
    bench.stop().await;
}

/// Guard: `aside` in `had_as`.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_set_aside_is_so_under_its_other_name() {
    let (phone, bench) = under_two_names("").await;
    phone.fault("cut-at boot").await;
    bench.fails("cut", &boot(&bench.image(1), "wired"), Verdict::Unknown, "F301").await;
    bench.fails("other", &boot(&bench.image(2), "other"), Verdict::Infra, "F203").await;
    assert_eq!(phone.counters().await.boot_commands, 1);
    bench.stop().await;
}

/// Guards, either of which does: `items.closed()` where the API looks for the device of a word, and `is_given_up` where the
/// device begins it.
#[tokio::test(flavor = "multi_thread")]
async fn a_word_whose_asker_left_while_its_address_was_tried_is_not_said() {
    let phone = TestPhone::start("phone-1", Over::Tcp, options()).await;
    let behind = phone.place().trim_start_matches("tcp:").to_owned();
    // Somebody in between, who takes his time with the first one.
    let between = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("tcp:{}", between.local_addr().unwrap());
    let (tried, seen) = oneshot::channel();
    let (go_on, may) = oneshot::channel::<()>();
    let relay = tokio::spawn(async move {
        let mut first = Some((tried, may));
        while let Ok((mut host, _)) = between.accept().await {
            if let Some((tried, may)) = first.take() {
                tried.send(()).unwrap();
                may.await.unwrap();
            }
            let mut device = TcpStream::connect(&behind).await.unwrap();
            let _either_closed = copy_bidirectional(&mut host, &mut device).await;
        }
    });
    let bench = Bench::of(&[]).await;
    let ask = |command| Request::Bootloader { device: Some(place.clone()), project: None, command };
    let word = bench.client.stream(ask(BootloaderCommand::Reboot(RebootTo::System))).await.unwrap();
    seen.await.unwrap();
    drop(word);
    go_on.send(()).unwrap();
    // Behind it.
    bench.client.ask(ask(BootloaderCommand::GetVar("product".into()))).await.unwrap();
    assert_eq!(phone.times("reboot").await, 0);
    bench.stop().await;
    relay.abort();
}
