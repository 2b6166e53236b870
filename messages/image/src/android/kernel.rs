//! How a kernel stands in a boot image.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use thiserror::Error;

use super::{FileKind, classify};

/// Bytes that an unpacked kernel may have: several times the largest that a distribution has.
pub const KERNEL_BYTES_MAX: u64 = 256 << 20;

/// How a kernel is to stand in an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KernelEncoding {
    /// As it is.
    #[default]
    Plain,
    /// Compressed with gzip.
    Gzip,
    /// As it is, with the device tree behind it.
    PlainWithDtb,
    /// Compressed with gzip, with the device tree behind it.
    GzipWithDtb,
}

impl KernelEncoding {
    /// Does the device tree stand behind the kernel?
    #[must_use]
    pub fn has_dtb(self) -> bool {
        matches!(self, Self::PlainWithDtb | Self::GzipWithDtb)
    }
}

/// Why a kernel cannot be brought into the form that a device wants.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KernelError {
    /// It is empty.
    #[error("the kernel is empty")]
    Empty,
    /// The device wants a device tree behind it, and there is none.
    #[error("this device wants a device tree behind its kernel, and none was given")]
    NoDtb,
    /// Damaged.
    #[error("unpack the kernel: {0}")]
    Damaged(String),
    /// It unpacks to more than any kernel has.
    #[error("unpacked, the kernel has more than {KERNEL_BYTES_MAX} bytes")]
    TooLarge,
}

/// A kernel as a device wants it, whether it came in gzip or not. What is in gzip and shall be so is left as it is; what
/// is packed anew is the same bytes each time.
pub fn encode_kernel(
    kernel: &[u8],
    dtb: Option<&[u8]>,
    encoding: KernelEncoding,
) -> Result<Vec<u8>, KernelError> {
    if kernel.is_empty() {
        return Err(KernelError::Empty);
    }
    let is_packed = classify(kernel) == FileKind::Gzip;
    let pack = matches!(encoding, KernelEncoding::Gzip | KernelEncoding::GzipWithDtb);
    let mut encoded = match (pack, is_packed) {
        (true, false) => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(kernel).and_then(|()| encoder.finish()).expect("a vector takes every byte")
        }
        (false, true) => {
            let mut plain = Vec::new();
            let read = GzDecoder::new(kernel).take(KERNEL_BYTES_MAX + 1).read_to_end(&mut plain);
            read.map_err(|error| KernelError::Damaged(error.to_string()))?;
            if plain.len() as u64 > KERNEL_BYTES_MAX {
                return Err(KernelError::TooLarge);
            }
            plain
        }
        _ => kernel.to_vec(),
    };
    if encoding.has_dtb() {
        encoded.extend_from_slice(dtb.filter(|dtb| !dtb.is_empty()).ok_or(KernelError::NoDtb)?);
    }
    Ok(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_comes_out_as_it_is_wanted() {
        let kernel = b"a kernel, a kernel, a kernel".as_slice();
        let packed = encode_kernel(kernel, None, KernelEncoding::Gzip).unwrap();
        assert_eq!(classify(&packed), FileKind::Gzip);
        assert_eq!(encode_kernel(&packed, None, KernelEncoding::Gzip).unwrap(), packed);
        assert_eq!(encode_kernel(&packed, None, KernelEncoding::Plain).unwrap(), kernel);
        let with = encode_kernel(&packed, Some(b"tree"), KernelEncoding::PlainWithDtb).unwrap();
        assert_eq!(with, b"a kernel, a kernel, a kerneltree");
        let with = encode_kernel(kernel, Some(b"tree"), KernelEncoding::GzipWithDtb).unwrap();
        assert_eq!(with, [&packed[..], b"tree"].concat());
        assert_eq!(encode_kernel(kernel, None, KernelEncoding::GzipWithDtb), Err(KernelError::NoDtb));
        assert_eq!(encode_kernel(b"", None, KernelEncoding::Plain), Err(KernelError::Empty));
        let cut = encode_kernel(&packed[..packed.len() - 9], None, KernelEncoding::Plain);
        assert!(matches!(cut, Err(KernelError::Damaged(_))), "{cut:?}");
    }
}
