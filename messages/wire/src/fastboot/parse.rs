//! What a device hears: a packet of bytes becomes a command.

use std::str::FromStr;

use super::command::{Command, CommandError, CommandLimit, Extent, RawCommand, RebootTarget};
use super::name::{Arguments, Partition, Slot, Variable, check_printable};

impl Command {
    /// A packet, as a device takes it. One that is not in the table is [`Command::Raw`]; one that is, but with
    /// arguments that it does not take, is an error.
    pub fn parse(packet: &[u8]) -> Result<Self, CommandError> {
        let len_max = CommandLimit::Long.len_max();
        if packet.len() > len_max {
            return Err(CommandError::TooLong { len: packet.len(), len_max });
        }
        match std::str::from_utf8(packet) {
            Ok(text) => text.parse(),
            Err(error) => {
                let at = error.valid_up_to();
                // What stands before it may hold a byte that is refused sooner.
                let text = std::str::from_utf8(&packet[..at]).expect("valid up to there");
                if at > 0 {
                    check_printable(text)?;
                }
                Err(CommandError::Character { at, byte: packet[at] })
            }
        }
    }
}

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(text: &str) -> Result<Self, CommandError> {
        let len_max = CommandLimit::Long.len_max();
        if text.len() > len_max {
            return Err(CommandError::TooLong { len: text.len(), len_max });
        }
        check_printable(text)?;
        let simple = match text {
            "upload" => Some(Self::Upload),
            "boot" => Some(Self::Boot),
            "continue" => Some(Self::Continue),
            "reboot" => Some(Self::Reboot(RebootTarget::System)),
            "reboot-bootloader" => Some(Self::Reboot(RebootTarget::Bootloader)),
            "reboot-fastboot" => Some(Self::Reboot(RebootTarget::Fastboot)),
            "reboot-recovery" => Some(Self::Reboot(RebootTarget::Recovery)),
            "powerdown" => Some(Self::PowerDown),
            _ => None,
        };
        if let Some(command) = simple {
            return Ok(command);
        }
        if let Some(words) = text.strip_prefix("oem ") {
            return Ok(Self::Oem(Arguments::new(words)?));
        }
        if let Some(words) = text.strip_prefix("flashing ") {
            return Ok(Self::Flashing(Arguments::new(words)?));
        }
        match text.split_once(':') {
            Some((name, argument)) => with_argument(name, argument, text),
            None => Ok(Self::Raw(RawCommand(text.to_owned()))),
        }
    }
}

/// A command of the form `name:argument`.
fn with_argument(name: &str, argument: &str, text: &str) -> Result<Command, CommandError> {
    let refused = |command| CommandError::Argument { command, argument: argument.to_owned() };
    Ok(match name {
        "getvar" => Command::GetVar(Variable::new(argument)?),
        "download" => Command::Download(hex32(argument).ok_or_else(|| refused("download"))?),
        "fetch" => fetch(argument)?,
        // A colon here names a disk (`flash:partition:0`); whether that is one partition is the device's to know.
        "flash" if argument.contains(':') => Command::Raw(RawCommand(text.to_owned())),
        "flash" => Command::Flash(Partition::new(argument)?),
        "erase" if argument.contains(':') => Command::Raw(RawCommand(text.to_owned())),
        "erase" => Command::Erase(Partition::new(argument)?),
        "set_active" => Command::SetActive(Slot::new(argument)?),
        "update-super" => match argument.split_once(':') {
            None => Command::UpdateSuper { partition: Partition::new(argument)?, wipe: false },
            Some((partition, "wipe")) => {
                Command::UpdateSuper { partition: Partition::new(partition)?, wipe: true }
            }
            Some(_) => return Err(refused("update-super")),
        },
        "create-logical-partition" => {
            let (partition, len) = sized(argument).ok_or_else(|| refused("create-logical-partition"))?;
            Command::CreateLogical { partition: Partition::new(partition)?, len }
        }
        "delete-logical-partition" => Command::DeleteLogical(Partition::new(argument)?),
        "resize-logical-partition" => {
            let (partition, len) = sized(argument).ok_or_else(|| refused("resize-logical-partition"))?;
            Command::ResizeLogical { partition: Partition::new(partition)?, len }
        }
        _ => Command::Raw(RawCommand(text.to_owned())),
    })
}

fn fetch(argument: &str) -> Result<Command, CommandError> {
    let refused = || CommandError::Argument { command: "fetch", argument: argument.to_owned() };
    let mut parts = argument.split(':');
    let partition = Partition::new(parts.next().unwrap_or_default())?;
    let offset = parts.next().map(|text| number(text).ok_or_else(refused)).transpose()?;
    let len = parts.next().map(|text| number(text).ok_or_else(refused)).transpose()?;
    if parts.next().is_some() {
        return Err(refused());
    }
    let extent = match (offset, len) {
        (None, _) => Extent::All,
        (Some(offset), None) => Extent::From { offset },
        (Some(offset), Some(len)) => Extent::Part { offset, len },
    };
    Ok(Command::Fetch { partition, extent })
}

/// `name:number`.
fn sized(argument: &str) -> Option<(&str, u64)> {
    let (name, len) = argument.split_once(':')?;
    Some((name, number(len)?))
}

/// As a device takes it: decimal, or hexadecimal with `0x` (AOSP, `fastbootd`, by `ParseUint`).
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) if digits(hex, 16) => u64::from_str_radix(hex, 16).ok(),
        None if digits(text, 10) => text.parse().ok(),
        _ => None,
    }
}

/// Eight hexadecimal digits, as `%08x` writes them.
pub(super) fn hex32(text: &str) -> Option<u32> {
    if text.len() == 8 && digits(text, 16) { u32::from_str_radix(text, 16).ok() } else { None }
}

/// Digits only: the parsers of the standard library also take a sign.
fn digits(text: &str, radix: u32) -> bool {
    !text.is_empty() && text.chars().all(|digit| digit.is_digit(radix))
}
