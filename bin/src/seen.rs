//! Which bytes of a recording were shown already, when a stream begins again on another connection.
//!
//! Offsets alone do not say it: a farm that was killed may have shown bytes that were not on the disk yet, and its
//! successor gives their offsets to others. Epochs grow for ever, and within one the stamps do.

use farmhand::protocol::{Epoch, Stamp};

/// The last that was shown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    epoch: Epoch,
    mono_us: u64,
    end: u64,
}

impl Seen {
    /// The epoch of the last byte that was shown.
    pub(crate) fn epoch(self) -> Option<Epoch> {
        self.last.map(|last| last.epoch)
    }

    /// How many bytes at the start of a chunk were shown already; from now on all of it was.
    pub(crate) fn take(&mut self, epoch: Epoch, stamp: Stamp, offset: u64, length: usize) -> usize {
        let end = offset + length as u64;
        let seen = match self.last {
            Some(last) if (epoch, stamp.mono_us) < (last.epoch, last.mono_us) => length,
            Some(last) if (epoch, stamp.mono_us) == (last.epoch, last.mono_us) => {
                usize::try_from(last.end.saturating_sub(offset)).unwrap_or(usize::MAX).min(length)
            }
            _ => 0,
        };
        if seen < length {
            self.last = Some(Last { epoch, mono_us: stamp.mono_us, end });
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_seen_and_what_is_new_is_not() {
        let mut seen = Seen::default();
        let mut take = |epoch, mono_us, offset, length| {
            seen.take(Epoch(epoch), Stamp { mono_us, unix_us: 0 }, offset, length)
        };
        assert_eq!(take(4, 10, 0, 5), 0);
        assert_eq!(take(4, 20, 5, 5), 0);
        assert_eq!(take(4, 10, 0, 5), 5, "again");
        assert_eq!(take(4, 20, 5, 5), 5, "again");
        assert_eq!(take(4, 20, 5, 9), 5, "the rest of a chunk that was cut");
        assert_eq!(take(4, 30, 5, 3), 0, "an offset that was not on the disk is given again");
        assert_eq!(take(5, 2, 8, 3), 0, "a new epoch, after a reboot of the host too");
        assert_eq!(take(4, 99, 20, 3), 3, "an older epoch");
    }
}
