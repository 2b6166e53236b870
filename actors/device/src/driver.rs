//! What a driver is: how one family of boards is reset, written, sent on its way and asked.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use farmhand_image::Image;
use farmhand_records::Epoch;
use farmhand_records::v1::{Evidence, HandoffKind, Identity, LoaderStay};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::evidence::{Try, after_asking, before_asking};
use crate::link::{Link, LinkError, TalkError};
use crate::reset::ResetLine;

/// For the recorder to begin an epoch; it writes it to its segment.
const RECORDED_WITHIN: Duration = Duration::from_secs(10);

/// The way to a device: its port, and what resets it.
#[derive(Debug)]
pub struct Transport {
    /// Its port.
    pub link: Link,
    /// Its reset.
    pub reset: ResetLine,
}

/// A reset that is about to be made: the epoch that it begins, and where to say that it is recorded.
pub type Resetting = (Epoch, oneshot::Sender<()>);

/// Epochs that are durable and that a driver may begin, in order: one for each reset that it makes.
#[derive(Debug)]
pub struct Epochs {
    left: VecDeque<Epoch>,
    begun: Option<Epoch>,
    tell: mpsc::Sender<Resetting>,
}

impl Epochs {
    /// These, in order, and where a reset is told of.
    #[must_use]
    pub fn new(epochs: impl IntoIterator<Item = Epoch>) -> (Self, mpsc::Receiver<Resetting>) {
        // One at a time: a driver waits for each.
        let (tell, resets) = mpsc::channel(1);
        (Self { left: epochs.into_iter().collect(), begun: None, tell }, resets)
    }

    /// The next, not begun; none where all are used up.
    pub fn take(&mut self) -> Option<Epoch> {
        self.left.pop_front()
    }

    /// Begins the next for a reset that is about to be made. Before it: if we end in between, the program that goes on
    /// is in an epoch that nobody owns, and not the one after the reset in an old one.
    async fn begin(&mut self) -> Result<(), DriverError> {
        let epoch = self.take().ok_or_else(|| DriverError::Reset("no epoch is left for it".into()))?;
        let (recorded, done) = oneshot::channel();
        let gone = |_| DriverError::Reset("its epoch could not be recorded".into());
        self.tell.send((epoch, recorded)).await.map_err(|_| gone(()))?;
        timeout(RECORDED_WITHIN, done).await.map_err(|_| gone(()))?.map_err(|_| gone(()))?;
        self.begun = Some(epoch);
        Ok(())
    }

    /// The last that was begun.
    #[must_use]
    pub fn begun(&self) -> Option<Epoch> {
        self.begun
    }
}

/// What is being done, for those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Reading what is there.
    Compare,
    /// Writing.
    Write,
    /// Reading back.
    Verify,
}

/// Hears how far a transfer is: the step, bytes so far, bytes in all.
pub type Told<'a> = &'a mut (dyn FnMut(Step, u64, u64) + Send);

/// How much had to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Bytes written; 0 where the device held the image already.
    pub bytes: u64,
}

/// What a device said when it was sent on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Bytes that came behind its answer: the program's first, to the byte.
    pub unread: Vec<u8>,
    /// The answer, in words.
    pub said: String,
}

/// Why a driver did not do it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DriverError {
    /// Nobody answers in its loader.
    #[error("no loader answers after {resets} resets: {last}")]
    NoLoader {
        /// How often it was reset.
        resets: u32,
        /// What the last try heard.
        last: TalkError,
    },
    /// It is another chip.
    #[error("has another signature (found {found}; wants {wanted})")]
    WrongSignature {
        /// As read, with a name where there is one.
        found: String,
        /// As configured.
        wanted: String,
    },
    /// What was read back is not what was written.
    #[error("reads back {found:#04x} at {address:#07x} where {expected:#04x} was written")]
    Verify {
        /// The first byte's address.
        address: u32,
        /// What was written.
        expected: u8,
        /// What is there.
        found: u8,
    },
    /// The image is not for this device.
    #[error("{0}")]
    Image(String),
    /// The conversation broke off.
    #[error(transparent)]
    Talk(#[from] TalkError),
    /// It could not be reset.
    #[error("reset: {0}")]
    Reset(String),
}

impl From<LinkError> for DriverError {
    fn from(error: LinkError) -> Self {
        Self::Talk(error.into())
    }
}

/// Why a handoff was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandoffError {
    /// The device had left its loader before: the command was not issued.
    #[error("the loader does not answer any more: {why}")]
    LoaderGone {
        /// What was heard instead of an answer, in words.
        why: String,
        /// What came: the program's output.
        heard: Vec<u8>,
    },
    /// It was issued, or may have been, and no acknowledgement came.
    #[error("{0}")]
    Ambiguous(String),
}

/// One family of boards. Nothing here is durable: the actor records before and after.
#[async_trait]
pub trait Driver: Send + std::fmt::Debug {
    /// Whether its handoff may be repeated, where the job says nothing.
    fn handoff_kind(&self) -> HandoffKind;

    /// Whether this image is for this device; asked before anything is sent.
    fn fits(&self, image: &Image) -> Result<(), DriverError>;

    /// Whether the device answers in its loader now. Neither resets it nor changes anything; what it says to an
    /// application that runs instead is the application's to ignore.
    async fn probe(&mut self, way: &mut Transport) -> Result<bool, LinkError>;

    /// Brings the device into its loader and makes sure that it is the right one.
    async fn prepare(&mut self, way: &mut Transport, epochs: &mut Epochs) -> Result<Identity, DriverError>;

    /// Puts the image on a device that is prepared and reads it back; `holds`: it is thought to be there already.
    /// May prepare again. Leaves the device in its loader.
    async fn transfer(
        &mut self,
        way: &mut Transport,
        epochs: &mut Epochs,
        image: &Image,
        holds: bool,
        told: Told<'_>,
    ) -> Result<Written, DriverError>;

    /// Keeps a loader from giving up; false where it does not answer, with what came instead.
    async fn keep_awake(&mut self, way: &mut Transport) -> Result<Result<(), Vec<u8>>, LinkError>;

    /// Sends it on its way: **the handoff**. Issues its command at most once.
    async fn handoff(&mut self, way: &mut Transport) -> Result<Acknowledged, HandoffError>;

    /// What is known of a handoff of which nobody knows whether it was done, from a port that is open. Neither resets
    /// nor issues anything. See [`crate::evidence`].
    async fn evidence(&mut self, way: &mut Transport, of: &Try, noted: &LoaderStay) -> Evidence {
        let before = way.reset.counts().await;
        if let Some(known) = before_asking(of, Some(noted), before.as_ref()) {
            return known;
        }
        let answered = matches!(self.probe(way).await, Ok(true));
        let after = way.reset.counts().await;
        after_asking(of, Some(noted), answered, after.as_ref())
    }

    /// Resets it, in an epoch of its own.
    async fn reset(&mut self, way: &mut Transport, epochs: &mut Epochs) -> Result<(), DriverError> {
        epochs.begin().await?;
        way.reset.pulse(&mut way.link).await
    }
}
