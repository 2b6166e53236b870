//! The command line of an image that is there.

use std::io::{self, Read, Write};

use thiserror::Error;

use super::build::put_cmdline;
use super::{BootHeader, BootImageError, CMDLINE_BYTES_MAX, HEADER_BYTES_MAX};

/// What becomes of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CmdlineEdit<'a> {
    /// This instead.
    Replace(&'a str),
    /// This behind it, with a blank between.
    Append(&'a str),
}

/// Why a command line cannot be changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CmdlineError {
    /// The image is none.
    #[error(transparent)]
    Image(#[from] BootImageError),
    /// Versions 3 and 4 have part of it in another partition, and a signature over it.
    #[error("the command line of an image of header version {0} is not changed, only of 0, 1 and 2")]
    Version(u32),
    /// It does not fit.
    #[error("the command line would have {0} bytes, and {CMDLINE_BYTES_MAX} fit")]
    TooLong(usize),
    /// A zero would end it.
    #[error("the command line has a zero byte in it, at byte {0}")]
    HasZero(usize),
    /// The image cannot be read or written.
    #[error("copy the image: {0}")]
    Copy(#[from] io::Error),
}

/// Changes the command line in the head of an image, and nothing else: the hash in it is of its parts.
pub fn edit_cmdline(head: &mut [u8], file_bytes: u64, edit: CmdlineEdit<'_>) -> Result<(), CmdlineError> {
    let header = BootHeader::read(head, file_bytes)?;
    if header.version > 2 {
        return Err(CmdlineError::Version(header.version));
    }
    let cmdline = match edit {
        CmdlineEdit::Replace(text) => text.as_bytes().to_vec(),
        CmdlineEdit::Append(text) if header.cmdline.is_empty() || text.is_empty() => {
            [&header.cmdline[..], text.as_bytes()].concat()
        }
        CmdlineEdit::Append(text) => [&header.cmdline[..], b" ", text.as_bytes()].concat(),
    };
    if let Some(zero) = cmdline.iter().position(|&byte| byte == 0) {
        return Err(CmdlineError::HasZero(zero));
    }
    if cmdline.len() > CMDLINE_BYTES_MAX {
        return Err(CmdlineError::TooLong(cmdline.len()));
    }
    put_cmdline(head, &cmdline);
    Ok(())
}

/// Copies an image of `file_bytes` with another command line. Nothing is written where the image is no good one.
pub fn copy_with_cmdline(
    from: &mut dyn Read,
    file_bytes: u64,
    edit: CmdlineEdit<'_>,
    to: &mut dyn Write,
) -> Result<u64, CmdlineError> {
    let mut head = Vec::with_capacity(HEADER_BYTES_MAX);
    from.take(HEADER_BYTES_MAX as u64).read_to_end(&mut head)?;
    edit_cmdline(&mut head, file_bytes, edit)?;
    to.write_all(&head)?;
    let left = file_bytes.saturating_sub(head.len() as u64);
    let copied = io::copy(&mut from.take(left), to)?;
    if copied < left {
        let has = head.len() as u64 + copied;
        return Err(BootImageError::Truncated { part: "file", has, needs: file_bytes }.into());
    }
    Ok(file_bytes)
}
