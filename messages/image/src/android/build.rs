//! A boot image from its parts.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};

use sha1::{Digest, Sha1};
use thiserror::Error;

use super::{BOOT_MAGIC, CMDLINE_BYTES, CMDLINE_BYTES_MAX, EXTRA_CMDLINE_BYTES, HEADER_BYTES_MAX, at};

/// What is read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// How an image is laid out, and what it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootLayout {
    /// 0, 1 or 2.
    pub header_version: u32,
    /// Bytes.
    pub page_bytes: u32,
    /// What the offsets are from.
    pub base: u64,
    /// Of the kernel, from the base.
    pub kernel_offset: u64,
    /// Of the ramdisk.
    pub ramdisk_offset: u64,
    /// Of the second stage.
    pub second_offset: u64,
    /// Of the tags.
    pub tags_offset: u64,
    /// Of the device tree (version 2).
    pub dtb_offset: u64,
    /// Bytes that a kernel may have.
    pub kernel_bytes_max: Option<u64>,
    /// Bytes that a ramdisk may have.
    pub ramdisk_bytes_max: Option<u64>,
    /// Bytes that the whole image may have.
    pub image_bytes_max: Option<u64>,
}

impl Default for BootLayout {
    /// Those that the tool people know takes where nobody says others (`fastboot --help`).
    fn default() -> Self {
        Self {
            header_version: 0,
            page_bytes: 2048,
            base: 0x1000_0000,
            kernel_offset: 0x8000,
            ramdisk_offset: 0x0100_0000,
            second_offset: 0x00f0_0000,
            tags_offset: 0x100,
            dtb_offset: 0x0110_0000,
            kernel_bytes_max: None,
            ramdisk_bytes_max: None,
            image_bytes_max: None,
        }
    }
}

/// A part of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The kernel.
    Kernel,
    /// The ramdisk.
    Ramdisk,
    /// The second stage.
    Second,
    /// The tags.
    Tags,
    /// The device tree.
    Dtb,
    /// All of it.
    Image,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Ramdisk => "ramdisk",
            Self::Second => "second stage",
            Self::Tags => "tags",
            Self::Dtb => "device tree",
            Self::Image => "image",
        })
    }
}

/// Why no image can be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Versions 3 and 4 are made of two partitions; others are not known.
    #[error("header version {0} cannot be built, only 0, 1 and 2")]
    Version(u32),
    /// Not a power of two from 2048 to 131072.
    #[error("a page of {0} bytes: it must be a power of two from 2048 to 131072")]
    PageSize(u32),
    /// The kernel is empty.
    #[error("the kernel is empty")]
    NoKernel,
    /// Version 2 has a device tree.
    #[error("header version 2 wants a device tree, and none was given")]
    NoDtb,
    /// Versions 0 and 1 have no place for a device tree.
    #[error("header version {0} has no place for a device tree; it can stand behind the kernel")]
    DtbHasNoPlace(u32),
    /// The command line does not fit.
    #[error("the command line has {0} bytes, and {CMDLINE_BYTES_MAX} fit")]
    CmdlineTooLong(usize),
    /// A zero would end it.
    #[error("the command line has a zero byte in it, at byte {0}")]
    CmdlineHasZero(usize),
    /// More than the device takes, or than a header can say.
    #[error("the {part} has {bytes} bytes, and {max} fit")]
    TooLarge {
        /// What.
        part: Part,
        /// Bytes that it has.
        bytes: u64,
        /// Bytes that it may have.
        max: u64,
    },
    /// An address that the header has no room for.
    #[error("the {part} would go to {base:#x} + {offset:#x}, which is no address")]
    Address {
        /// What.
        part: Part,
        /// The base.
        base: u64,
        /// From there.
        offset: u64,
    },
    /// A part cannot be read.
    #[error("read the {part}: {error}")]
    Read {
        /// Which.
        part: Part,
        /// The system's words.
        error: io::Error,
    },
    /// A part was not the same when it was read again.
    #[error("the {0} changed while it was read")]
    Changed(Part),
    /// The image cannot be written.
    #[error("write the image: {0}")]
    Write(io::Error),
}

/// What a part is read from, twice: once for the hash, once to be written.
pub trait Source: Read + Seek {}
impl<T: Read + Seek> Source for T {}

/// What goes into an image. Each is read from where it begins, wherever it stands.
#[expect(missing_debug_implementations, reason = "a reader need not have one")]
pub struct Parts<'a> {
    /// As the device wants it: [`super::encode_kernel`].
    pub kernel: &'a mut dyn Source,
    /// The ramdisk.
    pub ramdisk: Option<&'a mut dyn Source>,
    /// The second stage.
    pub second: Option<&'a mut dyn Source>,
    /// The device tree (version 2).
    pub dtb: Option<&'a mut dyn Source>,
}

/// One part while an image is written.
struct Open<'p, 'a> {
    part: Part,
    source: Option<&'p mut (dyn Source + 'a)>,
    bytes: u32,
}

/// Writes an image, byte for byte what AOSP's `mkbootimg` writes, and says how many bytes it has. Everything is
/// checked before the first byte is written.
pub fn write_boot_image(
    layout: &BootLayout,
    cmdline: &str,
    parts: Parts<'_>,
    to: &mut dyn Write,
) -> Result<u64, BuildError> {
    if layout.header_version > 2 {
        return Err(BuildError::Version(layout.header_version));
    }
    if !super::is_page_size(layout.page_bytes) {
        return Err(BuildError::PageSize(layout.page_bytes));
    }
    check_cmdline(cmdline)?;
    let Parts { kernel, ramdisk, second, dtb } = parts;
    let mut parts = [
        open(Part::Kernel, Some(kernel), layout.kernel_bytes_max)?,
        open(Part::Ramdisk, ramdisk, layout.ramdisk_bytes_max)?,
        open(Part::Second, second, None)?,
        open(Part::Dtb, dtb, None)?,
    ];
    let [kernel_bytes, _, _, dtb_bytes] = parts.each_ref().map(|part| part.bytes);
    if kernel_bytes == 0 {
        return Err(BuildError::NoKernel);
    }
    match (layout.header_version, dtb_bytes) {
        (2, 0) => return Err(BuildError::NoDtb),
        (version @ (0 | 1), 1..) => return Err(BuildError::DtbHasNoPlace(version)),
        _ => {}
    }
    let page = u64::from(layout.page_bytes);
    let bytes = page + parts.iter().map(|part| u64::from(part.bytes).next_multiple_of(page)).sum::<u64>();
    fits(Part::Image, bytes, layout.image_bytes_max)?;
    let mut header = header(layout, cmdline, parts.each_ref().map(|part| part.bytes))?;
    let id = id(layout.header_version, &mut parts)?;
    header[at::ID..at::ID + id.len()].copy_from_slice(&id);
    to.write_all(&header).map_err(BuildError::Write)?;
    fill(to, header.len() as u64, page)?;
    for part in &mut parts {
        part.each(&mut |chunk| to.write_all(chunk).map_err(BuildError::Write))?;
        fill(to, part.bytes.into(), page)?;
    }
    Ok(bytes)
}

pub(super) fn check_cmdline(cmdline: &str) -> Result<(), BuildError> {
    match cmdline.bytes().position(|byte| byte == 0) {
        Some(zero) => Err(BuildError::CmdlineHasZero(zero)),
        None if cmdline.len() > CMDLINE_BYTES_MAX => Err(BuildError::CmdlineTooLong(cmdline.len())),
        None => Ok(()),
    }
}

/// Puts a command line that fits into a header of version 0, 1 or 2.
pub(super) fn put_cmdline(header: &mut [u8], cmdline: &[u8]) {
    let (first, extra) = cmdline.split_at(cmdline.len().min(CMDLINE_BYTES));
    for (at, room, text) in
        [(at::CMDLINE, CMDLINE_BYTES, first), (at::EXTRA_CMDLINE, EXTRA_CMDLINE_BYTES, extra)]
    {
        header[at..at + room].fill(0);
        header[at..at + text.len()].copy_from_slice(text);
    }
}

fn fits(part: Part, bytes: u64, max: Option<u64>) -> Result<(), BuildError> {
    match max {
        Some(max) if bytes > max => Err(BuildError::TooLarge { part, bytes, max }),
        _ => Ok(()),
    }
}

fn open<'p, 'a>(
    part: Part,
    mut source: Option<&'p mut (dyn Source + 'a)>,
    max: Option<u64>,
) -> Result<Open<'p, 'a>, BuildError> {
    let bytes = match &mut source {
        None => 0,
        Some(source) => source.seek(SeekFrom::End(0)).map_err(|error| BuildError::Read { part, error })?,
    };
    fits(part, bytes, Some(max.unwrap_or(u64::MAX).min(u32::MAX.into())))?;
    Ok(Open { part, source, bytes: u32::try_from(bytes).expect("it was just compared") })
}

impl Open<'_, '_> {
    /// All its bytes, as many as there were at first.
    fn each(&mut self, take: &mut dyn FnMut(&[u8]) -> Result<(), BuildError>) -> Result<(), BuildError> {
        let part = self.part;
        let Some(source) = &mut self.source else { return Ok(()) };
        let wrong = |error| BuildError::Read { part, error };
        source.seek(SeekFrom::Start(0)).map_err(wrong)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut left = self.bytes as usize;
        while left > 0 {
            let room = left.min(buffer.len());
            match source.read(&mut buffer[..room]) {
                Ok(0) => return Err(BuildError::Changed(part)),
                Ok(read) => {
                    take(&buffer[..read])?;
                    left -= read;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(wrong(error)),
            }
        }
        Ok(())
    }
}

/// SHA-1 of each part and its length: kernel, ramdisk, second; the recovery's DTBO from version 1 (there is none); the
/// device tree in version 2.
fn id(version: u32, parts: &mut [Open<'_, '_>; 4]) -> Result<[u8; 20], BuildError> {
    let mut hash = Sha1::new();
    let [kernel, ramdisk, second, dtb] = parts;
    for part in [kernel, ramdisk, second] {
        part.hash(&mut hash)?;
    }
    if version >= 1 {
        hash.update(0_u32.to_le_bytes());
    }
    if version >= 2 {
        dtb.hash(&mut hash)?;
    }
    Ok(hash.finalize().into())
}

impl Open<'_, '_> {
    fn hash(&mut self, hash: &mut Sha1) -> Result<(), BuildError> {
        self.each(&mut |chunk| {
            hash.update(chunk);
            Ok(())
        })?;
        hash.update(self.bytes.to_le_bytes());
        Ok(())
    }
}

fn header(layout: &BootLayout, cmdline: &str, bytes: [u32; 4]) -> Result<Vec<u8>, BuildError> {
    let [kernel, ramdisk, second, dtb] = bytes;
    let base = layout.base;
    let sum = |part, offset| base.checked_add(offset).ok_or(BuildError::Address { part, base, offset });
    let address = |part, offset| {
        u32::try_from(sum(part, offset)?).map_err(|_| BuildError::Address { part, base, offset })
    };
    // What is not there has no address.
    let of = |bytes, part, offset| if bytes == 0 { Ok(0) } else { address(part, offset) };
    let mut header = Vec::with_capacity(HEADER_BYTES_MAX);
    header.extend_from_slice(BOOT_MAGIC);
    for field in [
        kernel,
        address(Part::Kernel, layout.kernel_offset)?,
        ramdisk,
        of(ramdisk, Part::Ramdisk, layout.ramdisk_offset)?,
        second,
        of(second, Part::Second, layout.second_offset)?,
        address(Part::Tags, layout.tags_offset)?,
        layout.page_bytes,
        layout.header_version,
    ] {
        header.extend_from_slice(&field.to_le_bytes());
    }
    header.resize(at::RECOVERY_DTBO, 0);
    put_cmdline(&mut header, cmdline.as_bytes());
    let header_bytes = if layout.header_version == 2 { HEADER_BYTES_MAX } else { at::DTB };
    if layout.header_version >= 1 {
        // No recovery DTBO: its length and its offset.
        header.extend_from_slice(&[0; 12]);
        header.extend_from_slice(&u32::try_from(header_bytes).expect("it is small").to_le_bytes());
    }
    if layout.header_version == 2 {
        header.extend_from_slice(&dtb.to_le_bytes());
        header.extend_from_slice(&sum(Part::Dtb, layout.dtb_offset)?.to_le_bytes());
    }
    Ok(header)
}

/// Zeros, to the end of the page.
fn fill(to: &mut dyn Write, written: u64, page: u64) -> Result<(), BuildError> {
    let mut missing = written.next_multiple_of(page) - written;
    let zeros = [0; 4096];
    while missing > 0 {
        let some = missing.min(zeros.len() as u64);
        to.write_all(&zeros[..usize::try_from(some).expect("a page")]).map_err(BuildError::Write)?;
        missing -= some;
    }
    Ok(())
}
