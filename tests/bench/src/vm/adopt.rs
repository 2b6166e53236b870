//! Machines that outlive a farm which is killed, and the next farm.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use farmhand::protocol::{Answer, DeviceName, Job, PhaseName, Request, Verdict};
use farmhand_tests::{Image, idle_program, repeatable};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::by;
use super::machines::Machines;
use super::monitor::Monitor;
use crate::Failure;
use crate::daemon::{Begins, Daemon, log};
use crate::report::{Report, Row};
use crate::set_up::SetUp;
use crate::stats::Series;

/// Starts of a farm, and of its peer, in turn.
const ROUNDS: usize = 7;
/// Machines: small ones, that idle.
const COUNT: usize = 50;
const BOARD: &str = "qemu:riscv32-virt";
/// What their program says first.
const GREETING: &str = "here I am";
/// What the farm writes down of each.
const ADOPTED: &str = "its machine is adopted";
/// For all of them to run, or to be adopted.
const ALL_WITHIN: Duration = Duration::from_secs(300);
/// Between two looks at what the farm has written down.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// Between two questions to a farm that has work to do.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Of each round.
#[derive(Default)]
struct Found {
    in_turn: Vec<Duration>,
    at_once: Vec<Duration>,
    listens: Vec<Duration>,
    adopted: Vec<Duration>,
}

pub(super) async fn run(set_up: &SetUp) -> Result<Report, Failure> {
    set_up.package("qemu-misc").await?;
    let home = set_up.home();
    let machines = Machines::none(&home);
    let farm_toml: String = names()
        .map(|name| format!("[[device]]\nname = {name:?}\nboard = {BOARD:?}\ndriver = \"qemu\"\n"))
        .collect();
    let begins = Begins { farm_toml: &farm_toml, fresh: true, log: "info" };
    let mut farm = Daemon::begin(set_up, begins).await?;
    start_all(&farm, set_up).await?;
    let running = pids(&machines);
    if running.len() != COUNT {
        return Err(format!("{} machines of {COUNT} run", running.len()).into());
    }
    let monitors: Vec<_> = names().map(|name| home.join("boards").join(name).join("qmp")).collect();
    let mut found = Found::default();
    // One that does not count.
    for round in 0..=ROUNDS {
        farm.kill()?;
        let [in_turn, at_once] = peer(&monitors)?;
        let log = log(&home);
        // What the last one has written down.
        std::fs::remove_file(&log)?;
        let seen = spawn_blocking(move || all_adopted(&log));
        farm = Daemon::begin(set_up, Begins { fresh: false, ..begins }).await?;
        let listens = farm.spawned.elapsed();
        let adopted = seen.await??.duration_since(farm.spawned);
        if pids(&machines) != running {
            return Err("they are not the machines that were there before".into());
        }
        if round > 0 {
            found.in_turn.push(in_turn);
            found.at_once.push(at_once);
            found.listens.push(listens);
            found.adopted.push(adopted);
        }
    }
    farm.end().await?;
    Ok(report(&found))
}

fn names() -> impl Iterator<Item = String> {
    (0..COUNT).map(|nth| format!("rv-{nth}"))
}

fn pids(machines: &Machines) -> BTreeSet<u32> {
    machines.all().into_iter().map(|process| process.pid).collect()
}

/// A job for each: its program says that it is there, and goes on.
async fn start_all(farm: &Daemon, set_up: &SetUp) -> Result<(), Failure> {
    let path = idle_program(&set_up.folder, &format!("{GREETING}\n"));
    let image = Image { word: GREETING, path };
    for name in names() {
        let job = repeatable(&image, Some(&name));
        let job = Job { board: BOARD.into(), expect: vec![format!("^{GREETING}$")], ..job };
        let device = DeviceName::new(&name).map_err(|error| error.to_string())?;
        farm.client.ask(Request::Submit { key: format!("bench-{device}"), job: Box::new(job) }).await?;
    }
    let until = Instant::now() + ALL_WITHIN;
    loop {
        let Answer::Sessions(sessions) = farm.client.ask(Request::Sessions { all: true }).await? else {
            return Err("sessions are answered by something else".into());
        };
        let over = sessions.iter().filter(|session| session.phase == PhaseName::Finished);
        if let Some(failed) = over.clone().find(|session| session.verdict != Some(Verdict::Passed)) {
            return Err(format!("a machine was not started: {:?}", failed.problem).into());
        }
        let Answer::Status(status) = farm.client.ask(Request::Status).await? else {
            return Err("the status is answered by something else".into());
        };
        // They have given their devices back, too.
        if over.count() == COUNT && status.sessions == 0 {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(format!("{COUNT} machines are not started within {} s", ALL_WITHIN.as_secs()).into());
        }
        sleep(ASK_AGAIN).await;
    }
}

/// When the farm had adopted the last of them, by what it writes down.
fn all_adopted(log: &Path) -> Result<Instant, Failure> {
    let until = Instant::now() + ALL_WITHIN;
    loop {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let adopted = said.matches(ADOPTED).count();
        let now = Instant::now();
        if adopted == COUNT {
            return Ok(now);
        }
        if said.contains("is not adopted") || now > until {
            return Err(format!("{adopted} of {COUNT} are adopted: {said}").into());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Each machine is greeted by, and says whether it runs: one after the other, and all at once.
fn peer(monitors: &[PathBuf]) -> Result<[Duration; 2], Failure> {
    let one = |socket: &Path| -> Result<(), Failure> {
        let said = Monitor::connect(socket)?.ask("query-status", "{}")?;
        if said.contains(r#""running": true"#) { Ok(()) } else { Err(said.into()) }
    };
    let began = Instant::now();
    monitors.iter().try_for_each(|socket| one(socket))?;
    let in_turn = began.elapsed();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let all: Vec<_> = monitors.iter().map(|socket| scope.spawn(move || one(socket))).collect();
        all.into_iter().try_for_each(|one| one.join().map_err(|_| "a client panicked")?)
    })?;
    Ok([in_turn, began.elapsed()])
}

fn report(found: &Found) -> Report {
    Report {
        title: format!(
            "vm: {COUNT} machines (riscv32) behind a farm that was killed; {ROUNDS} of each, in turn"
        ),
        rows: vec![
            Row::time("peer: a bare client asks each, one after the other", Series::times(&found.in_turn)),
            Row::time("(all at once)", Series::times(&found.at_once)),
            Row::time("farmhandd, spawn to listening", Series::times(&found.listens)),
            Row::time("farmhandd, spawn to all adopted", Series::times(&found.adopted))
                .against(by(&found.adopted, &found.in_turn)),
        ],
        notes: vec![
            "asks: greeted, `qmp_capabilities`, `query-status`; 10 ms between two looks whether it listens"
                .into(),
        ],
    }
}
