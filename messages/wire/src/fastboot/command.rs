//! What a host says.

use std::fmt;

use thiserror::Error;

use super::name::{Arguments, Partition, Slot, Variable};

/// A command, and all that it is given. [`fmt::Display`] is what goes over the wire.
///
/// README, "Command Reference" and "Logical Partitions"; AOSP, `fastboot/constants.h`, for those that the README
/// does not list: `fetch`, `set_active`, `flashing`, `powerdown`, `reboot-fastboot` and `reboot-recovery`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// `getvar:%s`: reads a variable; `all` for every one, as INFO.
    GetVar(Variable),
    /// `download:%08x`: so many bytes follow, into the device's memory.
    Download(u32),
    /// `upload`: hands over what the last command staged.
    Upload,
    /// `fetch:%s[:0x%08x[:0x%08x]]`: reads a partition.
    Fetch {
        /// Which.
        partition: Partition,
        /// How much of it.
        extent: Extent,
    },
    /// `flash:%s`: writes what was downloaded.
    Flash(Partition),
    /// `erase:%s`.
    Erase(Partition),
    /// `boot`: starts what was downloaded.
    Boot,
    /// `continue`: starts what the device would have started by itself.
    Continue,
    /// `reboot` and its kin.
    Reboot(RebootTarget),
    /// `set_active:%s`: boots from this slot from now on.
    SetActive(Slot),
    /// `oem %s`: whatever its maker made of it.
    Oem(Arguments),
    /// `flashing %s`: `lock`, `unlock`, `get_unlock_ability` and others.
    Flashing(Arguments),
    /// `powerdown`.
    PowerDown,
    /// `update-super:%s[:wipe]`: rewrites the table of logical partitions from what was downloaded.
    UpdateSuper {
        /// The partition that holds the logical ones.
        partition: Partition,
        /// Deletes the logical partitions that are there.
        wipe: bool,
    },
    /// `create-logical-partition:%s:%d`.
    CreateLogical {
        /// Its name.
        partition: Partition,
        /// Its length, in bytes.
        len: u64,
    },
    /// `delete-logical-partition:%s`.
    DeleteLogical(Partition),
    /// `resize-logical-partition:%s:%d`.
    ResizeLogical {
        /// Which.
        partition: Partition,
        /// Its length from now on, in bytes.
        len: u64,
    },
    /// Any other.
    Raw(RawCommand),
}

/// How much of a partition `fetch` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extent {
    /// All of it.
    All,
    /// From here to its end, in bytes.
    From {
        /// Of the first byte.
        offset: u64,
    },
    /// A part of it, in bytes.
    Part {
        /// Of the first byte.
        offset: u64,
        /// How many.
        len: u64,
    },
}

/// What a device becomes when it restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RebootTarget {
    /// `reboot`: what it is for.
    System,
    /// `reboot-bootloader`: the loader, anew.
    Bootloader,
    /// `reboot-fastboot`: fastboot in user space, which knows logical partitions.
    Fastboot,
    /// `reboot-recovery`.
    Recovery,
}

/// A command that is not in the table. Made by [`Command::parse`] only, so one that is in the table is never raw.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RawCommand(pub(super) String);

impl RawCommand {
    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How long a command may be, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CommandLimit {
    /// 64: what every loader takes (README, "Transport and Framing", step 1, until 2023).
    #[default]
    Classic,
    /// 4096: what newer ones take (the same place, since September 2023).
    Long,
}

impl CommandLimit {
    /// In bytes.
    pub const fn len_max(self) -> usize {
        match self {
            Self::Classic => 64,
            Self::Long => 4096,
        }
    }
}

/// Why it is no command, or not one to send.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// There is nothing.
    #[error("empty")]
    Empty,
    /// A byte that no command holds: NUL, a newline, a letter with an accent.
    #[error("byte {byte:#04x} at {at}: only printable ascii can be sent")]
    Character {
        /// Where, from 0.
        at: usize,
        /// Which.
        byte: u8,
    },
    /// A colon in one argument begins another.
    #[error("colon at {at}: it would begin another argument")]
    Separator {
        /// Where, from 0.
        at: usize,
    },
    /// A space before or behind.
    #[error("space before or behind it")]
    SpaceAround,
    /// It does not fit.
    #[error("{len} bytes: the device takes commands of {len_max}")]
    TooLong {
        /// How long it is.
        len: usize,
        /// How long it may be.
        len_max: usize,
    },
    /// What stands behind the command's name is not what it takes.
    #[error("{command} does not take \"{argument}\"")]
    Argument {
        /// The command's name.
        command: &'static str,
        /// What stands there.
        argument: String,
    },
}

/// The data phase that a command begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataPhase {
    /// None: `DATA` is an error.
    None,
    /// The host sends exactly this many bytes.
    ToDevice {
        /// What was asked for, and what `DATA` must say.
        len: u32,
    },
    /// The device sends what it says it has.
    FromDevice {
        /// At most this much, where the command says how much.
        len_max: Option<u64>,
    },
}

/// What a command does to the device, for those who allow it or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect<'a> {
    /// Nothing: it only tells.
    Reads,
    /// It fills the device's memory; gone with the next reset.
    Stages,
    /// It starts something, and changes nothing that lasts: the handoff.
    Boots,
    /// It restarts the device, or turns it off.
    Restarts,
    /// It changes what lasts.
    Writes(Touched<'a>),
}

/// What a command changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Touched<'a> {
    /// What is in this partition.
    Partition(&'a Partition),
    /// Which logical partitions there are, and what is in them.
    LogicalPartitions(&'a Partition),
    /// Which slot is booted.
    ActiveSlot(&'a Slot),
    /// Whether the device may be written at all. Unlocking erases a phone's user data.
    Lock(&'a Arguments),
    /// Not known, so perhaps everything.
    Anything,
}

impl Command {
    /// The bytes, where the device takes so many.
    pub fn encode(&self, limit: CommandLimit) -> Result<Vec<u8>, CommandError> {
        let text = self.to_string();
        if text.len() > limit.len_max() {
            return Err(CommandError::TooLong { len: text.len(), len_max: limit.len_max() });
        }
        Ok(text.into_bytes())
    }

    /// What it does to the device.
    pub fn effect(&self) -> Effect<'_> {
        match self {
            Self::GetVar(_) | Self::Upload | Self::Fetch { .. } => Effect::Reads,
            Self::Download(_) => Effect::Stages,
            Self::Boot | Self::Continue => Effect::Boots,
            Self::Reboot(_) | Self::PowerDown => Effect::Restarts,
            Self::Flash(partition) | Self::Erase(partition) => Effect::Writes(Touched::Partition(partition)),
            Self::SetActive(slot) => Effect::Writes(Touched::ActiveSlot(slot)),
            Self::Flashing(what) if what.as_str() == "get_unlock_ability" => Effect::Reads,
            Self::Flashing(what) => Effect::Writes(Touched::Lock(what)),
            Self::UpdateSuper { partition, .. }
            | Self::CreateLogical { partition, .. }
            | Self::DeleteLogical(partition)
            | Self::ResizeLogical { partition, .. } => Effect::Writes(Touched::LogicalPartitions(partition)),
            Self::Oem(_) | Self::Raw(_) => Effect::Writes(Touched::Anything),
        }
    }

    /// The data phase that the device may ask for.
    pub fn data_phase(&self) -> DataPhase {
        match self {
            Self::Download(len) => DataPhase::ToDevice { len: *len },
            Self::Upload => DataPhase::FromDevice { len_max: None },
            Self::Fetch { extent: Extent::Part { len, .. }, .. } => {
                DataPhase::FromDevice { len_max: Some(*len) }
            }
            Self::Fetch { .. } => DataPhase::FromDevice { len_max: None },
            _ => DataPhase::None,
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GetVar(variable) => write!(f, "getvar:{variable}"),
            Self::Download(len) => write!(f, "download:{len:08x}"),
            Self::Upload => f.write_str("upload"),
            Self::Fetch { partition, extent } => {
                write!(f, "fetch:{partition}")?;
                // AOSP, fastboot_driver.cpp, FetchToFd: both with `0x`.
                match extent {
                    Extent::All => Ok(()),
                    Extent::From { offset } => write!(f, ":{offset:#010x}"),
                    Extent::Part { offset, len } => write!(f, ":{offset:#010x}:{len:#010x}"),
                }
            }
            Self::Flash(partition) => write!(f, "flash:{partition}"),
            Self::Erase(partition) => write!(f, "erase:{partition}"),
            Self::Boot => f.write_str("boot"),
            Self::Continue => f.write_str("continue"),
            Self::Reboot(target) => f.write_str(match target {
                RebootTarget::System => "reboot",
                RebootTarget::Bootloader => "reboot-bootloader",
                RebootTarget::Fastboot => "reboot-fastboot",
                RebootTarget::Recovery => "reboot-recovery",
            }),
            Self::SetActive(slot) => write!(f, "set_active:{slot}"),
            Self::Oem(arguments) => write!(f, "oem {arguments}"),
            Self::Flashing(arguments) => write!(f, "flashing {arguments}"),
            Self::PowerDown => f.write_str("powerdown"),
            Self::UpdateSuper { partition, wipe } => {
                write!(f, "update-super:{partition}{}", if *wipe { ":wipe" } else { "" })
            }
            Self::CreateLogical { partition, len } => write!(f, "create-logical-partition:{partition}:{len}"),
            Self::DeleteLogical(partition) => write!(f, "delete-logical-partition:{partition}"),
            Self::ResizeLogical { partition, len } => write!(f, "resize-logical-partition:{partition}:{len}"),
            Self::Raw(raw) => f.write_str(raw.as_str()),
        }
    }
}
