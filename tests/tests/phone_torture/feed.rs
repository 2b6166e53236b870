//! A steady stream of wishes, one at a time for each phone, from a client that never gives one up: what was not acknowledged
//! is asked for again, with the same key. And the person beside the phones, who looks at them, says what was, and brings each
//! back into its bootloader.

use std::path::PathBuf;
use std::time::Duration;

use farmhand::transport::{Client, ClientError};
use farmhand_api::{
    DeviceState, DeviceView, Job, Leave, PartitionStep, PhaseName, Request, SessionId, Settle, Verdict,
};
use farmhand_sim::fastboot::{Asked, Counters, Mode};
use farmhand_tests::{
    Home, LONG, TestPhone, boot, boot_image, devices, noise, partitions, put_file, session, sha256, step,
    submit,
};

/// What the phones take at once, in bytes.
pub(crate) const MOST: u32 = 128 << 10;
/// Between two looks at the sessions.
const LOOK: Duration = Duration::from_millis(10);
const KERNEL_BYTES: usize = 60_000;

/// What is wished for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A boot: once.
    Boot,
    /// Three partitions, and back into the bootloader; may be repeated.
    Write,
    /// The same and a restart: once.
    WriteOnce,
}

/// What a write does, in order.
pub(crate) const STEPS: [&str; 3] = ["flash:misc", "erase:userdata", "flash:system"];

/// A wish.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) key: String,
    pub(crate) kind: Kind,
    /// Which phone.
    pub(crate) phone: usize,
    job: Job,
    /// The session, once it was acknowledged.
    pub(crate) id: Option<SessionId>,
    /// How it ended.
    pub(crate) verdict: Option<Verdict>,
    /// What the phone had counted before it.
    pub(crate) before: Counters,
    /// So often a person has said of it that nothing was done.
    pub(crate) not_done: u32,
    /// So often a person has said anything of it.
    pub(crate) settled: u32,
    /// It was acknowledged to an earlier farm.
    old: bool,
}

/// The client, the phones, and who looks after them.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) phones: Vec<TestPhone>,
    images: [PathBuf; 2],
    misc: PathBuf,
    system: PathBuf,
    pub(crate) wishes: Vec<Wish>,
    more: bool,
}

pub(crate) fn misc() -> Vec<u8> {
    noise(2, 20_000)
}

/// Larger than the phones take at once.
pub(crate) fn system() -> Vec<u8> {
    noise(3, 2 * MOST as usize + 1000)
}

impl Feed {
    pub(crate) fn new(home: &Home, phones: Vec<TestPhone>) -> Self {
        let file = |name: &str, bytes: &[u8]| put_file(home.path(), name, bytes);
        let images = [1, 2].map(|seed| file(&format!("boot-{seed}.img"), &boot_image(seed, KERNEL_BYTES)));
        let (misc, system) = (file("misc.img", &misc()), file("system.img", &system()));
        Self { phones, images, misc, system, wishes: Vec::new(), more: true }
    }

    /// Whatever is under way now was begun by a farm that is dead.
    pub(crate) fn another_farm(&mut self) {
        self.wishes.iter_mut().for_each(|wish| wish.old = wish.id.is_some());
    }

    /// Asks and looks, as long as the farm is there and beyond.
    pub(crate) async fn run(&mut self, client: &Client) {
        match self.work(client).await {
            Ok(()) => {}
            // It is being killed.
            Err(error) if error.is_lost() => std::future::pending().await,
            Err(error) => panic!("{error}"),
        }
    }

    /// Asks for nothing more, and sees what there is to its end.
    pub(crate) async fn finish(&mut self, client: &Client) {
        self.more = false;
        match tokio::time::timeout(2 * LONG, self.work(client)).await {
            Ok(outcome) => outcome.unwrap(),
            Err(_) => panic!("sessions that do not end: {:#?}", self.open().collect::<Vec<_>>()),
        }
        assert_eq!(self.open().count(), 0);
    }

    /// What is not ended.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Wish> {
        self.wishes.iter().filter(|wish| wish.verdict.is_none())
    }

    /// What all phones counted.
    pub(crate) async fn sum(&self) -> String {
        let mut sum = Counters::default();
        for phone in &self.phones {
            let counted = phone.counters().await;
            sum.boots += counted.boots;
            sum.boot_commands += counted.boot_commands;
            sum.flashes += counted.flashes;
            sum.erases += counted.erases;
        }
        let settled: u32 = self.wishes.iter().map(|wish| wish.settled).sum();
        let boots = self.wishes.iter().filter(|wish| wish.kind == Kind::Boot).count();
        format!(
            "{} boots for {boots} wishes, {} flashes, {} erases; a person settled {settled}",
            sum.boots, sum.flashes, sum.erases
        )
    }

    /// Until nothing is wanted any more.
    async fn work(&mut self, client: &Client) -> Result<(), ClientError> {
        loop {
            for phone in 0..self.phones.len() {
                self.wish(phone).await;
            }
            let mut all_ended = true;
            for wish in self.wishes.iter_mut().filter(|wish| wish.verdict.is_none()) {
                all_ended &= look(client, wish, &self.phones).await?;
            }
            if all_ended && !self.more {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn wish(&mut self, phone: usize) {
        if !self.more || self.open().any(|wish| wish.phone == phone) {
            return;
        }
        let number = self.wishes.len();
        let of_phone = self.wishes.iter().filter(|wish| wish.phone == phone).count();
        let name = self.phones[phone].name();
        let steps = || {
            let erase = PartitionStep::Erase("userdata".into());
            vec![step("misc", &self.misc), erase, step("system", &self.system)]
        };
        let (kind, job) = match (of_phone + phone) % 4 {
            1 => (Kind::Write, partitions(steps(), Leave::RebootBootloader, name, false)),
            3 => (Kind::WriteOnce, partitions(steps(), Leave::Reboot, name, true)),
            _ => (Kind::Boot, boot(&self.images[of_phone / 2 % 2], name)),
        };
        let before = self.phones[phone].counters().await;
        let (id, verdict, key) = (None, None, format!("wish {number}"));
        self.wishes.push(Wish {
            key,
            kind,
            phone,
            job,
            id,
            verdict,
            before,
            not_done: 0,
            settled: 0,
            old: false,
        });
    }
}

/// Whether it has ended, and its phone is ready for the next.
async fn look(client: &Client, wish: &mut Wish, phones: &[TestPhone]) -> Result<bool, ClientError> {
    let id = match wish.id {
        Some(id) => id,
        None => submit(client, &wish.key, &wish.job).await?,
    };
    assert!(wish.id.replace(id).is_none_or(|known| known == id), "{}: two sessions of one wish", wish.key);
    let (view, phone) = (session(client, id).await?, &phones[wish.phone]);
    let counted = phone.counters().await;
    let done = match wish.kind {
        Kind::Boot => counted.boots > wish.before.boots,
        Kind::Write => false,
        Kind::WriteOnce => counted.system_starts > wish.before.system_starts,
    };
    // A person need not wait until the farm has given up: the phone runs.
    if view.phase == PhaseName::HandoffIntended && wish.old && done {
        match client.ask(Request::Resume { session: id, settle: Some(Settle::Booted) }).await {
            Ok(_) => wish.settled += 1,
            Err(error) if error.is_lost() => return Err(error),
            // It is at it, or knows it by itself.
            Err(_) => {}
        }
        return Ok(false);
    }
    if view.phase != PhaseName::Finished {
        return Ok(false);
    }
    let all = devices(client).await?;
    let is_it = |device: &&DeviceView| device.name.as_ref().is_some_and(|name| name.as_str() == phone.name());
    let state = all.iter().find(is_it).expect("it is configured").state;
    match view.verdict {
        Some(Verdict::Unknown) => {
            assert_ne!(
                wish.kind,
                Kind::Write,
                "{id}: what may be repeated is never unknown: {:?}",
                view.problem
            );
            if state != DeviceState::Quarantined {
                return Ok(false);
            }
            let settle = if done { Settle::Booted } else { Settle::NotBooted };
            // Counted first: what is asked of a farm that dies may be done.
            wish.settled += 1;
            wish.not_done += u32::from(!done);
            client.ask(Request::Resume { session: id, settle: Some(settle) }).await?;
            return Ok(false);
        }
        Some(Verdict::Passed) => {}
        other => panic!("{id} {:?}: {other:?} {:?}", wish.kind, view.problem),
    }
    // The device is given back behind the verdict, and the next would be refused before. One that has booted is away.
    if !matches!(state, DeviceState::Free | DeviceState::Absent) {
        return Ok(false);
    }
    is_as_wished(wish, phone).await;
    if phone.mode().await != Mode::Loader {
        phone.enter(Mode::Loader).await;
    }
    wish.verdict = view.verdict;
    Ok(true)
}

/// Passed: what was wished for is so, and not oftener than it may be.
async fn is_as_wished(wish: &Wish, phone: &TestPhone) {
    let (id, counted, before) = (wish.id, phone.counters().await, &wish.before);
    match wish.kind {
        Kind::Boot => assert_eq!(counted.boots - before.boots, 1, "{id:?}: booted once: {counted} {before}"),
        Kind::Write | Kind::WriteOnce => {
            for (name, bytes) in [("misc", misc()), ("system", system())] {
                assert_eq!(phone.partition(name, bytes.len() as u64).await, sha256(&bytes), "{id:?}: {name}");
            }
        }
    }
    if wish.kind == Kind::WriteOnce {
        assert_eq!(counted.system_starts - before.system_starts, 1, "{id:?}: {counted} {before}");
    }
}

/// What a phone was asked since a wish was made.
pub(crate) async fn asked_since(wish: &Wish, phone: &TestPhone) -> Vec<Asked> {
    let asked = phone.asked().await;
    asked.into_iter().filter(|asked| asked.number > wish.before.commands).collect()
}
