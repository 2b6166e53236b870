//! The header of an image that is there.

use thiserror::Error;

use super::{BOOT_MAGIC, CMDLINE_BYTES, EXTRA_CMDLINE_BYTES, HEADER_BYTES_MAX, at, is_page_size};

/// Pages of versions 3 and 4.
const PAGE_BYTES_V3: u32 = 4096;
/// Where version 3 has its command line.
const CMDLINE_V3: usize = 44;
/// Where version 4 has the length of its signature.
const SIGNATURE: usize = 1580;

/// Why a file is no boot image that we can use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BootImageError {
    /// It begins with something else.
    #[error("it does not begin with ANDROID!")]
    NotOne,
    /// It ends too early.
    #[error("it is cut: its {part} ends at byte {needs}, and the file has {has}; {} bytes are missing", needs - has)]
    Truncated {
        /// What is cut.
        part: &'static str,
        /// Bytes that the file has.
        has: u64,
        /// Bytes that it must have.
        needs: u64,
    },
    /// A version that nobody knew when this was written.
    #[error(
        "header version {0} is not known, versions 0 to 4 are (older images with a table of device trees have its length there)"
    )]
    Version(u32),
    /// Not a power of two from 2048 to 131072.
    #[error("a page of {0} bytes: it must be a power of two from 2048 to 131072")]
    PageSize(u32),
    /// There is nothing to boot.
    #[error("its kernel is empty")]
    NoKernel,
    /// The recovery's device tree lies over something else.
    #[error("its recovery DTBO is said to be at byte {said}, and what comes before it ends at {expected}")]
    Misplaced {
        /// Where it is said to be.
        said: u64,
        /// Where it can be.
        expected: u64,
    },
}

/// A part of an image. Empty: it is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Section {
    /// From the start of the file.
    pub offset: u64,
    /// Without the bytes that fill its last page.
    pub bytes: u32,
    /// Where it is loaded; 0 in versions 3 and 4, which do not say.
    pub address: u64,
}

impl Section {
    /// Is it there?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootHeader {
    /// 0 to 4.
    pub version: u32,
    /// Bytes of a page; each part begins at one.
    pub page_bytes: u32,
    /// The kernel.
    pub kernel: Section,
    /// The ramdisk.
    pub ramdisk: Section,
    /// The second stage (versions 0 to 2).
    pub second: Section,
    /// The recovery's device tree overlay (1 and 2).
    pub recovery_dtbo: Section,
    /// The device tree (2).
    pub dtb: Section,
    /// The signature (4).
    pub signature: Section,
    /// Where the tags go (0 to 2).
    pub tags_address: u32,
    /// Version of the system and its patches, as the header packs them.
    pub os_version: u32,
    /// The board's name (0 to 2), up to its first zero.
    pub name: Vec<u8>,
    /// What the kernel is told.
    pub cmdline: Vec<u8>,
    /// A hash of the parts, or zero (0 to 2).
    pub id: [u8; 32],
}

impl BootHeader {
    /// Reads it from the first bytes of a file ([`HEADER_BYTES_MAX`], or all there are) and the file's length.
    pub fn read(head: &[u8], file_bytes: u64) -> Result<Self, BootImageError> {
        let head = &head[..head.len().min(usize::try_from(file_bytes).unwrap_or(usize::MAX))];
        if !head.starts_with(BOOT_MAGIC) {
            let cut = !head.is_empty() && BOOT_MAGIC.starts_with(head);
            return Err(if cut { cut_header(head, BOOT_MAGIC.len()) } else { BootImageError::NotOne });
        }
        let field = Fields { head };
        let version = field.u32(at::VERSION)?;
        let read = match version {
            0..=2 => Self::read_old(&field, version)?,
            3 | 4 => Self::read_new(&field, version)?,
            other => return Err(BootImageError::Version(other)),
        };
        read.check(file_bytes)?;
        Ok(read)
    }

    fn read_old(field: &Fields<'_>, version: u32) -> Result<Self, BootImageError> {
        let header_bytes = [at::RECOVERY_DTBO, at::DTB, HEADER_BYTES_MAX][version as usize];
        field.bytes(0, header_bytes)?;
        let page_bytes = field.u32(36)?;
        if !is_page_size(page_bytes) {
            return Err(BootImageError::PageSize(page_bytes));
        }
        let mut place = Place { next: u64::from(page_bytes), page: u64::from(page_bytes) };
        let kernel = place.section(field.u32(8)?, field.u32(12)?.into());
        let ramdisk = place.section(field.u32(16)?, field.u32(20)?.into());
        let second = place.section(field.u32(24)?, field.u32(28)?.into());
        let (mut recovery_dtbo, mut dtb) = (Section::default(), Section::default());
        if version >= 1 {
            recovery_dtbo = place.section(field.u32(at::RECOVERY_DTBO)?, 0);
            let said = field.u64(at::RECOVERY_DTBO + 4)?;
            if !recovery_dtbo.is_empty() && said != recovery_dtbo.offset {
                return Err(BootImageError::Misplaced { said, expected: recovery_dtbo.offset });
            }
        }
        if version == 2 {
            dtb = place.section(field.u32(at::DTB)?, field.u64(at::DTB + 4)?);
        }
        // The second field goes on where the first is full; where it is not, some tools write there all the same.
        let mut cmdline = text(field.bytes(at::CMDLINE, CMDLINE_BYTES)?).to_vec();
        cmdline.extend_from_slice(text(field.bytes(at::EXTRA_CMDLINE, EXTRA_CMDLINE_BYTES)?));
        let mut id = [0; 32];
        id.copy_from_slice(field.bytes(at::ID, 32)?);
        Ok(Self {
            version,
            page_bytes,
            kernel,
            ramdisk,
            second,
            recovery_dtbo,
            dtb,
            signature: Section::default(),
            tags_address: field.u32(32)?,
            os_version: field.u32(44)?,
            name: text(field.bytes(48, 16)?).to_vec(),
            cmdline,
            id,
        })
    }

    fn read_new(field: &Fields<'_>, version: u32) -> Result<Self, BootImageError> {
        let page = u64::from(PAGE_BYTES_V3);
        let mut place = Place { next: page, page };
        let kernel = place.section(field.u32(8)?, 0);
        let ramdisk = place.section(field.u32(12)?, 0);
        let cmdline = text(field.bytes(CMDLINE_V3, super::CMDLINE_BYTES_MAX)?).to_vec();
        let signature = if version == 4 { field.u32(SIGNATURE)? } else { 0 };
        Ok(Self {
            version,
            page_bytes: PAGE_BYTES_V3,
            kernel,
            ramdisk,
            second: Section::default(),
            recovery_dtbo: Section::default(),
            dtb: Section::default(),
            signature: place.section(signature, 0),
            tags_address: 0,
            os_version: field.u32(16)?,
            name: Vec::new(),
            cmdline,
            id: [0; 32],
        })
    }

    fn check(&self, file_bytes: u64) -> Result<(), BootImageError> {
        if self.kernel.is_empty() {
            return Err(BootImageError::NoKernel);
        }
        // The last page need not be full: many tools leave its end out.
        let last = self.sections().into_iter().rfind(|(_, section)| !section.is_empty());
        let (part, section) = last.expect("the kernel is there");
        let needs = section.offset + u64::from(section.bytes);
        if needs <= file_bytes {
            return Ok(());
        }
        Err(BootImageError::Truncated { part, has: file_bytes, needs })
    }

    /// Its parts, in the order of the file.
    #[must_use]
    pub fn sections(&self) -> [(&'static str, Section); 6] {
        [
            ("kernel", self.kernel),
            ("ramdisk", self.ramdisk),
            ("second stage", self.second),
            ("recovery DTBO", self.recovery_dtbo),
            ("device tree", self.dtb),
            ("signature", self.signature),
        ]
    }
}

/// Up to the first zero.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn cut_header(head: &[u8], needs: usize) -> BootImageError {
    BootImageError::Truncated { part: "header", has: head.len() as u64, needs: needs as u64 }
}

/// Where the next part begins.
struct Place {
    next: u64,
    page: u64,
}

impl Place {
    fn section(&mut self, bytes: u32, address: u64) -> Section {
        let offset = self.next;
        self.next += u64::from(bytes).next_multiple_of(self.page);
        Section { offset, bytes, address }
    }
}

struct Fields<'a> {
    head: &'a [u8],
}

impl Fields<'_> {
    fn bytes(&self, at: usize, len: usize) -> Result<&[u8], BootImageError> {
        self.head.get(at..at + len).ok_or_else(|| cut_header(self.head, at + len))
    }

    fn u32(&self, at: usize) -> Result<u32, BootImageError> {
        Ok(u32::from_le_bytes(self.bytes(at, 4)?.try_into().expect("four bytes were asked for")))
    }

    fn u64(&self, at: usize) -> Result<u64, BootImageError> {
        Ok(u64::from_le_bytes(self.bytes(at, 8)?.try_into().expect("eight bytes were asked for")))
    }
}
