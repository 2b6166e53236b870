//! A serial actor over real pseudo terminals, with a device actor and an event log that only listen.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use farmhand_api::{EventBody, LogFrom, LogItem};
use farmhand_messages::serial::{LentPort, OpenPortError, Opened, PortError, PortNews, PortSpec, Reader};
use farmhand_messages::{DeviceMessage, EventsMessage, Names, SerialMessage};
use farmhand_records::{DeviceName, Epoch, FencingToken, Incarnation};
use farmhand_runtime::{Chaos, Ctx, Effects, Paths, ask_once};
use farmhand_serial::{PortKeeper, SerialActor, SerialArgs};
use farmhand_store::{Disk, StoreHandle};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{ControlModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Nothing here takes long; what takes this long has failed.
pub const LONG: Duration = Duration::from_secs(60);

/// A board at a pseudo terminal.
pub struct Board {
    pub master: File,
    pub path: PathBuf,
}

impl Board {
    pub fn new() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap().into();
        let board = Self { master: master.into(), path };
        board.set_hupcl(false);
        board
    }

    pub fn spec(&self) -> PortSpec {
        PortSpec { path: self.path.clone(), baud: 115_200, apart: false }
    }

    pub fn termios(&self) -> Termios {
        tcgetattr(&self.master).unwrap()
    }

    pub fn hupcl(&self) -> bool {
        self.termios().control_modes.contains(ControlModes::HUPCL)
    }

    pub fn set_hupcl(&self, set: bool) {
        let mut termios = self.termios();
        termios.control_modes.set(ControlModes::HUPCL, set);
        tcsetattr(&self.master, OptionalActions::Now, &termios).unwrap();
    }

    /// Says something; waits where nobody reads.
    pub async fn say(&self, bytes: impl Into<Bytes>) {
        let (mut master, bytes) = (self.master.try_clone().unwrap(), bytes.into());
        tokio::task::spawn_blocking(move || master.write_all(&bytes)).await.unwrap().unwrap();
    }

    /// Hears so many bytes.
    pub async fn hear(&self, bytes: usize) -> Vec<u8> {
        let mut master = self.master.try_clone().unwrap();
        let mut heard = vec![0; bytes];
        let hear = tokio::task::spawn_blocking(move || master.read_exact(&mut heard).map(|()| heard));
        timeout(LONG, hear).await.expect("the board hears it").unwrap().unwrap()
    }

    /// No client has it open.
    pub fn is_alone(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut polled = [PollFd::new(&self.master, PollFlags::empty())];
        poll(&mut polled, Some(&Timespec::default())).unwrap();
        polled[0].revents().contains(PollFlags::HUP)
    }

    pub fn client(&self) -> OwnedFd {
        use rustix::fs::{Mode, OFlags, open};
        open(&self.path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }
}

struct DeviceEar;

#[ractor::async_trait]
impl Actor for DeviceEar {
    type Msg = DeviceMessage;
    type State = mpsc::UnboundedSender<PortNews>;
    type Arguments = Self::State;

    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        to: Self::State,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(to)
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: DeviceMessage,
        to: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let DeviceMessage::Port(news) = message {
            to.send(news)?;
        }
        Ok(())
    }
}

struct EventsEar;

#[ractor::async_trait]
impl Actor for EventsEar {
    type Msg = EventsMessage;
    type State = mpsc::UnboundedSender<String>;
    type Arguments = Self::State;

    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        to: Self::State,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(to)
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: EventsMessage,
        to: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let EventsMessage::Tell { body: EventBody::Note(note), .. } = message {
            to.send(note)?;
        }
        Ok(())
    }
}

/// One device's serial actor, and what it needs.
pub struct Farm {
    pub ctx: Ctx,
    pub device: DeviceName,
    pub keeper: PortKeeper,
    pub news: mpsc::UnboundedReceiver<PortNews>,
    pub notes: mpsc::UnboundedReceiver<String>,
    segment_bytes_max: u64,
    actor: ActorRef<SerialMessage>,
    running: JoinHandle<()>,
    folder: tempfile::TempDir,
    store: StoreHandle,
}

impl Farm {
    pub async fn start() -> Self {
        Self::start_with(farmhand_serial::SEGMENT_BYTES_MAX).await
    }

    pub async fn start_with(segment_bytes_max: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = StoreHandle::open_memory(Disk::new()).await.unwrap();
        Self::on(folder, store, segment_bytes_max, 1).await
    }

    async fn on(
        folder: tempfile::TempDir,
        store: StoreHandle,
        segment_bytes_max: u64,
        incarnation: u64,
    ) -> Self {
        static FARMS: AtomicU64 = AtomicU64::new(0);
        let names = Names::new(&format!("test-{}", FARMS.fetch_add(1, Ordering::Relaxed)));
        let device = DeviceName::new("uno-1").unwrap();
        let (to, news) = mpsc::unbounded_channel();
        Actor::spawn(Some(names.device(&device)), DeviceEar, to).await.unwrap();
        let (to, notes) = mpsc::unbounded_channel();
        Actor::spawn(Some(names.events()), EventsEar, to).await.unwrap();
        let ctx = Ctx {
            names,
            store: store.clone(),
            paths: Paths::new(folder.path()),
            incarnation: Incarnation(incarnation),
            effects: Effects::new(),
            chaos: Chaos::armable(),
        };
        let keeper = PortKeeper::new();
        let (actor, running) = spawn(&ctx, &device, &keeper, segment_bytes_max).await;
        Self { ctx, device, keeper, news, notes, segment_bytes_max, actor, running, folder, store }
    }

    /// Waits until the actor has ended, as its supervisor does, and starts the next.
    pub async fn restart(&mut self) {
        self.ended().await;
        self.restart_ended().await;
    }

    pub async fn restart_ended(&mut self) {
        self.ctx.effects = Effects::new();
        self.ctx.incarnation = self.ctx.incarnation.next();
        (self.actor, self.running) =
            spawn(&self.ctx, &self.device, &self.keeper, self.segment_bytes_max).await;
    }

    pub async fn ended(&mut self) {
        timeout(LONG, &mut self.running).await.expect("the actor ends").unwrap();
        assert!(self.ctx.effects.end(LONG).await, "its tasks end");
    }

    /// Ends the farm, and starts it anew on what it left: nobody keeps the port.
    pub async fn again(mut self) -> Self {
        self.actor.stop(None);
        self.ended().await;
        Self::on(self.folder, self.store, self.segment_bytes_max, self.ctx.incarnation.0 + 1).await
    }

    pub async fn ask<R: Send + 'static>(&self, message: impl FnOnce(RpcReplyPort<R>) -> SerialMessage) -> R {
        ask_once(&self.ctx.names.serial(&self.device), LONG, message).await.expect("it answers")
    }

    pub async fn open(&self, spec: PortSpec, current: u64, reset: u64) -> Result<Opened, OpenPortError> {
        let (current, reset_epoch) = (Epoch(current), Epoch(reset));
        self.ask(|reply| SerialMessage::Open { spec, current, reset_epoch, reply }).await
    }

    pub async fn lend(&self, token: u64) -> Result<LentPort, PortError> {
        self.ask(|reply| SerialMessage::Lend { token: FencingToken(token), reply }).await
    }

    pub async fn subscribe(&self, from: LogFrom, follow: bool) -> Reader {
        self.ask(|reply| SerialMessage::Subscribe { from, follow, reply }).await
    }

    /// All that is recorded from a place on.
    pub async fn log(&self, from: LogFrom) -> Vec<LogItem> {
        let mut reader = self.subscribe(from, false).await;
        let mut items = Vec::new();
        while let Some(item) = timeout(LONG, reader.recv()).await.expect("the log ends") {
            items.push(item);
        }
        items
    }

    pub async fn position(&self) -> (u64, Epoch) {
        self.ask(|reply| SerialMessage::Position { reply }).await
    }

    /// Waits until so many bytes are recorded.
    pub async fn recorded(&self, bytes: u64) {
        eventually(async || self.position().await.0 == bytes).await;
    }

    pub async fn write(&self, writer: &str, bytes: &[u8], take: bool) -> Result<(), PortError> {
        let (writer, bytes) = (writer.to_owned(), Bytes::copy_from_slice(bytes));
        self.ask(|reply| SerialMessage::Write { writer, bytes, take, reply }).await
    }

    /// Makes the next message kill the actor.
    pub async fn kill(&self) {
        self.ctx.chaos.arm(farmhand_runtime::ChaosRole::Serial, 1);
        let name = self.ctx.names.serial(&self.device);
        let asked = ask_once(&name, LONG, |reply| SerialMessage::Position { reply });
        assert!(asked.await.is_err(), "it was to die of this");
    }

    pub fn recording(&self) -> Vec<u8> {
        let mut files: Vec<_> = std::fs::read_dir(self.ctx.paths.recording(&self.device)).unwrap().collect();
        files.sort_by_key(|file| file.as_ref().unwrap().path());
        files.into_iter().flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }
}

async fn spawn(
    ctx: &Ctx,
    device: &DeviceName,
    keeper: &PortKeeper,
    segment_bytes_max: u64,
) -> (ActorRef<SerialMessage>, JoinHandle<()>) {
    let args =
        SerialArgs { ctx: ctx.clone(), device: device.clone(), keeper: keeper.clone(), segment_bytes_max };
    Actor::spawn(Some(ctx.names.serial(device)), SerialActor, args).await.unwrap()
}

/// Looks until it is so.
pub async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !is_so().await {
        assert!(Instant::now() < until, "it never came");
        sleep(Duration::from_millis(2)).await;
    }
}

/// The reader's next item.
pub async fn next(reader: &mut Reader) -> LogItem {
    timeout(LONG, reader.recv()).await.expect("there is more").expect("the stream goes on")
}

/// Reads until so many bytes came: the items.
pub async fn read(reader: &mut Reader, bytes: usize) -> Vec<LogItem> {
    let mut items = Vec::new();
    let mut got = 0;
    while got < bytes {
        let item = next(reader).await;
        if let LogItem::Chunk { bytes, .. } = &item {
            got += bytes.len();
        }
        items.push(item);
    }
    assert_eq!(got, bytes);
    items
}

/// The bytes of items, each at its offset after the last.
pub fn text(items: &[LogItem]) -> Vec<u8> {
    let mut end = None;
    let mut text = Vec::new();
    for item in items {
        if let LogItem::Chunk { offset, bytes, .. } = item {
            assert_eq!(*offset, *end.get_or_insert(*offset), "chunks follow each other");
            text.extend_from_slice(bytes);
            end = Some(offset + bytes.len() as u64);
        }
    }
    text
}

/// The bytes of an epoch.
pub fn of_epoch(items: &[LogItem], epoch: u64) -> Vec<u8> {
    let of = |item: &LogItem| matches!(item, LogItem::Chunk { epoch: of, .. } if *of == Epoch(epoch));
    text(&items.iter().filter(|item| of(item)).cloned().collect::<Vec<_>>())
}

/// Items without their bytes, as words.
pub fn marks(items: &[LogItem]) -> Vec<String> {
    let mark = |item: &LogItem| match item {
        LogItem::Chunk { .. } => None,
        LogItem::EpochBegan { epoch, cause, .. } => Some(format!("epoch {epoch} {cause:?}")),
        LogItem::Lent { .. } => Some("lent".into()),
        LogItem::Returned { .. } => Some("returned".into()),
        LogItem::Gap { why, .. } => Some(format!("gap: {why}")),
        LogItem::Lost { bytes, dropped, .. } => Some(format!("lost {bytes} {dropped}")),
    };
    items.iter().filter_map(mark).collect()
}

/// A program that holds a file open.
pub fn holder(of: OwnedFd) -> std::process::Child {
    Command::new("sleep").arg("600").stdin(of).spawn().unwrap()
}
