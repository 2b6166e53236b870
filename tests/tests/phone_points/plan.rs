//! One kill at one point while a phone is at work.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use farmhand::transport::{Client, ClientError};
use farmhand_api::{Job, Leave, PartitionStep, SessionId};
use farmhand_sim::fastboot::{PartitionSpec, PhoneOptions};
use farmhand_tests::{
    Daemon, Home, Over, TestPhone, at_work, boot, boot_image, follow, noise, partitions, put_file,
    remembered, step, submit, until,
};

use crate::judge::Kill;

/// The phone of these tests.
pub(crate) const DEVICE: &str = "phone-1";
/// The wish of these tests.
pub(crate) const KEY: &str = "the one wish";
/// What the phone takes at once, in bytes.
const MOST: u32 = 256 << 10;
/// Of the kernel, in bytes.
const KERNEL_BYTES: usize = 100_000;
/// SIGABRT, by which a failpoint ends the process.
const ABORTED: i32 = 6;

/// What is being done when the kill comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A boot: never repeated. Over TCP nothing tells whether the phone heard it.
    BootTcp,
    /// A boot. Over UDP the phone counts packets.
    BootUdp,
    /// Three partitions, one of them in pieces, and back into the bootloader; may be repeated.
    Write,
    /// The same and a restart, once.
    WriteOnce,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::BootTcp, Self::BootUdp, Self::Write, Self::WriteOnce];

    pub(crate) fn boots(self) -> bool {
        matches!(self, Self::BootTcp | Self::BootUdp)
    }

    fn over(self) -> Over {
        match self {
            Self::BootUdp => Over::Udp,
            Self::BootTcp | Self::Write | Self::WriteOnce => Over::Tcp,
        }
    }

    /// In the order in which they are written.
    pub(crate) const PARTITIONS: [&str; 3] = ["flash:misc", "erase:userdata", "flash:system"];

    fn job(self, folder: &Path) -> Job {
        if self.boots() {
            return boot(&put_file(folder, "boot.img", &boot_image(1, KERNEL_BYTES)), DEVICE);
        }
        let misc = put_file(folder, "misc.img", &misc());
        let system = put_file(folder, "system.img", &system());
        let erase = PartitionStep::Erase("userdata".into());
        let steps = vec![step("misc", &misc), erase, step("system", &system)];
        let once = self == Self::WriteOnce;
        partitions(steps, Leave::Reboot, DEVICE, once)
    }
}

pub(crate) fn misc() -> Vec<u8> {
    noise(2, 50_000)
}

/// Larger than the phone takes at once.
pub(crate) fn system() -> Vec<u8> {
    noise(3, 2 * MOST as usize + 1000)
}

/// Where to kill, and in what.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) point: String,
    /// The n-th time it is passed.
    pub(crate) nth: u32,
    pub(crate) kind: Kind,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} killed at {}:{}", self.kind, self.point, self.nth)
    }
}

/// What a kill came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hit {
    /// It fell between intent and issued.
    pub(crate) between: bool,
    /// A step of a write was begun, and not recorded as done.
    pub(crate) step_open: bool,
    /// Steps were proven to be done, and not done again.
    pub(crate) steps_kept: bool,
    /// The session ended unknown.
    pub(crate) unknown: bool,
}

/// Does it; none where nothing passed the point. Panics where anything is not as it must be.
pub(crate) async fn run(plan: &Plan) -> Option<Hit> {
    let home = Home::empty();
    let options = PhoneOptions {
        max_download: MOST,
        slots: 0,
        partitions: ["misc", "userdata", "system"].map(|name| PartitionSpec::new(name, 1 << 20)).to_vec(),
        ..PhoneOptions::default()
    };
    let phone = TestPhone::start(DEVICE, plan.kind.over(), options).await;
    home.configure(&phone.entry("allow = [\"boot\", \"flash\", \"erase\"]"));
    let job = plan.kind.job(home.path());
    let mut daemon = Daemon::spawn(&home, Some(&format!("{}:{}", plan.point, plan.nth)));
    let client = daemon.ready(&home).await;
    let mut acknowledged = None;
    let status = tokio::select! {
        biased;
        status = daemon.ended() => status,
        () = to_its_end(client, &job, &mut acknowledged) => return None,
    };
    let words = std::fs::read_to_string(home.words()).unwrap();
    assert_eq!(status.signal(), Some(ABORTED), "{plan}: {status}");
    let there = format!("failpoint {}", plan.point);
    assert!(words.lines().any(|line| line == there), "{plan}: it died elsewhere");

    let before = remembered(&home).await;
    if let Some(id) = acknowledged {
        assert_eq!(before.keys.get(KEY), Some(&id), "{plan}: what was acknowledged is remembered");
        assert!(before.sessions.contains_key(&id), "{plan}: what was acknowledged is remembered");
    }
    let at_death = phone.asked().await;
    let (daemon, client) = Daemon::start(&home).await;
    let id = submit(&client, KEY, &job).await.unwrap();
    if let Some(known) = before.keys.get(KEY) {
        assert_eq!(id, *known, "{plan}: the same wish is the same session");
    }
    let followed = follow(&client, id).await.unwrap();
    Some(Kill { plan, home: &home, phone: &phone, before, at_death }.judge(daemon, client, followed).await)
}

/// A session from its wish until its device is free again. Goes nowhere once the farm is gone: its death is waited for.
async fn to_its_end(client: Option<Client>, job: &Job, acknowledged: &mut Option<SessionId>) {
    let Some(client) = client else { return std::future::pending().await };
    match whole(&client, job, acknowledged).await {
        Ok(()) => {}
        Err(error) if error.is_lost() => std::future::pending().await,
        Err(error) => panic!("{error}"),
    }
}

async fn whole(client: &Client, job: &Job, acknowledged: &mut Option<SessionId>) -> Result<(), ClientError> {
    let id = submit(client, KEY, job).await?;
    *acknowledged = Some(id);
    follow(client, id).await?;
    until("the session has given its device back", async || match at_work(client).await {
        Ok(0) => Some(Ok(())),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
    .await
}
