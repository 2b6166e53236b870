//! Sessions on guests: what is run there, once, and where the guest begins.

use std::os::unix::process::ExitStatusExt as _;

use farmhand_api::{
    Answer, EventBody, GuestSource, GuestStart, Job, SnapshotCommand, SnapshotView, Source, Verdict,
};
use farmhand_tests::{
    Daemon, EVERY_HANDOFF, Followed, Home, Image, at_work, follow, repeatable, run_once, submit, until,
};

use super::{BOARD, BOOTED_AT, VM, boot_id, command, end, file, home, of_snapshot, run, sh};

/// Points between an intent and the command that it is of.
const UNTOUCHED: &[&str] = &["intent-after-persist", "handoff-before"];
/// SIGABRT, by which a failpoint ends the process.
const ABORTED: i32 = 6;
/// Says by which boot of the kernel it lives, and leaves a mark on the disk each time that it runs.
const SCRIPT: &str = "#!/bin/sh\necho ran >> /data/ran\necho \"boot $(stat -c %z /dev/vda)\"\n\
                      echo \"runs $(wc -l < /data/ran)\"\n";

fn job(home: &Home, script: &str, start: GuestStart) -> Job {
    let path = file(home, "job.sh", script.as_bytes());
    let image = Image { word: "job", path: path.clone() };
    let mut job = repeatable(&image, Some(VM));
    job.build.source = Source::Guest(GuestSource { program: path.display().to_string(), start });
    job.expect = vec!["farmhand: exit 0".into()];
    job.fail_on = vec!["farmhand: (exit [1-9]|ended)".into()];
    Job { board: BOARD.into(), ..job }
}

async fn whole(client: &farmhand::transport::Client, key: &str, job: &Job) -> Followed {
    let id = submit(client, key, job).await.unwrap();
    let followed = follow(client, id).await.unwrap();
    until("the session has given its device back", async || {
        (at_work(client).await.unwrap() == 0).then_some(())
    })
    .await;
    followed
}

/// What the guest said on its console since it was last asked.
struct Console {
    path: std::path::PathBuf,
    read: usize,
}

impl Console {
    fn of(home: &Home) -> Self {
        Self { path: home.path().join("boards").join(VM).join("console"), read: 0 }
    }

    fn boot(&mut self) -> String {
        let said = std::fs::read_to_string(&self.path).unwrap();
        let new = said[self.read.min(said.len())..].to_owned();
        self.read = said.len();
        assert!(new.contains("runs 1\r\n"), "{new}");
        new.lines().find_map(|line| line.split_once("boot ")).expect(&new).1.to_owned()
    }
}

async fn cached(client: &farmhand::transport::Client) -> Vec<SnapshotView> {
    match of_snapshot(client, SnapshotCommand::List).await.unwrap() {
        Answer::Snapshots(all) => all.into_iter().filter(|view| view.cached).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn how_a_program_ends_is_the_verdict() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    let cases = [
        ("#!/bin/sh\nexit 0\n", Verdict::Passed),
        ("#!/bin/sh\nexit 3\n", Verdict::Failed),
        ("#!/no/such/shell\n", Verdict::Failed),
        ("#!/bin/sh\nkill -9 $$\n", Verdict::Failed),
    ];
    for (at, (script, verdict)) in cases.into_iter().enumerate() {
        let followed = whole(&client, &format!("{at}"), &job(&home, script, GuestStart::Healthy)).await;
        assert_eq!(followed.view.verdict, Some(verdict), "{script}: {:?}", followed.view.problem);
    }
    let text = whole(&client, "text", &job(&home, "no program\n", GuestStart::Boot)).await;
    assert_eq!(text.view.problem.unwrap().code, "F272");
    end(&home, daemon, client).await;
}

/// Guards: the restore in `Load`, and that what is of no use is removed.
#[tokio::test]
async fn a_job_begins_where_one_was_healthy_and_boots_where_that_is_of_no_use() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    let healthy = job(&home, SCRIPT, GuestStart::Healthy);
    let passes = async |key: &str, job: &Job| {
        let followed = whole(&client, key, job).await;
        assert_eq!(followed.view.verdict, Some(Verdict::Passed), "{:?}", followed.view.problem);
        followed
    };
    let fallen_back = |followed: &Followed| {
        let is = |body: &EventBody| matches!(body, EventBody::Note(text) if text.contains("of no use"));
        followed.events.iter().filter(|event| is(&event.body)).count()
    };
    let mut console = Console::of(&home);
    passes("cold", &job(&home, SCRIPT, GuestStart::Boot)).await;
    let cold = console.boot();
    assert_eq!(cached(&client).await, [], "nobody asked for it");
    let first = passes("first", &healthy).await;
    let first_boot = console.boot();
    assert_ne!(first_boot, cold);
    assert_eq!((cached(&client).await.len(), fallen_back(&first)), (1, 0));
    for key in ["second", "third"] {
        passes(key, &healthy).await;
        assert_eq!(console.boot(), first_boot, "{key}: it is the same boot, with its disk as it was then");
    }
    passes("cold again", &job(&home, SCRIPT, GuestStart::Boot)).await;
    assert_ne!(console.boot(), first_boot);
    let memory = home.path().join("snapshots").join(&cached(&client).await[0].name).join("memory");
    let mut bytes = std::fs::read(&memory).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&memory, bytes).unwrap();
    let fallen = passes("damaged", &healthy).await;
    let again = console.boot();
    assert_ne!(again, first_boot);
    assert_eq!((fallen_back(&fallen), cached(&client).await.len()), (1, 1), "it is said once, and made anew");
    let last = passes("last", &healthy).await;
    assert_eq!((console.boot(), fallen_back(&last)), (again, 0));
    let described =
        home.path().join("snapshots").join(&cached(&client).await[0].name).join("description.json");
    std::fs::write(described, "{").unwrap();
    assert_eq!(fallen_back(&passes("not described", &healthy).await), 1);
    let made_anew = console.boot();
    assert_eq!(fallen_back(&passes("described", &healthy).await), 0);
    assert_eq!(console.boot(), made_anew);
    end(&home, daemon, client).await;
}

/// Guard: `is_given`. A job is the session's that handed it over, and not the machine's.
#[tokio::test]
async fn a_guest_that_reboots_is_not_given_its_job_again() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    whole(&client, "job", &job(&home, SCRIPT, GuestStart::Boot)).await;
    let before = boot_id(&client, VM).await;
    let _cut_off = run(&client, command(VM, &["reboot", "-f"])).await;
    until("it has booted again", async || {
        let ran = run(&client, command(VM, &["sh", "-c", BOOTED_AT])).await.ok()?;
        (!ran.out.is_empty() && ran.out != before).then_some(())
    })
    .await;
    assert_eq!(sh(&client, VM, "cat /data/ran").await, "ran\n");
    end(&home, daemon, client).await;
}

/// Guards: either of these, that what was given is not given again, and the folder that only one can make; and that a paused machine which was
/// restored is proof. The farm is killed at each point of a handoff, to a guest that begins healthy: what it is to run is run once, or the session says
/// that nobody knows.
#[tokio::test]
async fn what_a_guest_is_to_run_is_run_once_wherever_the_farm_is_killed() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    // So that each of those below begins where this one was healthy.
    whole(&client, "first", &job(&home, SCRIPT, GuestStart::Healthy)).await;
    end(&home, daemon, client).await;
    let board = home.path().join("boards").join(VM);
    std::fs::remove_dir_all(&board).unwrap();
    let of = job(&home, SCRIPT, GuestStart::Healthy);
    let once = run_once(&Image { word: "job", path: home.path().join("job.sh") }, Some(VM));
    let once = Job { once: once.once, on_gap: once.on_gap, ..of };
    let mut kills = 0;
    for point in EVERY_HANDOFF {
        let key = format!("killed at {point}");
        let mut daemon = Daemon::spawn(&home, Some(point));
        let client = daemon.ready(&home).await;
        let at_work = async {
            let Some(client) = client else { return std::future::pending().await };
            match submit(&client, &key, &once).await {
                Ok(id) => drop(follow(&client, id).await),
                Err(error) => assert!(error.is_lost(), "{error}"),
            }
            // It is killed behind its verdict, too.
            std::future::pending::<()>().await
        };
        let status = tokio::select! {
            status = daemon.ended() => status,
            () = at_work => unreachable!("it waits"),
        };
        assert_eq!(status.signal(), Some(ABORTED), "{point}: {status}");
        kills += 1;
        let (daemon, client) = Daemon::start(&home).await;
        let followed = whole(&client, &key, &once).await;
        let problem = &followed.view.problem;
        let console = std::fs::read_to_string(board.join("console"));
        let runs = console.unwrap_or_default().matches("runs ").count();
        assert!(runs <= 1, "{point}: it ran {runs} times");
        match followed.view.verdict {
            Some(Verdict::Passed) => assert_eq!(runs, 1, "{point}"),
            // What a dead farm did not hear is lost to it; that the guest was not let go is not.
            Some(Verdict::Unknown) => {
                assert!(!UNTOUCHED.contains(point), "{point}: its machine is paused yet")
            }
            other => panic!("{point}: {other:?}: {problem:?}"),
        }
        end(&home, daemon, client).await;
        std::fs::remove_dir_all(&board).unwrap();
    }
    assert_eq!(kills, EVERY_HANDOFF.len());
}
