//! How long the host waits. Every wait of this module has one of these; a device that says INFO or TEXT, or takes or
//! gives bytes, has not fallen silent, so each of them starts the wait anew, up to [`COMMAND_MAX`].

use std::time::Duration;

pub use farmhand_messages::device::COMMAND_MAX;
use farmhand_messages::device::HANDOFF_MAX;
use farmhand_wire::fastboot::Command;

/// To connect over TCP, the handshake included, and to be answered by UDP's first packet: a bootloader that has an
/// address answers at once; routes that lose the first packet (ARP) need a second or two.
pub const CONNECT: Duration = Duration::from_secs(10);
/// For an answer that the device only has to look up. Bootloaders answer in milliseconds; some read their eMMC first.
pub const ANSWER: Duration = Duration::from_secs(10);
/// For what ends a download: some loaders check or copy what they were sent before they say so.
pub const STAGED: Duration = Duration::from_secs(60);
/// For `boot`: it is acknowledged after the image was unpacked and checked.
pub const BOOT: Duration = Duration::from_secs(60);
/// For `boot`, whatever the device says in the meantime.
pub const BOOT_MAX: Duration = HANDOFF_MAX;
/// For what a person may have to confirm on the device with its keys (`flashing unlock`, many an `oem`).
pub const CONFIRMED: Duration = Duration::from_secs(600);
/// For a write or an erase of which no size is known; an `erase:userdata` of a large eMMC takes minutes.
pub const WRITE: Duration = Duration::from_secs(300);
/// The slowest storage that is waited for, in bytes a second: an old eMMC, written with checks between.
pub const WRITE_RATE_MIN: u64 = 1 << 20;
/// The slowest erase that is waited for, in bytes a second: an eMMC without a trim command is written with zeros.
pub const ERASE_RATE_MIN: u64 = 16 << 20;
/// For any byte of a data phase to move. A device takes bytes into memory, so it is never long; a megabyte over an
/// emulated full speed bus takes some ten seconds.
pub const DATA_STALL: Duration = Duration::from_secs(30);
/// For the image's file to give its next bytes: it may lie on a network, or be unpacked as it is read.
pub const SOURCE_STALL: Duration = Duration::from_secs(60);
/// Without a byte from a device that was asked nothing, there is nothing left of an earlier host's (USB). Answers
/// that are ready take microseconds; this covers a bus that is emulated.
pub const QUIET: Duration = Duration::from_millis(300);
/// For an answer by which a device shows that it is there.
pub const PRESENCE: Duration = Duration::from_secs(5);
/// To make up a data phase that an earlier host left open: half a gigabyte, the most that loaders take at once, over a high
/// speed bus. A device that swallows more than that in silence is no better than one that does not take it.
pub const FILL: Duration = Duration::from_secs(20);
/// To take back transfers that are under way (USB): the host controller answers, not the device.
pub const CANCEL: Duration = Duration::from_secs(5);
/// To list, open, claim: the kernel answers, but may be enumerating.
pub const KERNEL: Duration = Duration::from_secs(10);
/// udev gives a node its permissions after the kernel has made it.
pub const PERMISSION_SETTLE: Duration = Duration::from_secs(2);
/// Between two tries to open a node.
pub const OPEN_RETRY: Duration = Duration::from_millis(100);

/// How long the device may be silent after `command`. `len` is what it has to write or erase, in bytes, where known.
#[must_use]
pub fn silence(command: &Command, len: Option<u64>) -> Duration {
    let writing = |rate: u64| match len {
        Some(len) => STAGED + Duration::from_secs(len / rate),
        None => WRITE,
    };
    match command {
        Command::GetVar(_) | Command::Continue | Command::Reboot(_) | Command::PowerDown => ANSWER,
        Command::Download(_) | Command::Upload | Command::Fetch { .. } | Command::SetActive(_) => STAGED,
        Command::Boot => BOOT,
        Command::Flash(_) => writing(WRITE_RATE_MIN),
        Command::Erase(_) => writing(ERASE_RATE_MIN),
        Command::Oem(_) | Command::Flashing(_) => CONFIRMED,
        Command::UpdateSuper { .. }
        | Command::CreateLogical { .. }
        | Command::DeleteLogical(_)
        | Command::ResizeLogical { .. } => WRITE,
        // Nobody knows what it is.
        Command::Raw(_) => CONFIRMED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_given_time_by_its_size_and_a_question_is_not() {
        let flash: Command = "flash:system".parse().unwrap();
        assert_eq!(silence(&flash, None), WRITE);
        assert_eq!(silence(&flash, Some(600 << 20)), STAGED + Duration::from_secs(600));
        let erase: Command = "erase:userdata".parse().unwrap();
        assert_eq!(silence(&erase, Some(64 << 30)), STAGED + Duration::from_secs(4096));
        assert_eq!(silence(&"getvar:all".parse().unwrap(), Some(1 << 40)), ANSWER);
    }
}
