//! The acts on a device whose bootloader speaks fastboot: its image goes into its memory, or into its partitions; the
//! handoff is `boot`, or whatever leaves the bootloader.

use std::time::Duration;

mod console;
mod put;
mod reach;
mod settle;
mod stay;
mod tell;
mod word;

pub(crate) use put::Put;
pub(crate) use settle::settle;
pub(crate) use stay::BootloaderStay;
pub(crate) use word::{ask_for, say};

/// For the directory to say where something is: from memory.
const WHERE_WITHIN: Duration = Duration::from_secs(10);
