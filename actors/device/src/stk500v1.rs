//! STK500v1, as optiboot and the older loaders of Arduino boards speak it: a driver over the codec and the machines
//! of `farmhand_wire::stk500v1`.

#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use farmhand_image::Image;
use farmhand_records::v1::{HandoffKind, Identity};
use farmhand_runtime::{Failpoint, failpoint};
use farmhand_wire::stk500v1::{
    ANSWER_WITHIN, Command, Comparison, Dialogue, Doing, Fed, HostError, Identify, Leave, Page, Progress,
    ReplyParser, SYNC_ANSWER_WITHIN, SYNC_ATTEMPTS, Signature, Synced, Synchronize, VerifyPages, WireOptions,
    WritePages,
};
use tokio::time::Instant;

use crate::driver::{
    Acknowledged, Driver, DriverError, Epochs, HandoffError, Step, Told, Transport, Written,
};
use crate::link::{Link, LinkError, TalkError};

/// How often a board is reset before it counts as one that does not answer: 4.5 s with three questions after each.
const RESETS_MAX: u32 = 3;

/// Resets that one transfer may make: those of its first entry, and one more where the first was broken off.
pub const RESETS_PER_TRANSFER_MAX: usize = RESETS_MAX as usize + 1;

/// For the answer to a question whether the loader is still there. A loader answers within a millisecond, and a USB
/// adapter holds it back 16 ms; a machine short of time takes longer, and the loader waits 1 s (optiboot, WATCHDOG_1S).
const AWAKE_WITHIN: Duration = Duration::from_millis(400);

/// What flash holds where nothing was written.
const ERASED: u8 = 0xff;

/// Two bytes of address, then the page, in one write: a round trip less for each page. Optiboot's answer to the address
/// is two bytes, which its transmitter takes at once, so that it is back at its receiver before a byte is lost; a
/// loader that cannot is found out by the loader's own silence or the verify, and the transfer is done again without.
const QUICK: WireOptions = WireOptions { coalesce: true };
/// One command at a time.
const CAREFUL: WireOptions = WireOptions { coalesce: false };

/// The driver of one board.
#[derive(Debug, Clone)]
pub struct Stk500v1 {
    signature: Signature,
    page_bytes: NonZeroU32,
    flash_bytes_max: u32,
    baud: u32,
    handed_off: bool,
}

/// Why a board's configuration is not one for this driver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// AVRs have three bytes of signature.
    #[error("a signature of {0} bytes is not one of an AVR, which has three")]
    Signature(usize),
    /// A flash page has a size.
    #[error("a flash page of 0 bytes")]
    Page,
}

impl Stk500v1 {
    /// For a board with this signature, flash page size and flash size (bytes), whose loader speaks at `baud`.
    pub fn new(
        signature: &[u8],
        page_bytes: u32,
        flash_bytes_max: u32,
        baud: u32,
    ) -> Result<Self, ConfigError> {
        let three = signature.try_into().map_err(|_| ConfigError::Signature(signature.len()))?;
        let page_bytes = NonZeroU32::new(page_bytes).ok_or(ConfigError::Page)?;
        Ok(Self { signature: Signature(three), page_bytes, flash_bytes_max, baud, handed_off: false })
    }

    fn pages(&self, image: &Image) -> Result<Vec<Page>, DriverError> {
        image
            .check_fits(u64::from(self.flash_bytes_max))
            .map_err(|error| DriverError::Image(error.to_string()))?;
        let page = |page: farmhand_image::Page| {
            Page::new(page.address, page.bytes).map_err(|error| error.to_string())
        };
        let pages: Result<Vec<_>, _> = image.pages(self.page_bytes, ERASED).map(page).collect();
        pages.map_err(DriverError::Image)
    }

    /// Whether it is the chip that the board is said to have; a wrong one is never written.
    fn check(&self, synced: &Synced) -> Result<(), DriverError> {
        if synced.signature == self.signature {
            return Ok(());
        }
        Err(DriverError::WrongSignature { found: named(synced.signature), wanted: named(self.signature) })
    }

    async fn compare(
        link: &mut Link,
        pages: Vec<Page>,
        options: WireOptions,
        step: Step,
        told: Told<'_>,
    ) -> Result<Comparison, DriverError> {
        let mut machine = Dialogue::new(VerifyPages::new(pages, options));
        let told = |Progress { bytes_done, bytes_total }| told(step, bytes_done, bytes_total);
        let (comparison, unused) = link.talk(&mut machine, ANSWER_WITHIN, told).await?;
        nothing_behind(Doing::Read(0), unused)?;
        Ok(comparison)
    }

    async fn write(
        link: &mut Link,
        pages: Vec<Page>,
        options: WireOptions,
        told: Told<'_>,
    ) -> Result<(), DriverError> {
        let mut machine = Dialogue::new(WritePages::new(pages, options));
        let mut before = 0;
        let told = |Progress { bytes_done, bytes_total }| {
            if bytes_done > before {
                before = bytes_done;
                failpoint(Failpoint::PageWritten);
            }
            told(Step::Write, bytes_done, bytes_total);
        };
        let ((), unused) = link.talk(&mut machine, ANSWER_WITHIN, told).await?;
        nothing_behind(Doing::Write(0), unused)?;
        failpoint(Failpoint::WriteAfter);
        Ok(())
    }

    /// One pass over a device that is prepared.
    async fn put(
        &self,
        link: &mut Link,
        pages: &[Page],
        holds: bool,
        options: WireOptions,
        told: Told<'_>,
    ) -> Result<Written, DriverError> {
        let mut to_write = pages.to_vec();
        if holds {
            let found = Self::compare(link, pages.to_vec(), options, Step::Compare, told).await?;
            to_write = found.differences.iter().map(|differs| pages[differs.page_index].clone()).collect();
        }
        let bytes = to_write.iter().map(|page| page.data().len() as u64).sum();
        if !to_write.is_empty() {
            Self::write(link, to_write.clone(), options, told).await?;
            // Pages that were equal have been read in this stay; these have not.
            let found = Self::compare(link, to_write, options, Step::Verify, told).await?;
            if let Some(first) = found.differences.first() {
                let (address, expected, found) = (first.address, first.expected, first.found);
                return Err(DriverError::Verify { address, expected, found });
            }
        }
        failpoint(Failpoint::VerifyAfter);
        Ok(Written { bytes })
    }
}

/// The loader says nothing that it is not asked: more would be another's voice, or an answer out of step.
fn nothing_behind(doing: Doing, unused: Vec<u8>) -> Result<(), DriverError> {
    if unused.is_empty() {
        return Ok(());
    }
    Err(TalkError::Host(HostError::Unasked { doing, bytes: unused }).into())
}

/// A signature, with the chip's name where it is one of an Arduino's (data sheets, "Signature Bytes").
fn named(signature: Signature) -> String {
    let name = match signature.0 {
        [0x1e, 0x93, 0x07] => "an ATmega8",
        [0x1e, 0x93, 0x0a] => "an ATmega88",
        [0x1e, 0x93, 0x0f] => "an ATmega88P",
        [0x1e, 0x94, 0x06] => "an ATmega168",
        [0x1e, 0x94, 0x0b] => "an ATmega168P",
        [0x1e, 0x95, 0x0f] => "an ATmega328P",
        [0x1e, 0x95, 0x14] => "an ATmega328",
        [0x1e, 0x95, 0x16] => "an ATmega328PB",
        [0x1e, 0x95, 0x87] => "an ATmega32U4",
        [0x1e, 0x97, 0x03] => "an ATmega1280",
        [0x1e, 0x97, 0x05] => "an ATmega1284P",
        [0x1e, 0x98, 0x01] => "an ATmega2560",
        _ => return signature.to_string(),
    };
    format!("{signature}, {name}")
}

#[async_trait]
impl Driver for Stk500v1 {
    fn handoff_kind(&self) -> HandoffKind {
        HandoffKind::Repeatable
    }

    fn fits(&self, image: &Image) -> Result<(), DriverError> {
        self.pages(image).map(drop)
    }

    async fn probe(&mut self, way: &mut Transport) -> Result<bool, LinkError> {
        Ok(self.keep_awake(way).await?.is_ok())
    }

    async fn prepare(&mut self, way: &mut Transport, epochs: &mut Epochs) -> Result<Identity, DriverError> {
        way.link.baud(self.baud).await?;
        let mut resets = 0;
        let (synced, unused) = loop {
            failpoint(Failpoint::LoaderBefore);
            // What the program said until now was its console's; it is of no use to us.
            drop(way.link.pending());
            self.reset(way, epochs).await?;
            resets += 1;
            let mut machine = Synchronize::new(SYNC_ATTEMPTS);
            match way.link.talk(&mut machine, SYNC_ANSWER_WITHIN, |_| ()).await {
                Ok(found) => break found,
                Err(error @ (TalkError::Link(_) | TalkError::Stopped)) => return Err(error.into()),
                Err(last) if resets == RESETS_MAX => return Err(DriverError::NoLoader { resets, last }),
                Err(_) => {}
            }
        };
        nothing_behind(Doing::ReadSignature, unused)?;
        failpoint(Failpoint::LoaderAfter);
        self.check(&synced)?;
        let mut machine = Dialogue::new(Identify::after(&synced));
        let (found, unused) = way.link.talk(&mut machine, ANSWER_WITHIN, |_| ()).await?;
        nothing_behind(Doing::ReadVersion, unused)?;
        self.handed_off = false;
        Ok(Identity { signature: found.signature.0.to_vec(), loader: format!("optiboot {}", found.loader) })
    }

    async fn transfer(
        &mut self,
        way: &mut Transport,
        epochs: &mut Epochs,
        image: &Image,
        holds: bool,
        told: Told<'_>,
    ) -> Result<Written, DriverError> {
        let pages = self.pages(image)?;
        let first = match self.put(&mut way.link, &pages, holds, QUICK, told).await {
            Err(error @ (DriverError::Talk(TalkError::Host(_)) | DriverError::Verify { .. })) => error,
            done => return done,
        };
        // Once more from the start: programming may be redone. A board that fails for good fails again.
        tracing::warn!(%first, "the transfer broke off; once more, one command at a time");
        self.prepare(way, epochs).await?;
        self.put(&mut way.link, &pages, false, CAREFUL, told).await
    }

    async fn keep_awake(&mut self, way: &mut Transport) -> Result<Result<(), Vec<u8>>, LinkError> {
        let mut question = Vec::new();
        Command::GetSync.encode(&mut question);
        let mut parser = ReplyParser::new(&Command::GetSync);
        way.link.write(question).await?;
        let until = Instant::now() + AWAKE_WITHIN;
        let mut heard = Vec::new();
        while let Some(bytes) = way.link.read(until).await? {
            heard.extend_from_slice(&bytes);
            match parser.feed(&bytes) {
                Fed::Need => {}
                Fed::Reply { unused: [], .. } => return Ok(Ok(())),
                // Not the loader, or not the loader alone.
                Fed::Reply { .. } | Fed::Error { .. } => return Ok(Err(heard)),
            }
        }
        Ok(Err(heard))
    }

    async fn handoff(&mut self, way: &mut Transport) -> Result<Acknowledged, HandoffError> {
        let ambiguous = |why: &dyn std::fmt::Display| HandoffError::Ambiguous(why.to_string());
        if self.handed_off {
            return Err(HandoffError::Ambiguous("it was issued before".into()));
        }
        // Nothing is issued to a loader that has gone: then nothing is ambiguous.
        match self.keep_awake(way).await {
            Ok(Ok(())) => {}
            Ok(Err(heard)) => {
                let why = format!("it was asked, and said \"{}\"", heard.escape_ascii());
                return Err(HandoffError::LoaderGone { why, heard });
            }
            Err(error) => return Err(HandoffError::LoaderGone { why: error.to_string(), heard: Vec::new() }),
        }
        self.handed_off = true;
        failpoint(Failpoint::HandoffBefore);
        let mut machine = Dialogue::new(Leave);
        match way.link.talk(&mut machine, ANSWER_WITHIN, |_| ()).await {
            Ok(((), unread)) => {
                failpoint(Failpoint::HandoffAfter);
                Ok(Acknowledged { unread, said: "leave programming: in sync, ok (0x14 0x10)".into() })
            }
            Err(error) => Err(ambiguous(&error)),
        }
    }
}
