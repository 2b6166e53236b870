//! The acts on a device whose bootloader speaks fastboot: its image goes into its memory, or into its partitions; the
//! handoff is `boot`, or whatever leaves the bootloader.

mod console;
mod look;
mod put;
mod reach;
mod settle;
mod stay;
mod tell;
mod word;

use super::open::WHERE_WITHIN;

pub(crate) use put::Put;
pub(crate) use settle::BootloaderSettling;
pub(crate) use stay::BootloaderStay;
pub(crate) use word::{Word, ask_for};
