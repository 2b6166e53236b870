//! farmhand's own driver over the real serial actor, which records as it does in a farm.

use std::path::Path;
use std::time::{Duration, Instant};

use farmhand_api::EpochCause;
use farmhand_device::Stk500v1;
use farmhand_device::driver::{Driver as _, Epochs, Resetting, Transport};
use farmhand_device::link::Link;
use farmhand_device::reset::ResetLine;
use farmhand_device::virtual_uno::Board;
use farmhand_image::Image;
use farmhand_messages::serial::{LentPort, PortError, PortSpec};
use farmhand_messages::{Names, SerialMessage};
use farmhand_records::{DeviceName, Epoch, FencingToken, Incarnation, SessionId};
use farmhand_runtime::{Chaos, Ctx, Effects, Paths, ask_once};
use farmhand_serial::{PortKeeper, SEGMENT_BYTES_MAX, SerialActor, SerialArgs};
use farmhand_store::StoreHandle;
use ractor::{Actor, ActorRef, RpcReplyPort};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::BAUD;
use crate::Failure;

/// Nothing that is asked takes long; what takes this long has failed.
const WITHIN: Duration = Duration::from_secs(30);
/// The ATmega328P's (data sheet, "Signature Bytes").
const SIGNATURE: [u8; 3] = [0x1e, 0x95, 0x0f];
/// Its flash page, in bytes.
const PAGE_BYTES: u32 = 128;
/// What optiboot leaves, in bytes (Arduino's boards.txt, `uno.upload.maximum_size`).
const FLASH_BYTES: u32 = 32_256;
/// Epochs of one upload: a reset, the handoff, and what a second try takes.
const EPOCHS: u64 = 8;

/// A device's console: its serial actor, and the epochs that were used.
pub(crate) struct Console {
    name: String,
    epoch: u64,
    actor: ActorRef<SerialMessage>,
    ended: JoinHandle<()>,
    store: StoreHandle,
}

impl Console {
    pub(crate) async fn start(folder: &Path, device: DeviceName) -> Result<Self, Failure> {
        let paths = Paths::new(folder.join("home"));
        let (store, _) = StoreHandle::open(paths.store()).await?;
        let ctx = Ctx {
            names: Names::new("bench"),
            store: store.clone(),
            paths,
            incarnation: Incarnation(1),
            effects: Effects::new(),
            chaos: Chaos::default(),
        };
        let name = ctx.names.serial(&device);
        let keeper = PortKeeper::new();
        let args = SerialArgs { ctx, device, keeper, segment_bytes_max: SEGMENT_BYTES_MAX };
        let (actor, ended) = Actor::spawn(Some(name.clone()), SerialActor, args).await?;
        Ok(Self { name, epoch: 0, actor, ended, store })
    }

    async fn ask<R: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<R>) -> SerialMessage,
    ) -> Result<R, Failure> {
        Ok(ask_once(&self.name, WITHIN, message).await?)
    }

    fn next(&mut self) -> Epoch {
        self.epoch += 1;
        Epoch(self.epoch)
    }

    /// From a port that is open to the loader's acknowledgement that the program runs. The port is closed again.
    pub(crate) async fn upload(
        &mut self,
        board: &Board,
        line: &Path,
        image: &Image,
    ) -> Result<Duration, Failure> {
        let spec = PortSpec { path: line.to_owned(), baud: BAUD, apart: false };
        let (current, reset_epoch) = (Epoch(self.epoch), self.next());
        self.ask(|reply| SerialMessage::Open { spec, current, reset_epoch, reply }).await??;
        let token = FencingToken(self.epoch);
        let port: LentPort = {
            let lent: Result<_, PortError> = self.ask(|reply| SerialMessage::Lend { token, reply }).await?;
            lent?
        };
        let mut way = Transport { link: Link::new(port), reset: ResetLine::Board(board.clone()) };
        let first = self.epoch + 1;
        self.epoch += EPOCHS;
        let (epochs, resets) = Epochs::new((first..=self.epoch).map(Epoch));
        let recording = tokio::spawn(record(self.name.clone(), resets));
        let time = drive(&mut way, epochs, image).await?;
        drop(way);
        recording.await?;
        self.ask(|reply| SerialMessage::Close { why: "measured".into(), reply }).await?;
        Ok(time)
    }

    pub(crate) async fn end(self) {
        self.actor.stop(None);
        // It is a benchmark's: what it could not write is of no use to anybody.
        let _failed = self.ended.await;
        let _failed = self.store.close().await;
    }
}

async fn drive(way: &mut Transport, mut epochs: Epochs, image: &Image) -> Result<Duration, Failure> {
    let mut driver = Stk500v1::new(&SIGNATURE, PAGE_BYTES, FLASH_BYTES, BAUD)?;
    let begun = Instant::now();
    driver.prepare(way, &mut epochs).await?;
    let written = driver.transfer(way, &mut epochs, image, false, &mut |_, _, _| ()).await?;
    let acknowledged = driver.handoff(way).await?;
    let time = begun.elapsed();
    if written.bytes < image.len() {
        return Err(format!("{} of {} bytes were written", written.bytes, image.len()).into());
    }
    let epoch = epochs.take().ok_or("all epochs were used up by resets")?;
    way.link.begin_epoch(epoch, EpochCause::Handoff(SessionId(1)), acknowledged.unread).await?;
    Ok(time)
}

/// Has each reset's epoch recorded before it is made, as the device actor does.
async fn record(serial: String, mut resets: mpsc::Receiver<Resetting>) {
    while let Some((epoch, recorded)) = resets.recv().await {
        let begin = |reply| SerialMessage::BeginEpoch { epoch, cause: EpochCause::Reset, reply };
        if ask_once(&serial, WITHIN, begin).await.is_ok() {
            let _driver_gone = recorded.send(());
        }
    }
}
