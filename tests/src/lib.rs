//! The harness of the whole-system tests: the real programs, in folders of their own, with virtual boards that count.
//!
//! Nothing is mocked, and nothing waits for a guess: every wait is for a condition, with a deadline that only what
//! hangs reaches. What a test starts has an owner here, and ends with it: a farm with its [`Daemon`], the boards with
//! their [`Home`].
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod archives;
mod at_once;
mod avr;
mod bare;
mod binaries;
mod board;
mod client;
mod daemon;
mod desk;
mod dice;
mod failpoints;
mod fake_clock;
mod home;
mod in_process;
mod jobs;
mod person;
mod phones;
mod processes;
mod records;
mod riscv;
mod shared;
pub mod shared_packages;
mod side;
mod small_disk;
mod sources;
mod trees;
mod trigger;
pub mod usb_bench;
mod wait;

pub use archives::timeless;
pub use at_once::at_once;
pub use avr::{avrdude, avrdude_uploads, compile, hex};
pub use bare::{BareUno, entry, package};
pub use binaries::{binary, copy_of_binary};
pub use board::{BoardControl, Counters, Place};
pub use client::{
    Followed, at_work, devices, epochs_of, follow, follow_after, session, sessions, stop, submit,
};
pub use daemon::{Daemon, KILLED};
pub use desk::{Desk, Running, Said, said};
pub use dice::Dice;
pub use failpoints::{EVERY_HANDOFF, OF_BOOTLOADERS, OF_BUILDS, OF_RESTORES, OF_SAVES, listed};
pub use fake_clock::FakeClock;
pub use home::Home;
pub use in_process::InProcess;
pub use jobs::{UNO, flash_once, repeatable, run_once};
pub use person::Person;
pub use phones::{
    Over, PHONE, TestPhone, boot, boot_and_watch, boot_image, listens, noise, partitions, put_file, sha256,
    step,
};
pub use processes::{Tagged, nothing_tagged_but};
pub use records::{Remembered, remembered};
pub use riscv::{echo_program, idle_program, letter_program, ticking_program};
pub use shared::{Image, alpha, beta};
pub use side::Side;
pub use small_disk::SmallDisk;
pub use sources::sources;
pub use trees::{copy_project, copy_tree};
pub use trigger::{Trigger, kills};
pub use wait::{LONG, or_hang, until};
