//! To the scheduler: leases and the queue.

use std::time::Duration;

use farmhand_api::DeviceView;
use farmhand_records::v1::{DeviceSelect, Lease, Problem, Quarantine};
use farmhand_records::{DeviceName, FencingToken, SessionId};
use ractor::RpcReplyPort;

/// A wish that is to wait is answered so soon, though nothing has changed: well before who asks no more is taken to have
/// ended (30 s), and seldom enough that a thousand who wait cost next to nothing.
pub const QUEUED_WITHIN: Duration = Duration::from_secs(10);

/// A place in the queue, from 1, and who has what is waited for.
pub type QueuePlace = (u32, Option<SessionId>);

/// How a wish for a device stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It has the device. The grant is durable.
    Granted {
        /// Which.
        device: DeviceName,
        /// The token that every command to it carries.
        token: FencingToken,
        /// It is virtual: no board is plugged in.
        virtual_: bool,
    },
    /// It waits. Ask again, with this.
    Queued {
        /// Its place, from 1.
        place: u32,
        /// Who has what it waits for.
        behind: Option<SessionId>,
    },
}

/// Why a lease is not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseLost {
    /// It was granted to another since, or taken back.
    Fenced,
    /// No such lease.
    Unknown,
}

/// A device that there is, as the scheduler needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its name.
    pub device: DeviceName,
    /// Its board.
    pub board: String,
    /// Where it is plugged in.
    pub port: Option<String>,
    /// Its USB serial number, where it has one.
    pub serial: Option<String>,
    /// Other names of the same device, as far as anybody knows: who has one of them has it.
    pub also: Vec<DeviceName>,
    /// It is there.
    pub present: bool,
    /// When it was.
    pub seen: Seen,
    /// It is a virtual one: had only where no real one fits and nobody named it.
    pub virtual_: bool,
}

impl Offer {
    /// Whether it is there, as far as anybody knows. One that did not answer over a network may be had all the same: only
    /// who tries knows.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        self.present && !matches!(self.seen, Seen::Answered { last: false, .. })
    }
}

/// When a device was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Now, as long as it is there: it is plugged in, or virtual.
    Now,
    /// It is reached over a network, and nobody looks but who needs it.
    Answered {
        /// When it answered last, in milliseconds since 1970.
        at_unix_ms: Option<u64>,
        /// Whether it did when it was tried last. So until somebody has tried.
        last: bool,
    },
}

impl Seen {
    /// Over a network, and nobody has tried.
    pub const UNTRIED: Self = Self::Answered { at_unix_ms: None, last: true };

    /// It was tried.
    #[must_use]
    pub fn tried(self, well: bool, now_unix_ms: u64) -> Self {
        let before = match self {
            Self::Now => None,
            Self::Answered { at_unix_ms, .. } => at_unix_ms,
        };
        Self::Answered { at_unix_ms: if well { Some(now_unix_ms) } else { before }, last: well }
    }
}

/// To the scheduler.
#[derive(Debug)]
pub enum SchedulerMessage {
    /// From a session: a device, please. Answers at once, or, where it waits and `seen` is how it stands, once it stands
    /// otherwise, [`QUEUED_WITHIN`] at most. A grant is durable before it is answered. Safe to send again: a session has
    /// one wish and one lease, and asking again tells how it stands. A waiting session asks again by itself, so that
    /// nothing is lost with a message.
    Acquire {
        /// Who.
        session: SessionId,
        /// For a device of this board.
        board: String,
        /// Which will do.
        select: DeviceSelect,
        /// How it stood when it was last told, where it waited.
        seen: Option<QueuePlace>,
        /// How it stands, or why it never will: class `NoDevice` or `Busy`.
        reply: RpcReplyPort<Result<Standing, Problem>>,
    },
    /// From a session that holds a lease, well before it runs out. Safe to send again.
    Renew {
        /// Who.
        session: SessionId,
        /// With this token.
        token: FencingToken,
        /// It has an intent that is not resolved: the lease is not to be granted to another if it runs out.
        intent: bool,
        /// It runs anew, in full.
        reply: RpcReplyPort<Result<(), LeaseLost>>,
    },
    /// From a session that is done with its device, or waits no longer. Durable before it is answered. Safe to send
    /// again.
    Release {
        /// Who.
        session: SessionId,
        /// Set the device aside.
        quarantine: Option<Quarantine>,
        /// It is released.
        reply: RpcReplyPort<()>,
    },
    /// From a gateway or a session that was settled: give the device back. Durable before it is answered. Safe.
    Unquarantine {
        /// Which.
        device: DeviceName,
        /// Whether it was set aside.
        reply: RpcReplyPort<bool>,
    },
    /// From the supervisor: set a device aside, for its actors cannot be kept up. Durable. Safe.
    Quarantine {
        /// Which.
        device: DeviceName,
        /// Why.
        quarantine: Quarantine,
        /// It is set aside.
        reply: RpcReplyPort<()>,
    },
    /// From the directory: all the devices that there are. A cast: it is told again at every change and on a
    /// restart.
    Offers(Vec<Offer>),
    /// From a gateway: all devices, as people see them. Safe.
    Devices {
        /// By name.
        reply: RpcReplyPort<Vec<DeviceView>>,
    },
    /// From a gateway: all leases. Safe.
    Leases {
        /// By device.
        reply: RpcReplyPort<Vec<Lease>>,
    },
    /// From a device actor whose bootloader has told who it is: has somebody this device by another of its names, or is it set
    /// aside? Safe.
    HadAs {
        /// Which, as whoever asks has it.
        device: DeviceName,
        /// What else it is called.
        also: Vec<DeviceName>,
        /// Nobody has it, or who: class `Busy`.
        reply: RpcReplyPort<Result<(), Problem>>,
    },
    /// From the supervisor: grant nothing from now on. Safe.
    StopGranting {
        /// It is so.
        reply: RpcReplyPort<()>,
    },
    /// From its own clock.
    Tick,
}
