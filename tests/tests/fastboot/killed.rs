//! The farm is killed, and another phone is where the first one was: it is told from it, whether a file names it or not.

use farmhand::transport::Client;
use farmhand_api::{
    Answer, DeviceSelect, DeviceState, Job, Leave, Problem, Request, SessionId, SessionView, Settle, Verdict,
};
use farmhand_sim::fastboot::{Mode, PhoneOptions};
use farmhand_tests::{
    Daemon, Home, Over, TestPhone, at_work, boot, boot_image, devices, follow, follow_after, noise,
    partitions, put_file, session, step, submit, until,
};

use super::bench::{BOTH, options};

const KERNEL_BYTES: usize = 100_000;

/// Another phone, of another model.
fn other() -> PhoneOptions {
    PhoneOptions { serial: "decaf".into(), product: "other-model".into(), ..options() }
}

/// To boot what no file names, by where it is.
fn boot_at(home: &Home, seed: u64, place: &str) -> Job {
    let image = put_file(home.path(), &format!("boot-{seed}.img"), &boot_image(seed, KERNEL_BYTES));
    Job { device: DeviceSelect::Port(place.to_owned()), ..boot(&image, "by-its-place") }
}

/// The farm is killed while the phone has the command, and has not answered.
async fn killed_in_a_boot(home: &Home, phone: &TestPhone, job: &Job) -> SessionId {
    let (daemon, client) = Daemon::start(home).await;
    phone.fault("stall boot").await;
    let id = submit(&client, "boot", job).await.unwrap();
    until("the phone has the command", async || (phone.times("boot").await == 1).then_some(())).await;
    daemon.kill().await;
    id
}

async fn settle(client: &Client, id: SessionId, settle: Settle) -> SessionView {
    let last = follow(client, id).await.unwrap().events.last().map(|event| event.seq);
    let answer = client.ask(Request::Resume { session: id, settle: Some(settle) }).await;
    assert!(matches!(answer, Ok(Answer::Session(_))), "{answer:?}");
    let view = follow_after(client, id, last).await.unwrap().view;
    until("it has given its device back", async || (at_work(client).await.unwrap() == 0).then_some(())).await;
    view
}

fn why(view: &SessionView) -> (Option<Verdict>, &str, &Problem) {
    let problem = view.problem.as_ref().unwrap_or_else(|| panic!("{view:?}"));
    (view.verdict, problem.code.as_str(), problem)
}

/// Guard: `claims` in the directory; its names, in `called`.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_no_file_names_is_found_again_by_whoever_had_it_and_by_nobody_else() {
    let killed = async |over: Over| {
        let home = Home::empty();
        let ours = TestPhone::start("ours", over, options()).await;
        let theirs = TestPhone::start("theirs", over, other()).await;
        let id = killed_in_a_boot(&home, &ours, &boot_at(&home, 1, &ours.place())).await;

        let (daemon, client) = Daemon::start(&home).await;
        // The other one is asked for first.
        let theirs_job = boot_at(&home, 2, &theirs.place());
        let passed = submit(&client, "theirs", &theirs_job).await.unwrap();
        let passed = follow(&client, passed).await.unwrap().view;
        assert_eq!(passed.verdict, Some(Verdict::Passed), "{over:?}: {:?}", passed.problem);
        let view = follow(&client, id).await.unwrap().view;
        let (verdict, code, problem) = why(&view);
        assert_eq!((verdict, code), (Some(Verdict::Unknown), "F301"), "{over:?}: {problem:?}");
        let set_aside: Vec<_> = devices(&client)
            .await
            .unwrap()
            .into_iter()
            .filter(|device| device.state == DeviceState::Quarantined)
            .map(|device| device.port)
            .collect();
        assert_eq!(set_aside, [Some(ours.place())], "{over:?}: the phone itself is set aside");
        daemon.kill().await;

        // Only the other one is there: it is not taken for ours.
        ours.enter(Mode::Away).await;
        let before = theirs.counters().await;
        let (daemon, client) = Daemon::start(&home).await;
        let view = settle(&client, id, Settle::NotBooted).await;
        assert_eq!(why(&view).0, Some(Verdict::Infra), "{over:?}: {view:?}");
        assert_eq!(theirs.counters().await, before, "{over:?}: nobody spoke to it");
        assert_eq!((ours.times("boot").await, ours.counters().await.boots), (1, 0), "{over:?}");
        daemon.kill().await;
    };
    tokio::join!(killed(BOTH[0]), killed(BOTH[1]));
}

/// A person says that it did not boot: it is booted then, and it is the same phone.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_no_file_names_is_booted_once_a_person_has_looked() {
    let killed = async |over: Over| {
        let home = Home::empty();
        let phone = TestPhone::start("ours", over, options()).await;
        let id = killed_in_a_boot(&home, &phone, &boot_at(&home, 1, &phone.place())).await;
        let (daemon, client) = Daemon::start(&home).await;
        let view = follow(&client, id).await.unwrap().view;
        assert_eq!(why(&view).1, "F301", "{over:?}: {view:?}");
        assert_eq!(phone.times("boot").await, 1, "{over:?}: it is not repeated by itself");
        phone.enter(Mode::Loader).await;
        let view = settle(&client, id, Settle::NotBooted).await;
        assert_eq!(view.verdict, Some(Verdict::Passed), "{over:?}: {:?}", view.problem);
        assert_eq!((phone.times("boot").await, phone.counters().await.boots), (2, 1), "{over:?}");
        daemon.kill().await;
    };
    tokio::join!(killed(BOTH[0]), killed(BOTH[1]));
}

/// Guard: `Put::begins_at`.
#[tokio::test(flavor = "multi_thread")]
async fn another_phone_at_its_place_is_not_sent_the_rest() {
    for point in ["partition-recorded:1", "download-after:1"] {
        let home = Home::empty();
        let phone = TestPhone::start("phone-1", Over::Tcp, options()).await;
        home.configure(&phone.entry("allow = [\"boot\", \"flash\"]"));
        let job = if point.starts_with("partition") {
            let file = put_file(home.path(), "misc.img", &noise(1, 10_000));
            let steps = vec![step("misc", &file), step("userdata", &file)];
            partitions(steps, Leave::Reboot, "phone-1", false)
        } else {
            boot(&put_file(home.path(), "boot.img", &boot_image(1, KERNEL_BYTES)), "phone-1")
        };
        let mut daemon = Daemon::spawn(&home, Some(point));
        let client = daemon.ready(&home).await.unwrap();
        let id = submit(&client, "one", &job).await.unwrap();
        daemon.ended().await;
        let phone = phone.replaced(other()).await;
        let (daemon, client) = Daemon::start(&home).await;
        let view = follow(&client, id).await.unwrap().view;
        let (verdict, code, problem) = why(&view);
        assert_eq!((verdict, code), (Some(Verdict::Infra), "F252"), "{point}: {problem:?}");
        assert!(problem.message.contains("decaf") && problem.message.contains("c0ffee"), "{problem:?}");
        let counters = phone.counters().await;
        assert_eq!(
            (counters.download_bytes, counters.flashes, counters.boot_commands),
            (0, 0, 0),
            "{point}: {counters}"
        );
        daemon.kill().await;
    }
}

/// Guard: `at` in `settle::judge`.
#[tokio::test(flavor = "multi_thread")]
async fn another_phones_answer_proves_nothing_of_a_boot() {
    let killed = async |over: Over| {
        let home = Home::empty();
        let phone = TestPhone::start("phone-1", over, options()).await;
        home.configure(&phone.entry("allow = [\"boot\"]"));
        let image = put_file(home.path(), "boot.img", &boot_image(1, KERNEL_BYTES));
        let id = killed_in_a_boot(&home, &phone, &boot(&image, "phone-1")).await;
        let phone = phone.replaced(other()).await;
        let (daemon, client) = Daemon::start(&home).await;
        let view = follow(&client, id).await.unwrap().view;
        let (verdict, code, problem) = why(&view);
        assert_eq!((verdict, code), (Some(Verdict::Unknown), "F301"), "{over:?}: {problem:?}");
        let another = |line: &String| line.contains("another bootloader") && line.contains("decaf");
        assert!(problem.detail.iter().any(another), "{over:?}: {problem:?}");
        assert_eq!(phone.counters().await.boot_commands, 0, "{over:?}");
        daemon.kill().await;
    };
    tokio::join!(killed(BOTH[0]), killed(BOTH[1]));
}

/// Guard: what `acquire` claims.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_phone_is_no_device_any_more_ends_unknown() {
    let home = Home::empty();
    let phone = TestPhone::start("phone-1", Over::Tcp, options()).await;
    home.configure(&phone.entry("allow = [\"boot\"]"));
    let image = put_file(home.path(), "boot.img", &boot_image(1, KERNEL_BYTES));
    let id = killed_in_a_boot(&home, &phone, &boot(&image, "phone-1")).await;
    home.configure("");
    let (daemon, client) = Daemon::start(&home).await;
    let view = follow(&client, id).await.unwrap().view;
    let (verdict, code, problem) = why(&view);
    assert_eq!((verdict, code), (Some(Verdict::Unknown), "F301"), "{problem:?}");
    assert!(session(&client, id).await.unwrap().verdict.is_some());
    assert_eq!(phone.times("boot").await, 1);
    daemon.kill().await;
}

/// All was written, and the farm dies before `reboot` leaves. Nobody answers since, and nobody says that nobody is there.
///
/// Guard: `nobody_listens` in `BootloaderSettling::run`.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_silent_has_not_left_its_bootloader_by_that() {
    let silent = async |over: Over| {
        let home = Home::empty();
        let phone = TestPhone::start("phone-1", over, options()).await;
        home.configure(&phone.entry("allow = [\"flash\"]"));
        let misc = put_file(home.path(), "misc.img", &noise(1, 50_000));
        let job = partitions(vec![step("misc", &misc)], Leave::Reboot, "phone-1", false);
        let mut daemon = Daemon::spawn(&home, Some("handoff-before"));
        let client = daemon.ready(&home).await.unwrap();
        let id = submit(&client, "flash", &job).await.unwrap();
        daemon.ended().await;
        phone.fault("stall").await;
        let (daemon, client) = Daemon::start(&home).await;
        let view = follow(&client, id).await.unwrap().view;
        assert_eq!(view.verdict, Some(Verdict::Infra), "{over:?}: {:?}", view.problem);
        assert_eq!((phone.times("flash:misc").await, phone.times("reboot").await), (1, 0), "{over:?}");
        daemon.kill().await;
    };
    tokio::join!(silent(BOTH[0]), silent(BOTH[1]));
}
