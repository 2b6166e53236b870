//! Emulated machines as devices of a farm: loaded, sent on their way, watched, killed anywhere.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::os::unix::process::ExitStatusExt as _;

use farmhand::transport::{Client, ClientError};
use farmhand_api::{Answer, EpochCause, Job, PhaseName, Request, Source, Verdict};
use farmhand_records::DeviceName;
use farmhand_tests::{
    Daemon, EVERY_HANDOFF, Followed, Home, Image, alpha, at_work, devices, echo_program, epochs_of,
    flash_once, follow, package, repeatable, run_once, session, stop, submit, until,
};

const DEVICE: &str = "rv";
const BOARD: &str = "qemu:riscv32-virt";
const KEY: &str = "the one wish";
/// What the program says first.
const GREETING: &str = "here I am\n";
/// SIGABRT, by which a failpoint ends the process.
const ABORTED: i32 = 6;

async fn home() -> Home {
    let home = Home::ready();
    package(&home, "qemu-misc").await;
    home.configure(&format!("[[device]]\nname = {DEVICE:?}\nboard = {BOARD:?}\ndriver = \"qemu\"\n"));
    home
}

fn program(home: &Home) -> Image {
    Image { word: "here I am", path: echo_program(home.path(), GREETING) }
}

fn of_machine(job: Job, expect: &str) -> Job {
    Job { board: BOARD.into(), expect: vec![expect.into()], ..job }
}

/// Everything that its programs ever said.
fn said(home: &Home) -> String {
    std::fs::read_to_string(home.path().join("boards").join(DEVICE).join("console")).unwrap_or_default()
}

fn starts(home: &Home) -> usize {
    said(home).matches(GREETING).count()
}

async fn whole(client: &Client, job: &Job) -> Result<Followed, ClientError> {
    let id = submit(client, KEY, job).await?;
    let followed = follow(client, id).await?;
    until("the session has given its device back", async || match at_work(client).await {
        Ok(0) => Some(Ok(())),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
    .await?;
    Ok(followed)
}

async fn end(home: &Home, mut daemon: Daemon, client: Client) {
    stop(&client, 0).await;
    assert!(daemon.ended().await.success());
    assert_eq!(home.machines(), [], "a machine outlives a farm that was stopped");
}

#[tokio::test]
async fn a_program_is_loaded_watched_and_gone_with_the_farm() {
    let home = home().await;
    let job = of_machine(repeatable(&program(&home), Some(DEVICE)), "^here I am$");
    let (daemon, client) = Daemon::start(&home).await;
    let followed = whole(&client, &job).await.unwrap();
    assert_eq!(followed.view.verdict, Some(Verdict::Passed), "{followed:#?}");
    assert_eq!(starts(&home), 1);
    let view = devices(&client).await.unwrap();
    assert!(
        view.iter().any(|device| device.name.as_ref().is_some_and(|name| name.as_str() == DEVICE)
            && device.board == BOARD)
    );
    end(&home, daemon, client).await;
}

#[tokio::test]
async fn a_guest_that_resets_its_machine_begins_an_epoch_of_its_own_and_goes_on() {
    let home = home().await;
    let job = of_machine(repeatable(&program(&home), Some(DEVICE)), "^here I am$");
    let (daemon, client) = Daemon::start(&home).await;
    whole(&client, &job).await.unwrap();
    it_resets_itself_and_goes_on(&home, &client).await;
    end(&home, daemon, client).await;
}

async fn press(client: &Client, key: &'static str) {
    let write = Request::Write { device: DeviceName::new(DEVICE).unwrap(), bytes: key.into(), take: false };
    assert!(matches!(client.ask(write).await.unwrap(), Answer::Done));
}

/// Has the guest reset its machine, and waits until it goes on.
async fn it_resets_itself_and_goes_on(home: &Home, client: &Client) {
    let before = starts(home);
    press(client, "r").await;
    until("it has started again", async || (starts(home) == before + 1).then_some(())).await;
    let epochs = epochs_of(client, DEVICE).await.unwrap();
    let last = epochs.values().last();
    assert!(matches!(last, Some(EpochCause::Itself(why)) if why.contains("reset")), "{epochs:?}");
}

#[tokio::test]
async fn one_that_is_adopted_goes_on_as_any_other() {
    let home = home().await;
    let job = of_machine(run_once(&program(&home), Some(DEVICE)), "^what it never says$");
    let (daemon, client) = Daemon::start(&home).await;
    let id = submit(&client, KEY, &job).await.unwrap();
    let observing =
        async || session(&client, id).await.unwrap().phase == PhaseName::Observing && starts(&home) == 1;
    until("it is watched", async || observing().await.then_some(())).await;
    let machines = home.machines();
    daemon.kill().await;
    let (daemon, client) = Daemon::start(&home).await;
    let followed = whole(&client, &job).await.unwrap();
    assert_eq!(followed.view.verdict, Some(Verdict::Unknown), "what it said in between is not known");
    assert_eq!((home.machines(), starts(&home)), (machines, 1), "it is the same, and was not touched");
    it_resets_itself_and_goes_on(&home, &client).await;
    end(&home, daemon, client).await;
}

#[tokio::test]
async fn a_machine_that_its_guest_powers_off_is_left_so_until_it_is_loaded_anew() {
    let home = home().await;
    let job = of_machine(repeatable(&program(&home), Some(DEVICE)), "^here I am$");
    let (daemon, client) = Daemon::start(&home).await;
    whole(&client, &job).await.unwrap();
    press(&client, "o").await;
    // This machine's switch ends QEMU (7.2) at once.
    until("it is off", async || home.machines().is_empty().then_some(())).await;
    let again = submit(&client, "another wish", &job).await.unwrap();
    assert_eq!(follow(&client, again).await.unwrap().view.verdict, Some(Verdict::Passed));
    assert_eq!(starts(&home), 2, "by the two sessions and by nothing else");
    end(&home, daemon, client).await;
}

#[tokio::test]
async fn a_program_for_another_processor_is_refused_before_anything_starts() {
    let home = home().await;
    let wide = "qemu:riscv64-virt";
    home.configure(&format!(
        "[[device]]\nname = {DEVICE:?}\nboard = {BOARD:?}\ndriver = \"qemu\"\n\
         [[device]]\nname = \"wide\"\nboard = {wide:?}\ndriver = \"qemu\"\n"
    ));
    let (daemon, client) = Daemon::start(&home).await;
    let of_32_bits = program(&home);
    // The same number of a processor, and half an address.
    for (program, device, board) in [(alpha(), DEVICE, BOARD), (&of_32_bits, "wide", wide)] {
        let job = Job { board: board.into(), ..repeatable(program, Some(device)) };
        let id = submit(&client, device, &job).await.unwrap();
        let problem = follow(&client, id).await.unwrap().view.problem.unwrap();
        assert_eq!(problem.code, "F272", "{problem:?}");
    }
    assert_eq!(home.machines(), []);
    end(&home, daemon, client).await;
}

/// Guard: `adopt_machines`.
#[tokio::test]
async fn one_that_a_killed_farm_left_behind_is_adopted_by_the_next() {
    let home = home().await;
    let job = of_machine(repeatable(&program(&home), Some(DEVICE)), "^here I am$");
    let (daemon, client) = Daemon::start(&home).await;
    whole(&client, &job).await.unwrap();
    daemon.kill().await;
    let machines = home.machines();
    assert_eq!(machines.len(), 1, "it outlives its farm");
    let (daemon, client) = Daemon::start(&home).await;
    it_resets_itself_and_goes_on(&home, &client).await;
    assert_eq!(home.machines(), machines);
    end(&home, daemon, client).await;
}

/// Once: killed anywhere, the program has run once, or a person is asked. And where it may be repeated, it has passed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_a_machine_is_sent_on_its_way_once_or_nobody_claims_to_know() {
    let (mut kills, mut between, mut proven) = (0, 0, 0);
    for point in EVERY_HANDOFF {
        for once in [false, true] {
            let Some(hit) = killed_at(point, once).await else { continue };
            kills += 1;
            between += usize::from(hit.between);
            proven += usize::from(hit.between && hit.verdict == Verdict::Passed);
        }
    }
    eprintln!("{kills} kills, {between} between intent and issued, {proven} of them proven by the machine");
    assert!(kills >= EVERY_HANDOFF.len() && between > 0);
    assert_eq!(proven, between, "QEMU says of each whether it ran");
}

struct Hit {
    between: bool,
    verdict: Verdict,
}

async fn killed_at(point: &str, once: bool) -> Option<Hit> {
    let home = home().await;
    let image = program(&home);
    // What a killed farm did not hear is lost to it; so that only the handoff is asked for where it must not be repeated.
    let job = match once {
        true => Job { board: BOARD.into(), ..flash_once(&image, Some(DEVICE)) },
        false => of_machine(repeatable(&image, Some(DEVICE)), "^here I am$"),
    };
    assert!(matches!(job.build.source, Source::Artifact(_)));
    let mut daemon = Daemon::spawn(&home, Some(point));
    let client = daemon.ready(&home).await;
    let at_work = async {
        let Some(client) = client else { return std::future::pending().await };
        match whole(&client, &job).await {
            Ok(_) => {}
            Err(error) if error.is_lost() => std::future::pending().await,
            Err(error) => panic!("{error}"),
        }
    };
    let status = tokio::select! {
        biased;
        status = daemon.ended() => status,
        () = at_work => return None,
    };
    assert_eq!(status.signal(), Some(ABORTED), "{point}: {status}");
    let before = farmhand_tests::remembered(&home).await;
    let (daemon, client) = Daemon::start(&home).await;
    let followed = whole(&client, &job).await.unwrap();
    let what = format!("{point}, once: {once}: {followed:#?}\n{}", said(&home));
    let verdict = followed.view.verdict.unwrap();
    let seen = session(&client, followed.view.id).await.unwrap();
    if verdict == Verdict::Passed {
        until("its program has begun", async || (starts(&home) > 0).then_some(())).await;
    }
    let runs = starts(&home);
    if once {
        assert!(runs <= 1, "it ran {runs} times: {what}");
        assert!(matches!(verdict, Verdict::Passed | Verdict::Unknown), "{what}");
    } else {
        assert_eq!(verdict, Verdict::Passed, "{what}");
    }
    assert_eq!(seen.id, followed.view.id);
    assert!(home.machines().len() <= 1, "{what}");
    end(&home, daemon, client).await;
    Some(Hit { between: before.intended() > 0, verdict })
}
