//! What is said to a bootloader: boot, fastboot, and what describes and simulates its device.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use farmhand_sim::fastboot::FastbootArgs;

use super::WatchFlags;

/// What is booted, over the project's settings.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Over the project's settings")]
pub(crate) struct BootFlags {
    /// The device's profile: `farmhand profile list` has them
    #[arg(long, value_name = "ID")]
    pub(crate) profile: Option<String>,
    /// The ramdisk of the image that is made
    #[arg(long, value_name = "FILE")]
    pub(crate) ramdisk: Option<PathBuf>,
    /// Its device tree
    #[arg(long, value_name = "FILE")]
    pub(crate) dtb: Option<PathBuf>,
    /// Added to what the kernel is told
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) cmdline: Option<String>,
    #[command(flatten)]
    pub(crate) watch: WatchFlags,
}

pub(super) const FASTBOOT: &str = "\
Commands:
  getvar NAME|all             what it says of itself
  flash PARTITION FILE        write a partition; several in a row are one session
  erase PARTITION             erase one
  boot IMAGE                  boot from memory, once
  stage FILE                  a file into its memory
  get_staged FILE             what it has staged, into a file
  fetch PARTITION FILE        a partition, into a file
  continue                    go on booting
  reboot [bootloader|fastboot|recovery]
  set_active SLOT             which slot is started
  oem WORDS...                whatever its maker means by it
  flashing WORDS...           unlock, lock, and what is about that
  devices                     which there are

Examples:
  farmhand fastboot getvar all
  farmhand fastboot -s tcp:127.0.0.1:5554 getvar product
  farmhand fastboot flash boot boot.img flash system system.img reboot
  farmhand fastboot flash bootloader bl.img --once      never written twice

What writes must be allowed in the device's entry of farm.toml, such as
allow = [\"boot\", \"flash\"], and says first what it touches. A getvar that fails
is a failure, and nothing waits for ever. A word of oem or flashing that begins
with - comes behind --.";

#[derive(Debug, Clone, Args)]
pub(crate) struct FastbootFlags {
    /// Which device: its name, serial number, port path, tcp:HOST or udp:HOST
    #[arg(short, long, value_name = "DEVICE")]
    pub(crate) serial: Option<String>,
    /// As the command set_active
    #[arg(short = 'a', long, value_name = "SLOT")]
    pub(crate) set_active: Option<String>,
    /// No flash or erase is ever issued twice: where a crash leaves open whether
    /// one was done, the session ends as unknown, and you say how it goes on.
    /// Without it, one that was interrupted is done again from its start
    #[arg(long)]
    pub(crate) once: bool,
    /// Commands, and their words
    #[arg(value_name = "COMMAND")]
    pub(crate) words: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileVerb {
    /// All that are known, and where from
    List,
    /// Whether files of profiles are right
    #[command(after_help = "\
Example:
  farmhand profile check profiles/my-phone.toml")]
    Check {
        /// Files; yours, and the project's
        files: Vec<PathBuf>,
    },
    /// Which of them a device is; writes nothing
    #[command(after_help = "\
Example:
  farmhand profile probe --device tcp:127.0.0.1:5554")]
    Probe,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SimVerb {
    /// A phone in its bootloader, that speaks fastboot; Ctrl-C ends it
    #[command(after_help = "\
Example:
  farmhand sim fastboot --tcp 127.0.0.1:5554
  farmhand fastboot -s tcp:127.0.0.1:5554 getvar all      (in another terminal)")]
    Fastboot(Box<FastbootArgs>),
}
