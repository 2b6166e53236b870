//! The real agent, behind a port that is like QEMU's: it outlives hosts, and bytes get lost there when they
//! change.

mod commands;
mod files;
mod hosts;
mod restores;
mod strange;
mod world;
