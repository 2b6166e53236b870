//! The task that owns port and recorder. One `select!`; nothing in it waits for a reader, and no bytes are between
//! two awaits: what was read is recorded, or with the borrower, before anything else happens.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use farmhand_api::EventBody;
use farmhand_messages::device::DeviceMessage;
use farmhand_messages::serial::{PortError, PortNews, SerialMessage};
use farmhand_records::{DeviceName, FencingToken, v1};
use farmhand_runtime::{Ctx, save, tell};
use farmhand_store::{Durability, StoreError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_serial::SerialStream;

use crate::entry::CHUNK_BYTES_MAX;
use crate::keeper::{Kept, PortKeeper};
use crate::loan::{LOAN_CHUNKS, Loan, LoanEvent};
use crate::port;
use crate::readers::Ask;
use crate::recorder::{Recorder, now};
use crate::route::{Route, To};
use crate::writes::{Writer, Writes};

/// Questions of readers that wait: each reader has one at a time.
pub(crate) const ASKS: usize = 256;
/// How often the disk is tried again, and the place looked at.
const TICK: Duration = Duration::from_millis(500);
/// Ticks between two saves of the place: it only says where to look first.
const SAVE_TICKS: u32 = 10;
/// Console bytes that trickle in are recorded together: at most a record in this time, after a first one at once. A
/// header for each byte of a slow line would fill the disk; a USB adapter waits longer by itself.
const TOGETHER: Duration = Duration::from_millis(4);
/// A read of so many bytes is no trickle.
const TRICKLE_BYTES: usize = 1024;
/// Reads that empty the kernel's buffer (4 KiB, a PTY's somewhat more), at the most: a flood has no end.
const DRAIN_READS_MAX: usize = 32;

/// What the actor passes on.
#[derive(Debug)]
pub(crate) enum Order {
    Message(SerialMessage),
    /// The actor ends: sync, and say how far the recorder is.
    Stop(oneshot::Sender<v1::Serial>),
}

/// A port that is open.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) stream: SerialStream,
    pub(crate) kept: Arc<Kept>,
}

/// Why the port is not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It was not opened since the actor started.
    NotYet,
    Closed,
    Vanished,
}

impl Absent {
    pub(crate) fn error(self) -> PortError {
        match self {
            Self::NotYet | Self::Closed => PortError::Closed,
            Self::Vanished => PortError::Vanished,
        }
    }
}

type Saving = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

pub(crate) struct Task {
    pub(crate) ctx: Ctx,
    pub(crate) device: DeviceName,
    pub(crate) dir: PathBuf,
    pub(crate) keeper: PortKeeper,
    pub(crate) recorder: Recorder,
    pub(crate) port: Option<Port>,
    pub(crate) absent: Absent,
    /// This incarnation began an epoch.
    pub(crate) began_here: bool,
    pub(crate) route: Route,
    pub(crate) loan: Option<Loan>,
    pub(crate) writes: Writes,
    pub(crate) writer: Writer,
    /// The newest token that was seen.
    pub(crate) token: FencingToken,
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) readers: JoinSet<()>,
    /// Syncs under way.
    pub(crate) syncs: JoinSet<()>,
    /// The place is to be saved at once.
    pub(crate) save_now: bool,
    saved: Option<v1::Serial>,
    /// The console is not read before.
    gate: Instant,
    buffer: Vec<u8>,
}

enum Event {
    Order(Order),
    Loan(LoanEvent),
    Io(Io),
    Stalled,
    Ask(Ask),
    Joined(Result<(), JoinError>),
    Saved(Result<(), StoreError>),
    Tick,
}

enum Io {
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
}

impl Task {
    pub(crate) fn new(
        ctx: Ctx,
        device: DeviceName,
        keeper: PortKeeper,
        recorder: Recorder,
        asks: mpsc::Sender<Ask>,
    ) -> Self {
        Self {
            dir: ctx.paths.recording(&device),
            ctx,
            device,
            keeper,
            recorder,
            port: None,
            absent: Absent::NotYet,
            began_here: false,
            route: Route::default(),
            loan: None,
            writes: Writes::default(),
            writer: Writer::default(),
            token: FencingToken::default(),
            asks,
            readers: JoinSet::new(),
            syncs: JoinSet::new(),
            save_now: false,
            saved: None,
            gate: Instant::now(),
            buffer: vec![0; CHUNK_BYTES_MAX],
        }
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        mut asks: mpsc::Receiver<Ask>,
    ) -> Infallible {
        self.adopt();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticks = 0_u32;
        let mut saving: Option<Saving> = None;
        loop {
            self.tell_notes();
            if self.recorder.rotated() {
                self.save_now = true;
                self.sync(false, || {});
            }
            if self.save_now && saving.is_none() {
                self.save_now = false;
                saving = self.save();
            }
            let event = self.event(&mut orders, &mut asks, &mut tick, &mut saving).await;
            match event {
                Event::Order(order) => self.order(order).await,
                Event::Loan(LoanEvent::Command(Some(command))) => self.command(command),
                Event::Loan(LoanEvent::Command(None)) => self.give_back(),
                Event::Loan(LoanEvent::Room) => {}
                Event::Loan(LoanEvent::Asleep) => self.revoke("its borrower took nothing for 2 s"),
                Event::Io(Io::Read(Ok(0))) => self.vanished("it hung up"),
                Event::Io(Io::Read(Ok(bytes))) => {
                    let chunk = Bytes::copy_from_slice(&self.buffer[..bytes]);
                    self.chunk(chunk);
                }
                Event::Io(Io::Wrote(Ok(bytes))) => self.writes.wrote(bytes),
                Event::Io(Io::Read(Err(error)) | Io::Wrote(Err(error))) => {
                    if port::is_gone(&error) {
                        self.vanished(&error.to_string());
                    }
                }
                Event::Stalled => self.writes.fail(&PortError::Stalled),
                Event::Ask((seq, reply)) => {
                    let _reader_is_gone = reply.send(self.recorder.after(seq));
                }
                Event::Joined(Ok(())) => {}
                Event::Joined(Err(error)) if error.is_panic() => {
                    std::panic::resume_unwind(error.into_panic())
                }
                Event::Joined(Err(_)) => {}
                Event::Saved(how) => {
                    saving = None;
                    if let Err(error) = how {
                        tracing::warn!(%error, device = %self.device, "the recorder's place is not saved");
                    }
                }
                Event::Tick => {
                    ticks = ticks.wrapping_add(1);
                    self.save_now |= ticks.is_multiple_of(SAVE_TICKS);
                    self.recorder.tick(now());
                }
            }
        }
    }

    async fn event(
        &mut self,
        orders: &mut mpsc::Receiver<Order>,
        asks: &mut mpsc::Receiver<Ask>,
        tick: &mut tokio::time::Interval,
        saving: &mut Option<Saving>,
    ) -> Event {
        let blocked = self.loan.as_ref().is_some_and(Loan::is_blocked);
        // A borrower's commands are done in their order: the next when what it writes is written.
        let idle = self.writes.is_empty();
        let gate = self.route.is_console().then_some(self.gate);
        let next = self.writes.next();
        let io = io(self.port.as_mut(), !blocked, gate, next.as_deref(), &mut self.buffer);
        let loan = async {
            match &mut self.loan {
                Some(loan) => Event::Loan(loan.next(idle).await),
                None => pending().await,
            }
        };
        let saved = async {
            match saving {
                Some(saving) => Event::Saved(saving.await),
                None => pending().await,
            }
        };
        tokio::select! {
            // An actor that is gone has no orders; its task records on until it is ended.
            Some(order) = orders.recv() => Event::Order(order),
            event = loan => event,
            io = io => Event::Io(io),
            () = self.writes.stalled() => Event::Stalled,
            Some(ask) = asks.recv() => Event::Ask(ask),
            Some(joined) = self.readers.join_next() => Event::Joined(joined),
            Some(joined) = self.syncs.join_next() => Event::Joined(joined),
            saved = saved => saved,
            _ = tick.tick() => Event::Tick,
        }
    }

    /// Goes on with the port of a predecessor, in its epoch: nothing was closed, and what the device said since waits
    /// in the kernel.
    fn adopt(&mut self) {
        if self.recorder.is_lent() {
            self.recorder.returned(now());
        }
        let Some(kept) = self.keeper.get().filter(|kept| kept.has_begun()) else { return };
        match port::stream(&kept) {
            Ok(stream) => self.port = Some(Port { stream, kept }),
            Err(error) => self.vanished(&error.to_string()),
        }
    }

    /// Takes what the device said.
    pub(crate) fn chunk(&mut self, chunk: Bytes) {
        let taken = self.loan.as_ref().map_or(0, Loan::taken);
        match self.route.chunk(&chunk, taken) {
            To::Recorder => {
                self.recorder.chunk(&chunk, now());
                if chunk.len() < TRICKLE_BYTES {
                    self.gate = Instant::now() + TOGETHER;
                }
            }
            To::Borrower => {
                if let Some(loan) = &mut self.loan {
                    loan.send(chunk);
                }
                // Beyond what its channel holds: it dropped the receiver, and kept the rest.
                if self.route.untaken() > 2 * LOAN_CHUNKS {
                    self.revoke("its borrower does not read");
                }
            }
        }
    }

    /// Records what waits in the kernel's buffer.
    pub(crate) fn drain(&mut self) {
        for _ in 0..DRAIN_READS_MAX {
            let Some(port) = self.port.as_mut().filter(|_| self.route.is_console()) else { return };
            match port.stream.try_read(&mut self.buffer) {
                Ok(0) => return self.vanished("it hung up"),
                Ok(bytes) => {
                    let chunk = Bytes::copy_from_slice(&self.buffer[..bytes]);
                    self.chunk(chunk);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if port::is_gone(&error) => return self.vanished(&error.to_string()),
                Err(_) => return,
            }
        }
    }

    /// The port is gone.
    fn vanished(&mut self, why: &str) {
        self.port = None;
        self.absent = Absent::Vanished;
        self.keeper.clear();
        self.recorder.gap(&format!("the port vanished: {why}"), now());
        self.writes.fail(&PortError::Vanished);
        // Its borrower may still begin the epoch that it was about to, with what it has read.
        if let Some(loan) = &mut self.loan {
            loan.stop_bytes();
        }
        tell(&self.ctx.names.device(&self.device), DeviceMessage::Port(PortNews::Vanished));
    }

    /// Syncs what was written, in a thread; with the segment being written, or without. `then` is called after it.
    pub(crate) fn sync(&mut self, with_open: bool, then: impl FnOnce() + Send + 'static) {
        let files = self.recorder.take_unsynced(with_open);
        let dir = self.dir.clone();
        self.syncs.spawn_blocking(move || {
            let synced = files.iter().try_for_each(std::fs::File::sync_data);
            if let Err(error) = synced.and_then(|()| farmhand_runtime::sync_dir(&dir)) {
                tracing::warn!(%error, "a recording may not survive a loss of power");
            }
            then();
        });
    }

    fn save(&mut self) -> Option<Saving> {
        let place = self.recorder.place(&self.device);
        if self.saved.as_ref() == Some(&place) {
            return None;
        }
        self.saved = Some(place.clone());
        let (store, incarnation) = (self.ctx.store.clone(), self.ctx.incarnation);
        Some(Box::pin(async move { save(&store, &place, incarnation, Durability::Progress).await.map(drop) }))
    }

    pub(crate) fn tell_notes(&mut self) {
        for note in self.recorder.take_notes() {
            tracing::warn!(device = %self.device, "{note}");
            self.ctx.event(None, Some(&self.device), EventBody::Note(note));
        }
    }
}

/// Reads or writes, whichever can be done. Safe to cancel: what was read or written is always told.
async fn io(
    port: Option<&mut Port>,
    read: bool,
    gate: Option<Instant>,
    write: Option<&[u8]>,
    buffer: &mut [u8],
) -> Io {
    let Some(port) = port else { return pending().await };
    let mut open = pin!(sleep_until(gate.unwrap_or_else(Instant::now)));
    let mut is_open = gate.is_none_or(|gate| gate <= Instant::now());
    poll_fn(|cx| {
        is_open = is_open || open.as_mut().poll(cx).is_ready();
        if read && is_open {
            let mut buffer = ReadBuf::new(buffer);
            if let Poll::Ready(how) = Pin::new(&mut port.stream).poll_read(cx, &mut buffer) {
                return Poll::Ready(Io::Read(how.map(|()| buffer.filled().len())));
            }
        }
        if let Some(bytes) = write
            && let Poll::Ready(how) = Pin::new(&mut port.stream).poll_write(cx, bytes)
        {
            return Poll::Ready(Io::Wrote(how));
        }
        Poll::Pending
    })
    .await
}
