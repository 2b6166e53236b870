//! Whether what was downloaded can be started at all (AOSP, "Boot image header").

use thiserror::Error;

/// What every Android boot image begins with.
const MAGIC: &[u8] = b"ANDROID!";
/// Offsets of the numbers that are looked at, in bytes; all are little endian.
const KERNEL_LEN: usize = 8;
const RAMDISK_LEN: [usize; 2] = [16, 12];
const PAGE_LEN: usize = 36;
const HEADER_VERSION: usize = 40;
/// Of version 3 and above: it is not in the header.
const FIXED_PAGE_LEN: u64 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum NotBootable {
    #[error("nothing was downloaded")]
    Nothing,
    #[error("not an Android boot image")]
    Magic,
    #[error("boot image has a header that makes no sense")]
    Header,
    #[error("boot image is truncated")]
    Truncated,
}

/// Magic, header, and a kernel and a ramdisk that are there to their end.
pub(super) fn check(image: &[u8]) -> Result<(), NotBootable> {
    if image.is_empty() {
        return Err(NotBootable::Nothing);
    }
    if !image.starts_with(MAGIC) {
        return Err(NotBootable::Magic);
    }
    let number = |at: usize| {
        let bytes = image.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(|bytes| u64::from(u32::from_le_bytes(bytes))).ok_or(NotBootable::Truncated)
    };
    let new = number(HEADER_VERSION)? >= 3;
    let page = if new { FIXED_PAGE_LEN } else { number(PAGE_LEN)? };
    let (kernel, ramdisk) = (number(KERNEL_LEN)?, number(RAMDISK_LEN[usize::from(new)])?);
    if number(HEADER_VERSION)? > 4 || page == 0 || kernel == 0 {
        return Err(NotBootable::Header);
    }
    // The last part need not be filled up to a page.
    let kernel_end = page + kernel;
    let end = if ramdisk == 0 { kernel_end } else { kernel_end.next_multiple_of(page) + ramdisk };
    if (image.len() as u64) < end { Err(NotBootable::Truncated) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A boot image of version 0 with this kernel.
    fn image(kernel: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2048];
        image[..8].copy_from_slice(MAGIC);
        image[KERNEL_LEN..12].copy_from_slice(&(kernel.len() as u32).to_le_bytes());
        image[PAGE_LEN..40].copy_from_slice(&2048_u32.to_le_bytes());
        image.extend(kernel);
        image
    }

    #[test]
    fn what_cannot_be_started_is_told_apart() {
        assert_eq!(check(&[]), Err(NotBootable::Nothing));
        assert_eq!(check(b"MZ and more"), Err(NotBootable::Magic));
        let good = image(b"kernel");
        assert_eq!(check(&good), Ok(()));
        for end in 8..good.len() {
            assert_eq!(check(&good[..end]), Err(NotBootable::Truncated), "{end}");
        }
        assert_eq!(check(&image(b"")), Err(NotBootable::Header));
        let mut new = image(b"");
        new[HEADER_VERSION] = 4;
        new[KERNEL_LEN] = 10;
        new[12] = 1;
        new.resize(8193, 0);
        assert_eq!(check(&new), Ok(()));
        assert_eq!(check(&new[..8192]), Err(NotBootable::Truncated));
    }
}
