//! What is done with a machine that is emulated. To put a program on it is to start it anew, held at its first instruction;
//! the handoff is to let it go; and QEMU says to whoever asks whether it ever went.

mod attend;
mod console;
mod guest;
mod load;
mod probe;
mod settle;
mod snapshot;
mod stay;

use std::time::Duration;

use farmhand_machine::{Kind, Loaded, Machine, MachineError};
use tokio::time::sleep;

pub(crate) use attend::{Attend, Attended};
pub(crate) use guest::GuestFolder;
pub(crate) use load::Load;
pub(crate) use settle::MachineSettling;
pub(crate) use snapshot::{Restore, Save};
pub(crate) use stay::MachineStay;

use super::Tools;
use crate::problems;

/// The first start of a program, which the handoff makes. Those behind it are the guest's own.
pub(crate) const FIRST_START: u64 = 1;
/// For a firmware that finds that it has run before: it resets the machine some milliseconds after its first instruction.
const FIRMWARE: Duration = Duration::from_secs(1);

impl Tools {
    /// The machine that this incarnation has, or one that is adopted.
    async fn the_machine(&self) -> Result<Option<Found>, MachineError> {
        match &self.machine {
            Some(machine) => Ok(Some(Found::Ours(machine.clone()))),
            None => {
                let loaded = Machine::adopt(&self.ctx.paths.board(&self.config.name)).await?;
                Ok(loaded.map(Found::Adopted))
            }
        }
    }

    fn no_machine(&self, error: &MachineError) -> Box<farmhand_api::Problem> {
        let name = &self.config.name;
        Box::new(problems::no_machine(name, &self.ctx.paths.board(name), error))
    }

    /// Lets a machine go on whose guest has reset it.
    pub(crate) async fn go_on(&self, machine: &Machine, kind: &Kind) {
        let gone_on = machine.reset(kind).await;
        if gone_on.is_ok() && kind.is_linux() {
            // Its firmware's own reset comes within the first milliseconds, and a guest has not come up before this is over.
            sleep(FIRMWARE).await;
        }
        // Again, where it has not come so far.
        if let Err(error) = gone_on.and(machine.stops_at_reset().await) {
            tracing::warn!(device = %self.config.name, %error, "an emulated machine does not go on");
        }
    }
}

/// A machine that is there.
enum Found {
    Ours(Machine),
    Adopted(Loaded),
}

impl Found {
    fn machine(&self) -> &Machine {
        match self {
            Self::Ours(machine) => machine,
            Self::Adopted(loaded) => &loaded.machine,
        }
    }

    fn adopted(self) -> Option<Loaded> {
        match self {
            Self::Ours(_) => None,
            Self::Adopted(loaded) => Some(loaded),
        }
    }
}
