//! Phones in a farm, through its API: what is booted and written arrives whole and once, and what is wrong has its own
//! words and leaves a phone that can be tried again.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

#[path = "fastboot/bench.rs"]
mod bench;
#[path = "fastboot/boots.rs"]
mod boots;
#[path = "fastboot/console.rs"]
mod console;
#[path = "fastboot/doubt.rs"]
mod doubt;
#[path = "fastboot/ends.rs"]
mod ends;
#[path = "fastboot/killed.rs"]
mod killed;
#[path = "fastboot/models.rs"]
mod models;
#[path = "fastboot/network.rs"]
mod network;
#[path = "fastboot/refused.rs"]
mod refused;
#[path = "fastboot/writes.rs"]
mod writes;
