//! Writing what is larger than the device takes at once: piece by piece, each downloaded and written before the next.

use std::io;

use farmhand_wire::fastboot::{Command, Partition, Slot};

use super::commands::known;
use super::{Client, Listener};
use crate::fastboot::error::ClientError;
use crate::fastboot::pipe::PipeError;
use crate::fastboot::source::Source;

/// One image that the device takes at once: a whole one, or a sparse one that holds a part of a larger one.
pub struct Piece {
    /// Bytes to send.
    pub len: u32,
    /// Bytes that are written for it, for the deadline.
    pub writes: u64,
    /// They.
    pub source: Source,
}

/// An image as pieces. Each is made as it is read.
pub trait Pieces: Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// One of them, from 0. May be asked for again.
    fn piece(&self, at: usize) -> io::Result<Piece>;
}

impl Client {
    /// Downloads and writes the pieces from `from` on, in order. `written` is told each time the device has written one:
    /// what comes after a crash may begin there. A piece that was cut can be sent again.
    pub async fn flash_pieces(
        &mut self,
        partition: &Partition,
        pieces: &dyn Pieces,
        from: usize,
        written: &mut (dyn FnMut(usize) + Send),
        hear: &mut dyn Listener,
    ) -> Result<(), ClientError> {
        for at in from..pieces.count() {
            let piece = pieces.piece(at).map_err(|error| ClientError::Pipe {
                command: format!("flash:{partition}"),
                error: PipeError::Source(error),
            })?;
            let Piece { len, writes, source } = piece;
            self.download(source, len, hear).await?;
            self.flash(partition, Some(writes.max(u64::from(len))), hear).await?;
            written(at);
        }
        Ok(())
    }

    /// The partition that is meant on a device with slots: with the letter of the one that is active. As the tool people
    /// know asks it: `has-slot`, and only then `current-slot`.
    pub async fn in_active_slot(&mut self, partition: &Partition) -> Result<Partition, ClientError> {
        let command = format!("getvar:has-slot:{partition}");
        let wrong = |error| ClientError::Command { command: command.clone(), error };
        let has = format!("has-slot:{partition}").parse().map_err(wrong)?;
        if self.getvar(&has).await?.as_deref() != Some("yes") {
            return Ok(partition.clone());
        }
        // Some say `_a`.
        let slot = self.getvar(&known("current-slot")).await?.unwrap_or_default();
        match slot.trim_start_matches('_') {
            "" => Ok(partition.clone()),
            slot => format!("{partition}_{slot}").parse().map_err(wrong),
        }
    }

    /// A partition that lies in another (`super`) is made as large as what is written to it next; any other stays as it is.
    /// A device that does not know the question has none. As the tool people know: after its size and before the download.
    pub async fn make_room(
        &mut self,
        partition: &Partition,
        bytes: u64,
        hear: &mut dyn Listener,
    ) -> Result<(), ClientError> {
        if !self.is_logical(partition).await? {
            return Ok(());
        }
        let resize = Command::ResizeLogical { partition: partition.clone(), len: bytes };
        self.simple(&resize, None, hear).await.map(drop)
    }

    /// Whether it lies in another one, as far as the device knows the question.
    pub async fn is_logical(&mut self, partition: &Partition) -> Result<bool, ClientError> {
        let asked = format!("is-logical:{partition}");
        let wrong = |error| ClientError::Command { command: format!("getvar:{asked}"), error };
        Ok(self.getvar(&asked.parse().map_err(wrong)?).await?.as_deref() == Some("yes"))
    }

    /// Whether the device starts from a slot of this letter. One that says nothing of slots is asked to.
    pub async fn has_slot(&mut self, slot: &Slot) -> Result<bool, ClientError> {
        let count = self.getvar_number(&known("slot-count")).await?;
        let [letter @ b'a'..=b'z'] = slot.as_str().as_bytes() else { return Ok(true) };
        Ok(count.is_none_or(|count| u64::from(letter - b'a') < count))
    }
}
