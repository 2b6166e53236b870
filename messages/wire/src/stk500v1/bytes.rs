//! The numbers of the protocol (AVR061, section "Command and response definitions"; optiboot's `stk500.h`).

/// Ends every command (`Sync_CRC_EOP`: there is no CRC, only this).
pub const CRC_EOP: u8 = 0x20;

/// Begins a reply: the command and its [`CRC_EOP`] were understood.
pub const INSYNC: u8 = 0x14;
/// In place of [`INSYNC`]: the command did not end in [`CRC_EOP`]. Optiboot resets instead of saying so.
pub const NOSYNC: u8 = 0x15;
/// Ends a reply: done.
pub const OK: u8 = 0x10;
/// Ends a reply: not done.
pub const FAILED: u8 = 0x11;
/// Ends a reply: no such command. Optiboot says [`OK`] to commands that it does not know.
pub const UNKNOWN: u8 = 0x12;
/// Ends a reply: no device has been described with `SET_DEVICE`.
pub const NODEVICE: u8 = 0x13;

/// `Cmnd_STK_GET_SYNC`.
pub const GET_SYNC: u8 = 0x30;
/// `Cmnd_STK_GET_PARAMETER`.
pub const GET_PARAMETER: u8 = 0x41;
/// `Cmnd_STK_SET_DEVICE`.
pub const SET_DEVICE: u8 = 0x42;
/// `Cmnd_STK_SET_DEVICE_EXT`.
pub const SET_DEVICE_EXT: u8 = 0x45;
/// `Cmnd_STK_ENTER_PROGMODE`.
pub const ENTER_PROGMODE: u8 = 0x50;
/// `Cmnd_STK_LEAVE_PROGMODE`.
pub const LEAVE_PROGMODE: u8 = 0x51;
/// `Cmnd_STK_LOAD_ADDRESS`.
pub const LOAD_ADDRESS: u8 = 0x55;
/// `Cmnd_STK_UNIVERSAL`.
pub const UNIVERSAL: u8 = 0x56;
/// `Cmnd_STK_PROG_PAGE`.
pub const PROG_PAGE: u8 = 0x64;
/// `Cmnd_STK_READ_PAGE`.
pub const READ_PAGE: u8 = 0x74;
/// `Cmnd_STK_READ_SIGN`.
pub const READ_SIGN: u8 = 0x75;

/// `Parm_STK_SW_MAJOR`: the loader's major version.
pub const PARAMETER_SW_MAJOR: u8 = 0x81;
/// `Parm_STK_SW_MINOR`: the loader's minor version.
pub const PARAMETER_SW_MINOR: u8 = 0x82;

/// Memory type of a page: flash.
pub const MEMORY_FLASH: u8 = b'F';
/// Memory type of a page: EEPROM.
pub const MEMORY_EEPROM: u8 = b'E';
