//! How far an image is on its way through a bootloader, and at which device that was begun.

use serde::{Deserialize, Serialize};

use super::Identity;
use crate::{Attempt, DeviceName, Kind, PlanHash, Record, SessionId};

/// How far the steps of a plan are. `begun` is durable before a step's command leaves the host, `done` before the next; who
/// was reached, before the first byte of an image. A boot from memory has no steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlashProgress {
    /// Of which device.
    pub device: DeviceName,
    /// Whose steps.
    pub session: SessionId,
    /// In which attempt. What an earlier one had begun has been settled since.
    pub attempt: Attempt,
    /// Of which plan.
    pub plan: PlanHash,
    /// So many steps were begun.
    pub begun: u32,
    /// So many of them the device said were done.
    pub done: u32,
    /// Who said so: what the bootloader that was reached first calls itself. Another one at the same place is another
    /// device.
    pub at: Identity,
}

impl Record for FlashProgress {
    const KIND: Kind = Kind::FlashProgress;
    const VERSION: u16 = 1;

    fn key(&self) -> Vec<u8> {
        self.device.as_str().as_bytes().to_vec()
    }
}
