//! One kill at one point, and what must be true after it.

mod install;
mod outcome;

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use farmhand::transport::{Client, ClientError};
use farmhand_api::{DeviceState, Job, SessionId};
use farmhand_tests::{
    Daemon, Home, Place, alpha, devices, flash_once, follow, remembered, repeatable, run_once, submit, until,
};

use outcome::Kill;

/// The device of these tests: the one that is made where none is plugged in.
const DEVICE: &str = "uno-sim";
/// The wish of these tests.
const KEY: &str = "the one wish";
/// SIGABRT, by which a failpoint ends the process.
const ABORTED: i32 = 6;

/// What is being done when the kill comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Flash and observe; may be repeated.
    Run,
    /// Flash and observe, once.
    RunOnce,
    /// Flash, once.
    FlashOnce,
    /// No session: a package from this machine.
    Install,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Run, Self::RunOnce, Self::FlashOnce, Self::Install];

    fn job(self) -> Job {
        match self {
            Self::RunOnce => run_once(alpha(), None),
            Self::FlashOnce => flash_once(alpha(), None),
            Self::Run | Self::Install => repeatable(alpha(), None),
        }
    }
}

/// Where to kill, in what, and when to start again.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) point: String,
    /// The n-th time it is passed.
    pub(crate) nth: u32,
    pub(crate) kind: Kind,
    /// Started again only once the loader has given up and started what is there.
    pub(crate) late: bool,
}

impl Plan {
    fn armed(&self) -> String {
        format!("{}:{}", self.point, self.nth)
    }

    /// It died there, and of nothing else.
    fn died_there(&self, home: &Home, status: ExitStatus) {
        let words = std::fs::read_to_string(home.words()).unwrap();
        assert_eq!(status.signal(), Some(ABORTED), "{self}: {status}");
        assert!(
            words.lines().any(|line| line == format!("failpoint {}", self.point)),
            "{self}: it died elsewhere"
        );
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let late = if self.late { ", started again late" } else { "" };
        write!(f, "{:?} killed at {}{late}", self.kind, self.armed())
    }
}

/// What came of a plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hit {
    /// The process died there; otherwise nothing passed the point.
    pub(crate) died: bool,
    /// The board was in its loader then.
    pub(crate) in_loader: bool,
}

const MISSED: Hit = Hit { died: false, in_loader: false };

/// Does it. Panics where anything is not as it must be.
pub(crate) async fn run(plan: &Plan) -> Hit {
    if plan.kind == Kind::Install {
        return install::run(plan).await;
    }
    let home = Home::ready();
    let board = home.board(DEVICE);
    let mut daemon = Daemon::spawn(&home, Some(&plan.armed()));
    let client = daemon.ready(&home).await;
    let mut acknowledged = None;
    let status = tokio::select! {
        biased;
        status = daemon.ended() => status,
        () = to_its_end(client, plan.kind, &mut acknowledged) => return MISSED,
    };
    plan.died_there(&home, status);

    let at_death = board.counters();
    let in_loader = board.place() == Some(Place::Loader);
    let before = remembered(&home).await;
    if let Some(id) = acknowledged {
        assert_eq!(before.keys.get(KEY), Some(&id), "{plan}: what was acknowledged is remembered");
        assert!(before.sessions.contains_key(&id), "{plan}: what was acknowledged is remembered");
    }
    if plan.late && in_loader {
        let given_up = async || (board.counters().watchdog_resets > at_death.watchdog_resets).then_some(());
        until("the loader gives up", given_up).await;
    }

    let (daemon, client) = Daemon::start(&home).await;
    let id = submit(&client, KEY, &plan.kind.job()).await.unwrap();
    if let Some(known) = before.keys.get(KEY) {
        assert_eq!(id, *known, "{plan}: the same wish is the same session");
    }
    let followed = follow(&client, id).await.unwrap();
    Kill { plan, home: &home, before, at_death }.judge(daemon, client, followed).await;
    Hit { died: true, in_loader }
}

/// A session from its wish until its device is free again. Goes nowhere once the farm is gone: its death is waited for.
async fn to_its_end(client: Option<Client>, kind: Kind, acknowledged: &mut Option<SessionId>) {
    let Some(client) = client else { return std::future::pending().await };
    match whole(&client, kind, acknowledged).await {
        Ok(()) => {}
        Err(error) if error.is_lost() => std::future::pending().await,
        Err(error) => panic!("{error}"),
    }
}

async fn whole(client: &Client, kind: Kind, acknowledged: &mut Option<SessionId>) -> Result<(), ClientError> {
    let id = submit(client, KEY, &kind.job()).await?;
    *acknowledged = Some(id);
    follow(client, id).await?;
    until("the device is free", async || match devices(client).await {
        Ok(devices) => devices.iter().all(|device| device.state == DeviceState::Free).then_some(Ok(())),
        Err(error) => Some(Err(error)),
    })
    .await
}
