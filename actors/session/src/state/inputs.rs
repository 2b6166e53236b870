//! What a session is told, and what it wants done.

use farmhand_api::{EventBody, LogFrom, Problem, Settle};
use farmhand_messages::scheduler::QueuePlace;
use farmhand_messages::session::Outcome;
use farmhand_records::v1::{self, Artifact, DeviceSelect, LeaseHeld, Quarantine};
use farmhand_records::{Attempt, DeviceName, Epoch, FencingToken, PlanHash};
use farmhand_store::Durability;

/// What time it is. The machine reads no clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Of a clock that only goes forward, in milliseconds.
    pub mono_ms: u64,
    /// Of the wall clock, in milliseconds since 1970; for people.
    pub unix_ms: u64,
}

/// Whether a record can be taken at its word on recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It is the last that was written, or nothing behind it mattered.
    Exact,
    /// The store went back in time for this session, or its marks were damaged: a handoff may have been issued of which
    /// the record says nothing.
    Behind,
}

/// What the session is told.
#[derive(Debug)]
pub enum Input {
    /// The actor runs: begin, or go on.
    Begin,
    /// The record of the last [`Effects::persist`] is as durable as was asked for.
    Persisted,
    /// What came of an act.
    Outcome {
        /// The number of the act.
        step: u64,
        /// What came of it.
        outcome: Box<Outcome>,
    },
    /// Time has passed.
    Tick,
    /// It is not wanted any more.
    Cancel,
    /// A person says what could not be proven.
    Settle(Settle),
    /// Write the checkpoint, and do nothing more.
    Drain,
}

/// A record to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persist {
    /// The session as it is now.
    pub record: Box<v1::Session>,
    /// What to wait for.
    pub durability: Durability,
}

/// What the shell must do, in this order: persist, then say so with [`Input::Persisted`]; or act. `tell` follows what is
/// persisted.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be written.
    pub persist: Option<Persist>,
    /// To be set going, with its number; what comes of it is told by [`Input::Outcome`].
    pub act: Option<(u64, Act)>,
    /// To be told to whoever watches.
    pub tell: Vec<EventBody>,
    /// What was asked for is refused.
    pub refuse: Option<Problem>,
    /// Why the input changed nothing.
    pub ignored: Option<&'static str>,
}

impl Effects {
    /// Nothing is written or done.
    pub(super) fn is_idle(&self) -> bool {
        self.persist.is_none() && self.act.is_none()
    }
}

/// Something to be done. All but `Handoff` are safe to do again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Build the job's program, or take the file that it is.
    Build,
    /// Ask for a device.
    Acquire {
        /// For a device of this board.
        board: String,
        /// On this port, which is claimed if it must.
        port: Option<String>,
        /// Which will do.
        select: DeviceSelect,
        /// A person has settled what was wrong with it: give it back first.
        lift: Option<DeviceName>,
        /// As it stood last, in the queue: answered when it stands otherwise, or after a while.
        seen: Option<QueuePlace>,
    },
    /// Name what is handed to the device.
    Plan {
        /// Of this file.
        artifact: Artifact,
        /// To this device.
        device: DeviceName,
    },
    /// Open the device, and make sure that it answers.
    Connect {
        /// With this lease.
        lease: LeaseHeld,
    },
    /// Put the program on the device, and read it back.
    Transfer {
        /// With this lease.
        lease: LeaseHeld,
        /// For this try.
        attempt: Attempt,
        /// Of this plan.
        plan: PlanHash,
        /// This file.
        artifact: Artifact,
    },
    /// Have the scheduler know that an intent follows, then reserve the epoch of the handoff.
    Reserve {
        /// With this lease.
        lease: LeaseHeld,
    },
    /// **The handoff.** Its intent is durable. Never to be asked for twice.
    Handoff {
        /// With this lease.
        lease: LeaseHeld,
        /// This try.
        attempt: Attempt,
        /// Of this plan.
        plan: PlanHash,
        /// Into this epoch.
        epoch: Epoch,
    },
    /// Ask what is known of a handoff.
    Evidence {
        /// With this lease.
        lease: LeaseHeld,
        /// Of this try.
        attempt: Attempt,
        /// Of this plan.
        plan: PlanHash,
    },
    /// Read the device's output, as it was recorded and as it comes.
    Observe {
        /// Of this device.
        device: DeviceName,
        /// From there.
        from: LogFrom,
    },
    /// Ask how far the recorder is, once it has taken what waits in the port.
    Reach {
        /// Of this device.
        device: DeviceName,
    },
    /// Ask whether the owned epoch still runs.
    Confirm {
        /// With this lease.
        lease: LeaseHeld,
        /// It.
        epoch: Epoch,
    },
    /// Renew the lease. Beside whatever else is under way.
    Renew {
        /// With this token.
        token: FencingToken,
        /// A handoff is not resolved.
        intent: bool,
    },
    /// Have the device end the transfer, and ask what was written: the session is cancelled.
    Stop {
        /// With this lease.
        lease: LeaseHeld,
    },
    /// Give the device back, or wait no longer.
    Release {
        /// The lease, where there was one.
        lease: Option<LeaseHeld>,
        /// Set the device aside.
        quarantine: Option<Quarantine>,
    },
    /// The actor has nothing more to do.
    End,
}

/// What is under way; one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acting {
    Build,
    Acquire,
    Plan,
    Connect,
    Transfer,
    Reserve,
    Handoff,
    Evidence,
    Reach,
    Confirm,
    Stop,
    Release,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Go {
    /// What is under way goes on.
    Nothing,
    Build,
    Acquire,
    Plan,
    Connect,
    Transfer,
    Reserve,
    /// Only ever behind the record of the intent.
    Issue,
    Evidence,
    /// The handoff is done, and recorded.
    HandedOff,
    Watch,
    Reach,
    Confirm,
    Stop,
    Release,
    /// It waits no longer; what it asked for is answered yet.
    Withdraw,
    End,
}
