//! What a file is, by its first bytes.

use std::fmt;

use android_sparse_image::HEADER_MAGIC;

use super::BOOT_MAGIC;

/// Bytes of a file's head that are enough to tell what it is.
pub const KIND_BYTES: usize = 64;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// An Android boot image.
    BootImage,
    /// Something in gzip: a kernel, or a ramdisk (RFC 1952, 2.3.1).
    Gzip,
    /// A kernel for arm64 as it is (Linux, Documentation/arch/arm64/booting.rst).
    Arm64Image,
    /// A kernel for arm that unpacks itself (Linux, arch/arm/boot/compressed/head.S).
    ArmZImage,
    /// An ELF.
    Elf,
    /// An Android sparse image.
    Sparse,
    /// None of these.
    Unknown,
}

impl FileKind {
    /// Is it a kernel, from which a boot image can be made? What is in a gzip is not looked at.
    #[must_use]
    pub fn is_kernel(self) -> bool {
        matches!(self, Self::Gzip | Self::Arm64Image | Self::ArmZImage)
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BootImage => "an Android boot image",
            Self::Gzip => "a gzip file",
            Self::Arm64Image => "a kernel for arm64",
            Self::ArmZImage => "a kernel for arm (zImage)",
            Self::Elf => "an ELF file",
            Self::Sparse => "an Android sparse image",
            Self::Unknown => "of no kind that is known",
        })
    }
}

/// Looks at how a file begins ([`KIND_BYTES`], or all there are). What follows need not be good.
#[must_use]
pub fn classify(head: &[u8]) -> FileKind {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    if at(0, BOOT_MAGIC) {
        FileKind::BootImage
    } else if at(0, &HEADER_MAGIC.to_le_bytes()) {
        FileKind::Sparse
    } else if at(0, &[0x1f, 0x8b, 8]) {
        FileKind::Gzip
    } else if at(0, b"\x7fELF") {
        FileKind::Elf
    } else if at(56, b"ARM\x64") {
        FileKind::Arm64Image
    } else if at(36, &0x016f_2818_u32.to_le_bytes()) {
        FileKind::ArmZImage
    } else {
        FileKind::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_its_magic() {
        let with = |offset: usize, magic: &[u8]| {
            let mut head = vec![0; KIND_BYTES];
            head[offset..offset + magic.len()].copy_from_slice(magic);
            head
        };
        for (head, kind) in [
            (with(0, b"ANDROID!"), FileKind::BootImage),
            (with(0, &[0x3a, 0xff, 0x26, 0xed]), FileKind::Sparse),
            (with(0, &[0x1f, 0x8b, 8]), FileKind::Gzip),
            (with(0, b"\x7fELF"), FileKind::Elf),
            (with(56, b"ARMd"), FileKind::Arm64Image),
            (with(36, &[0x18, 0x28, 0x6f, 0x01]), FileKind::ArmZImage),
            (with(0, b"ANDROID?"), FileKind::Unknown),
            (Vec::new(), FileKind::Unknown),
        ] {
            assert_eq!(classify(&head), kind);
            // Cut before its end, it is not known.
            let end = head.iter().rposition(|&byte| byte != 0).unwrap_or(0);
            assert_eq!(classify(&head[..end]), FileKind::Unknown);
        }
    }
}
