//! ELF (System V ABI, "Program Header"): what is loaded, and where it lies before it runs.

use std::fmt;

use object::FileKind;
use object::elf::{self, FileHeader32, FileHeader64};
use object::endian::Endianness;
use object::read::elf::{FileHeader, ProgramHeader};
use thiserror::Error;

use crate::image::{Image, OverlapError, RangeError};

/// Addresses from here on are not flash in an ELF for AVR (avr-libc and binutils put each memory at a range of its own).
pub const AVR_FLASH_END: u32 = 0x80_0000;

/// A memory of an AVR other than flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AvrSpace {
    /// 0x800000: RAM.
    Ram,
    /// 0x810000: EEPROM.
    Eeprom,
    /// 0x820000: fuses.
    Fuses,
    /// 0x830000: lock bits.
    Lock,
    /// 0x840000: signature.
    Signature,
    /// 0x850000: user signatures.
    UserSignatures,
    /// None that we know.
    Unknown,
}

impl AvrSpace {
    /// Of an address that is not flash.
    fn of(address: u32) -> Self {
        match address >> 16 {
            0x80 => Self::Ram,
            0x81 => Self::Eeprom,
            0x82 => Self::Fuses,
            0x83 => Self::Lock,
            0x84 => Self::Signature,
            0x85 => Self::UserSignatures,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for AvrSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ram => "RAM",
            Self::Eeprom => "EEPROM",
            Self::Fuses => "fuses",
            Self::Lock => "lock bits",
            Self::Signature => "signature",
            Self::UserSignatures => "user signatures",
            Self::Unknown => "an unknown memory",
        })
    }
}

/// Bytes of the file that are not part of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ignored {
    /// What they are meant for.
    pub space: AvrSpace,
    /// Where, as the file has it.
    pub address: u32,
    /// How many.
    pub len: u64,
}

/// What an ELF file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElfContents {
    /// What goes into flash.
    pub image: Image,
    /// `e_machine`: 83 is AVR.
    pub machine: u16,
    /// What does not.
    pub ignored: Vec<Ignored>,
}

/// Why bytes are not an ELF file that can be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ElfError {
    /// Another magic, or a class or version that there is not.
    #[error("not an ELF file")]
    NotElf,
    /// Its headers make no sense, or point outside the file.
    #[error("damaged: {reason}")]
    Damaged {
        /// In the parser's words.
        reason: String,
    },
    /// A segment's bytes lie outside the file: it is cut off.
    #[error("segment {segment} lies outside the file")]
    CutOff {
        /// Its place in the program headers, counted from 0.
        segment: usize,
    },
    /// Segments claim more bytes than the file has.
    #[error("segments claim more bytes than the file has")]
    TooMuch,
    /// A load address that does not fit into 32 bits.
    #[error("segment {segment} is loaded at {address:#x}, beyond 32-bit addresses")]
    Beyond {
        /// Its place in the program headers, counted from 0.
        segment: usize,
        /// Its load address.
        address: u64,
    },
    /// Two segments say different things about one byte.
    #[error("segments {first} and {second} contradict each other at {address:#010x}")]
    Overlap {
        /// The first byte they differ in.
        address: u32,
        /// Its place in the program headers, counted from 0.
        first: usize,
        /// Likewise.
        second: usize,
    },
}

impl From<object::read::Error> for ElfError {
    fn from(error: object::read::Error) -> Self {
        Self::Damaged { reason: error.to_string() }
    }
}

impl ElfContents {
    /// Reads the segments that are loaded (`PT_LOAD`) and have bytes in the file, at their physical address: where they
    /// lie in flash, from where the program's start moves its data to RAM. For AVR, other memories are set aside.
    pub fn read(bytes: &[u8]) -> Result<Self, ElfError> {
        match FileKind::parse(bytes) {
            Ok(FileKind::Elf32) => read::<FileHeader32<Endianness>>(bytes),
            Ok(FileKind::Elf64) => read::<FileHeader64<Endianness>>(bytes),
            _ => Err(ElfError::NotElf),
        }
    }
}

impl Image {
    /// What goes into flash, of an ELF file. [`ElfContents::read`] also tells what does not.
    pub fn from_elf(bytes: &[u8]) -> Result<Self, ElfError> {
        ElfContents::read(bytes).map(|contents| contents.image)
    }
}

fn read<Elf: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<ElfContents, ElfError> {
    let header = Elf::parse(bytes)?;
    let endian = header.endian()?;
    let machine = header.e_machine(endian);
    let (mut chunks, mut places, mut ignored) = (Vec::new(), Vec::new(), Vec::new());
    let mut claimed = 0;
    for (segment, program) in header.program_headers(endian, bytes)?.iter().enumerate() {
        let len: u64 = program.p_filesz(endian).into();
        if program.p_type(endian) != elf::PT_LOAD || len == 0 {
            continue;
        }
        // Headers are small and may all claim the same bytes; what is copied must not outgrow the file.
        claimed += u128::from(len);
        if claimed > bytes.len() as u128 {
            return Err(ElfError::TooMuch);
        }
        let wide: u64 = program.p_paddr(endian).into();
        let address = u32::try_from(wide).map_err(|_| ElfError::Beyond { segment, address: wide })?;
        if machine == elf::EM_AVR && address >= AVR_FLASH_END {
            ignored.push(Ignored { space: AvrSpace::of(address), address, len });
            continue;
        }
        let data = program.data(endian, bytes).map_err(|()| ElfError::CutOff { segment })?;
        chunks.push((address, data.to_vec()));
        places.push(segment);
    }
    let image = Image::from_chunks(chunks).map_err(|error| match error {
        RangeError::Overlap(OverlapError { address, first, second, .. }) => {
            ElfError::Overlap { address, first: places[first], second: places[second] }
        }
        RangeError::Beyond { chunk, address, .. } => {
            ElfError::Beyond { segment: places[chunk], address: u64::from(address) }
        }
    })?;
    Ok(ElfContents { image, machine: machine.0, ignored })
}
