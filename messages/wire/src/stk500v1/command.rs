//! What a host says.

use super::bytes;
use super::page::PageData;

/// Which memory a page is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Memory {
    /// Program memory.
    Flash,
    /// Data that outlives power. Optiboot serves it only if built so (`SUPPORT_EEPROM`).
    Eeprom,
}

impl Memory {
    /// As it is sent.
    pub fn byte(self) -> u8 {
        match self {
            Self::Flash => bytes::MEMORY_FLASH,
            Self::Eeprom => bytes::MEMORY_EEPROM,
        }
    }

    /// As it was received.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            bytes::MEMORY_FLASH => Some(Self::Flash),
            bytes::MEMORY_EEPROM => Some(Self::Eeprom),
            _ => None,
        }
    }
}

/// Which of the programmer's parameters is asked for (AVR061, "Parameter definitions").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Parameter(pub u8);

impl Parameter {
    /// The loader's major version.
    pub const SW_MAJOR: Self = Self(bytes::PARAMETER_SW_MAJOR);
    /// The loader's minor version.
    pub const SW_MINOR: Self = Self(bytes::PARAMETER_SW_MINOR);
}

/// A command, from a host to a loader (AVR061, "Commands").
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// Is anybody there? Changes nothing; may be asked again.
    GetSync,
    /// Read a parameter. Optiboot knows the two versions, and answers 3 to anything else.
    GetParameter(Parameter),
    /// Describe the chip (AVR061, `Cmnd_STK_SET_DEVICE`). Optiboot ignores it.
    SetDevice([u8; 20]),
    /// Describe more of the chip. Its first byte is the number of bytes (AVR061: `commandsize`), itself
    /// included; always five. Optiboot ignores it.
    SetDeviceExt([u8; 5]),
    /// Begin to program. Optiboot ignores it: it always programs.
    EnterProgmode,
    /// Stop programming. Optiboot answers, then lets its watchdog (16 ms) reset the chip into the application:
    /// **this is the handoff**, and the bytes behind its reply are the application's first output.
    LeaveProgmode,
    /// Where the next page goes, in **words** for flash.
    LoadAddress(u16),
    /// Four bytes for the chip's own serial programming; one comes back.
    Universal([u8; 4]),
    /// Erase and write a page at the loaded address. Optiboot answers `INSYNC` when it has the bytes and `OK`
    /// when they are written.
    ProgPage {
        /// Which memory.
        memory: Memory,
        /// What to write.
        data: PageData,
    },
    /// Read from the loaded address.
    ReadPage {
        /// Which memory.
        memory: Memory,
        /// How many bytes. Optiboot for chips with pages of up to 128 bytes counts in eight bits.
        len: u16,
    },
    /// Read the three bytes that tell which chip this is.
    ReadSignature,
}

impl Command {
    /// Appends the command and its `CRC_EOP`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::GetSync => out.push(bytes::GET_SYNC),
            Self::GetParameter(Parameter(which)) => out.extend([bytes::GET_PARAMETER, *which]),
            Self::SetDevice(about) => {
                out.push(bytes::SET_DEVICE);
                out.extend(about);
            }
            Self::SetDeviceExt(about) => {
                out.push(bytes::SET_DEVICE_EXT);
                out.extend(about);
            }
            Self::EnterProgmode => out.push(bytes::ENTER_PROGMODE),
            Self::LeaveProgmode => out.push(bytes::LEAVE_PROGMODE),
            Self::LoadAddress(word) => {
                out.push(bytes::LOAD_ADDRESS);
                out.extend(word.to_le_bytes());
            }
            Self::Universal(four) => {
                out.push(bytes::UNIVERSAL);
                out.extend(four);
            }
            Self::ProgPage { memory, data } => {
                let len = u16::try_from(data.len())
                    .expect("a page has at most 256 bytes: checked when it was made");
                out.push(bytes::PROG_PAGE);
                out.extend(len.to_be_bytes());
                out.push(memory.byte());
                out.extend(&data[..]);
            }
            Self::ReadPage { memory, len } => {
                out.push(bytes::READ_PAGE);
                out.extend(len.to_be_bytes());
                out.push(memory.byte());
            }
            Self::ReadSignature => out.push(bytes::READ_SIGN),
        }
        out.push(bytes::CRC_EOP);
    }

    /// How many bytes of data its reply has, between `INSYNC` and the status.
    pub fn reply_len(&self) -> usize {
        match self {
            Self::GetSync
            | Self::SetDevice(_)
            | Self::SetDeviceExt(_)
            | Self::EnterProgmode
            | Self::LeaveProgmode
            | Self::LoadAddress(_)
            | Self::ProgPage { .. } => 0,
            Self::GetParameter(_) | Self::Universal(_) => 1,
            Self::ReadSignature => 3,
            Self::ReadPage { len, .. } => usize::from(*len),
        }
    }
}
