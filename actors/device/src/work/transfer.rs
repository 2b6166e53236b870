//! An image is put on the device, which then waits in its loader.

use farmhand_api::{EpochCause, EventBody, FlashStage};
use farmhand_image::Image;
use farmhand_messages::device::Payload;
use farmhand_records::v1::Identity;
use farmhand_records::{Epoch, FencingToken};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Ended, Stay, Stays, Tools};
use crate::driver::{Driver, DriverError, Epochs, Resetting, Step, Transport, Written};
use crate::evidence::Try;
use crate::problems;
use crate::state::{OnDevice, Outcome, Spoiled};
use crate::virtual_uno::Board;

/// To put an image on the device.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) of: Try,
    pub(crate) epochs: Vec<Epoch>,
    pub(crate) holds: bool,
    pub(crate) token: FencingToken,
    pub(crate) payload: Payload,
    pub(crate) console_baud: u32,
    pub(crate) board: Option<Board>,
    pub(crate) progress: Option<mpsc::Sender<EventBody>>,
    /// Cancelled once it is not wanted any more.
    pub(crate) stop: CancellationToken,
}

impl Transfer {
    /// Does it: from [`crate::state::Act::Transfer`].
    pub(crate) async fn run(mut self, tools: Tools) -> Ended {
        let untouched = Spoiled::untouched;
        let mut driver: Box<dyn Driver> = match tools.loader() {
            Ok(driver) => Box::new(driver),
            Err(problem) => return Outcome::Transferred(Err(untouched(*problem))).into(),
        };
        let Payload::Program { image, .. } = self.payload.clone() else {
            let why = "its driver writes programs, and neither boots images nor writes partitions";
            let spoiled = untouched(problems::out_of_order(&tools.config.name, why.into()));
            return Outcome::Transferred(Err(spoiled)).into();
        };
        if let Err(error) = driver.fits(&image) {
            let spoiled = untouched(problems::not_done(&tools.config.name, &error));
            return Outcome::Transferred(Err(spoiled)).into();
        }
        let mut way = match tools.borrow(self.token).await {
            Ok(link) => tools.way(link, self.board.as_ref()),
            Err(error) => {
                let spoiled =
                    untouched(problems::no_answer(&tools.config.name, "its port:", &error.to_string()));
                return Outcome::Transferred(Err(spoiled)).into();
            }
        };
        way.link.stop_with(self.stop.clone());
        let (mut epochs, resets) = Epochs::new(std::mem::take(&mut self.epochs));
        let put = self.put(&image, driver.as_mut(), &mut way, &mut epochs);
        let done = tokio::select! {
            done = put => done,
            never = tools.record_resets(resets) => match never {},
        };
        let counts = way.reset.counts().await;
        let starts = counts.map(|counts| counts.starts);
        match done {
            Ok((identity, Written { bytes })) => {
                let done = OnDevice {
                    image_bytes: image.len(),
                    written_bytes: bytes,
                    identity,
                    epoch: epochs.begun(),
                    starts,
                    handoffs: counts.map(|counts| counts.handoffs),
                };
                // The stay has its own end.
                way.link.stop_with(CancellationToken::new());
                let stay = Stay::new(self.of, way, driver, epochs, counts, self.console_baud);
                let outcome = Outcome::Transferred(Ok(done));
                Ended { counts, stay: Some(Stays::Loader(Box::new(stay))), ..outcome.into() }
            }
            Err(error) => {
                // The loader will give up by itself; what the program says then comes at the console's rate.
                let _port_gone = way.link.baud(self.console_baud).await;
                let problem = Box::new(problems::not_done(&tools.config.name, &error));
                let spoiled = Spoiled {
                    problem,
                    began: epochs.begun(),
                    starts,
                    touched: epochs.begun().is_some(),
                    ambiguous: false,
                };
                Ended { counts, ..Outcome::Transferred(Err(spoiled)).into() }
            }
        }
    }

    async fn put(
        &self,
        image: &Image,
        driver: &mut dyn Driver,
        way: &mut Transport,
        epochs: &mut Epochs,
    ) -> Result<(Identity, Written), DriverError> {
        let identity = driver.prepare(way, epochs).await?;
        let mut told = |step, done_bytes, total_bytes| {
            let stage = match step {
                Step::Compare => FlashStage::Compare,
                Step::Write => FlashStage::Write,
                Step::Verify => FlashStage::Verify,
            };
            if let Some(progress) = &self.progress {
                let _slow_reader_loses_it =
                    progress.try_send(EventBody::Flash { stage, done_bytes, total_bytes });
            }
        };
        let written = driver.transfer(way, epochs, image, self.holds, &mut told).await?;
        Ok((identity, written))
    }
}

impl Tools {
    /// Has the epoch of each reset recorded before it is made. A sender that is dropped makes the driver stop.
    async fn record_resets(&self, mut resets: mpsc::Receiver<Resetting>) -> std::convert::Infallible {
        while let Some((epoch, recorded)) = resets.recv().await {
            if self.begin_epoch(epoch, EpochCause::Reset).await.is_ok() {
                let _driver_gone = recorded.send(());
            }
        }
        std::future::pending().await
    }
}
