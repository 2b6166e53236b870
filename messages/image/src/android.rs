//! Android boot images (AOSP, "Boot image header").
//!
//! Versions 0 to 2 are built, and their command line is changed; 0 to 4 are read. An image is known from its head and
//! its length, and written from readers to a writer: none is ever in memory as a whole.

mod build;
mod cmdline;
mod header;
mod kernel;
mod kind;

pub use build::{BootLayout, BuildError, Part, Parts, Source, write_boot_image};
pub use cmdline::{CmdlineEdit, CmdlineError, copy_with_cmdline, edit_cmdline};
pub use header::{BootHeader, BootImageError, Section};
pub use kernel::{KERNEL_BYTES_MAX, KernelEncoding, KernelError, encode_kernel};
pub use kind::{FileKind, KIND_BYTES, classify};

/// What an image begins with.
pub const BOOT_MAGIC: &[u8; 8] = b"ANDROID!";
/// Bytes that an image's header may take, so that this many of its head are enough to read it.
pub const HEADER_BYTES_MAX: usize = 1660;
/// Bytes of the command line's first field, in versions 0 to 2.
const CMDLINE_BYTES: usize = 512;
/// Bytes of its second field, which goes on where the first ends.
const EXTRA_CMDLINE_BYTES: usize = 1024;
/// Bytes that a command line may have; in versions 3 and 4 it is one field.
pub const CMDLINE_BYTES_MAX: usize = CMDLINE_BYTES + EXTRA_CMDLINE_BYTES;
/// The smallest page: the header of version 2 has 1660 bytes, and is one page.
pub const PAGE_BYTES_MIN: u32 = 2048;
/// The largest page of any NAND flash that was booted from.
pub const PAGE_BYTES_MAX: u32 = 128 << 10;
/// Where fields are, in bytes from the start, in versions 0 to 2.
mod at {
    pub(super) const VERSION: usize = 40;
    pub(super) const CMDLINE: usize = 64;
    pub(super) const ID: usize = 576;
    pub(super) const EXTRA_CMDLINE: usize = 608;
    pub(super) const RECOVERY_DTBO: usize = 1632;
    pub(super) const DTB: usize = 1648;
}

/// Whether an image may have such pages.
#[must_use]
pub fn is_page_size(bytes: u32) -> bool {
    bytes.is_power_of_two() && (PAGE_BYTES_MIN..=PAGE_BYTES_MAX).contains(&bytes)
}
