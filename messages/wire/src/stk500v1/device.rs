//! The other end: what a loader hears and says. For simulators, tests and fuzzers.

use super::bytes;
use super::command::{Command, Memory, Parameter};
use super::page::{PAGE_LEN_MAX, PageData};

/// What a loader was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A command.
    Command(Command),
    /// A command that is not in the table, and its `CRC_EOP`. Optiboot answers `OK`.
    Unknown(u8),
    /// The byte behind a command is not `CRC_EOP`. Optiboot resets; the STK500 answers `NOSYNC`.
    NoEop {
        /// The command's first byte.
        opcode: u8,
        /// What stood where `CRC_EOP` belongs.
        found: u8,
    },
    /// A `PROG_PAGE` of no bytes, or of more than the buffer holds. The bytes that follow are not a command.
    BadLength(u16),
    /// A page of neither flash nor EEPROM; the page's bytes and `CRC_EOP` have been taken.
    BadMemory(u8),
}

/// What became of bytes that were fed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard<'a> {
    /// All was taken; more is needed.
    Need,
    /// One command, good or bad.
    Told {
        /// What it is.
        told: Told,
        /// What stands behind it, untouched.
        unused: &'a [u8],
    },
}

/// Takes one command out of a stream, in whatever chunks it comes. After each it is as new.
#[derive(Debug, Clone, Default)]
pub struct CommandParser {
    /// At most a header, a page and `CRC_EOP`.
    held: Vec<u8>,
}

impl CommandParser {
    /// At the beginning of a command.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes, up to the end of one command.
    pub fn feed<'a>(&mut self, chunk: &'a [u8]) -> Heard<'a> {
        for (at, &byte) in chunk.iter().enumerate() {
            self.held.push(byte);
            if let Some(told) = self.complete() {
                self.held.clear();
                return Heard::Told { told, unused: &chunk[at + 1..] };
            }
        }
        Heard::Need
    }

    /// The command that is held, if it is whole.
    fn complete(&self) -> Option<Told> {
        let opcode = *self.held.first()?;
        let header_len = match opcode {
            bytes::GET_PARAMETER => 2,
            bytes::LOAD_ADDRESS => 3,
            bytes::PROG_PAGE | bytes::READ_PAGE => 4,
            bytes::UNIVERSAL => 5,
            bytes::SET_DEVICE_EXT => 6,
            bytes::SET_DEVICE => 21,
            _ => 1,
        };
        let mut whole_len = header_len + 1;
        if opcode == bytes::PROG_PAGE {
            let len = self.length()?;
            if len == 0 || usize::from(len) > PAGE_LEN_MAX {
                return Some(Told::BadLength(len));
            }
            whole_len += usize::from(len);
        }
        if self.held.len() < whole_len {
            return None;
        }
        let (last, body) = self.held.split_last()?;
        if *last != bytes::CRC_EOP {
            return Some(Told::NoEop { opcode, found: *last });
        }
        Some(self.decode(opcode, &body[1..]))
    }

    /// The length that a page's header gives, once it is there.
    fn length(&self) -> Option<u16> {
        Some(u16::from_be_bytes(self.held.get(1..3)?.try_into().ok()?))
    }

    /// A whole command, without opcode and `CRC_EOP`: as long as [`Self::complete`] has counted.
    fn decode(&self, opcode: u8, body: &[u8]) -> Told {
        const COUNTED: &str = "complete() has counted the bytes";
        let command = match opcode {
            bytes::GET_SYNC => Command::GetSync,
            bytes::GET_PARAMETER => Command::GetParameter(Parameter(body[0])),
            bytes::SET_DEVICE => Command::SetDevice(body.try_into().expect(COUNTED)),
            bytes::SET_DEVICE_EXT => Command::SetDeviceExt(body.try_into().expect(COUNTED)),
            bytes::ENTER_PROGMODE => Command::EnterProgmode,
            bytes::LEAVE_PROGMODE => Command::LeaveProgmode,
            bytes::LOAD_ADDRESS => Command::LoadAddress(u16::from_le_bytes(body.try_into().expect(COUNTED))),
            bytes::UNIVERSAL => Command::Universal(body.try_into().expect(COUNTED)),
            bytes::READ_SIGN => Command::ReadSignature,
            bytes::PROG_PAGE | bytes::READ_PAGE => {
                let Some(memory) = Memory::from_byte(body[2]) else { return Told::BadMemory(body[2]) };
                if opcode == bytes::READ_PAGE {
                    Command::ReadPage { memory, len: self.length().expect(COUNTED) }
                } else {
                    let data = PageData::new(body[3..].to_vec()).expect(COUNTED);
                    Command::ProgPage { memory, data }
                }
            }
            _ => return Told::Unknown(opcode),
        };
        Told::Command(command)
    }
}

/// How a loader ends a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Done.
    Ok,
    /// Not done.
    Failed,
    /// No such command.
    Unknown,
    /// No device described.
    NoDevice,
}

/// Appends the reply to a command: `INSYNC`, data, status.
pub fn encode_reply(data: &[u8], status: Status, out: &mut Vec<u8>) {
    out.push(bytes::INSYNC);
    out.extend_from_slice(data);
    out.push(match status {
        Status::Ok => bytes::OK,
        Status::Failed => bytes::FAILED,
        Status::Unknown => bytes::UNKNOWN,
        Status::NoDevice => bytes::NODEVICE,
    });
}
