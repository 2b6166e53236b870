//! A simulated phone in its bootloader, which speaks fastboot, does wrong what it is asked to, and counts.
//!
//! [`Phone`] is the phone: one state machine without I/O (but its partitions' files) and without a clock. The rest
//! brings hosts to it:
//!
//! | part | what it is |
//! |---|---|
//! | [`PhoneHandle`] | a phone on a task of its own; [`PhoneHandle::connect`] is a host in process |
//! | [`SimPhone`] | with a place on TCP, on UDP, and a control socket |
//! | [`serve`], [`FastbootArgs`] | as a process of its own |
//! | [`UsbPhone`] | on a simulated USB ([`crate::usbredir`]) |
//!
//! What it can be told beside its host is [`ORDERS`]; what it does wrong is [`Fault`].

mod args;
mod bench;
mod bootimage;
mod commands;
mod console;
mod control;
mod fault;
mod options;
mod phone;
mod presence;
mod record;
mod serve;
mod sparse;
mod storage;
mod stream;
mod tcp;
mod udp;
mod usb;
mod variables;

pub use args::FastbootArgs;
pub use bench::{CALL_DEADLINE, PhoneHandle, SimError};
pub use control::{ORDERS, Told};
pub use fault::{Datagrams, FAULTS, Fault, Nonsense};
pub use options::{
    LOADER_ID, NEXT_ID, OptionError, PartitionSpec, PhoneOptions, SLOTS_MAX, SYSTEM_ID, UsbId, byte_count,
};
pub use phone::Phone;
pub use presence::{Mode, Out, Presence};
pub use record::{Asked, Counters, Downloaded};
pub use serve::{ServeOptions, SimPhone, serve};
pub use tcp::TcpPlace;
pub use udp::UdpPlace;
pub use usb::UsbPhone;
