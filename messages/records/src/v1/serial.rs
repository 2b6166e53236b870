//! A serial recorder's place. The segments are the truth; this says where to look first.

use serde::{Deserialize, Serialize};

use crate::{DeviceName, Epoch, Kind, Record};

/// How far a recorder is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serial {
    /// Whose console.
    pub device: DeviceName,
    /// The number of the segment being written.
    pub segment: u64,
    /// The stream's offset at its end, in bytes since the recorder's first.
    pub offset: u64,
    /// The epoch being recorded.
    pub epoch: Epoch,
}

impl Record for Serial {
    const KIND: Kind = Kind::Serial;
    const VERSION: u16 = 1;

    fn key(&self) -> Vec<u8> {
        self.device.as_str().as_bytes().to_vec()
    }
}
