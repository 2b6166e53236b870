//! A tar, entry by entry.

use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime};

use ::tar::{Archive, Entry, EntryType};

use super::metered::{Allowance, Metered};
use super::path::{entry_path, link_target};
use super::sparse::Sparse;
use super::told;
use super::{COPY_BYTES, EntryError, Unpacker};
use crate::InstallError;

/// An entry's header with its long names; names are 4096 bytes at most (PATH_MAX), a sparse map may be longer.
const HEADER_BYTES_MAX: u64 = 1 << 20;
/// Zeros after the end: a tape's record is filled with them, and GNU tar makes ones of 32 MiB at most (`-b 65535`).
const PADDING_BYTES_MAX: u64 = 64 << 20;

impl Unpacker {
    /// Unpacks a tar. `archive` is its name in errors.
    pub(crate) fn tar(&mut self, archive: &Path, reader: impl Read) -> Result<(), InstallError> {
        let allowance = Allowance::default();
        let mut tar = Archive::new(Metered { inner: reader, allowance: allowance.clone() });
        let bad = |source| InstallError::archive(archive, source);
        allowance.set(HEADER_BYTES_MAX);
        let mut entries = tar.entries().map_err(bad)?;
        loop {
            allowance.set(HEADER_BYTES_MAX);
            let Some(entry) = entries.next() else { break };
            let entry = entry.map_err(|source| match allowance.is_spent() {
                true => InstallError::Refused {
                    archive: archive.to_owned(),
                    entry: "?".into(),
                    why: "its header is longer than 1 MiB",
                },
                false => bad(source),
            })?;
            // Padding and a sparse file's holes are not counted here; what is written is, below.
            allowance.set(entry.size().saturating_add(HEADER_BYTES_MAX));
            self.entry(archive, entry)?;
        }
        // What is left is padding, and the checksum of whatever compressed it.
        allowance.set(u64::MAX);
        self.skip_tail(archive, tar.into_inner())?;
        self.settle(archive)
    }

    fn skip_tail(&mut self, archive: &Path, mut tail: impl Read) -> Result<(), InstallError> {
        let bad = |source| InstallError::archive(archive, source);
        let (mut padding, mut other) = (0, 0);
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            let count = tail.read(&mut buffer).map_err(bad)?;
            if count == 0 {
                return Ok(());
            }
            let zeros = match other {
                0 => buffer[..count].iter().take_while(|&&byte| byte == 0).count(),
                _ => 0,
            };
            padding += zeros as u64;
            other += (count - zeros) as u64;
            if padding > PADDING_BYTES_MAX {
                return Err(bad(io::Error::other("more than 64 MiB of padding follows its end")));
            }
            if other > HEADER_BYTES_MAX {
                return Err(bad(io::Error::other("more than 1 MiB follows its end")));
            }
            self.still_wanted(archive)?;
        }
    }

    fn entry(&mut self, archive: &Path, mut entry: Entry<'_, impl Read>) -> Result<(), InstallError> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let mut name = entry.path_bytes().into_owned();
        let holes = if kind == EntryType::Regular { holes(archive, &name, &mut entry)? } else { None };
        if let Some(said) = holes.as_ref().and_then(|holes| holes.name.as_ref()) {
            name.clone_from(said);
        }
        // Before there was a kind for folders, the name said it (tar(5), "Old-Style Archive Format").
        let kind = match kind {
            EntryType::Regular if name.ends_with(b"/") => EntryType::Directory,
            kind => kind,
        };
        self.still_wanted(archive)?;
        self.judged(archive, &name, kind, holes, &mut entry).map_err(|error| error.of(archive, &name))
    }

    fn judged(
        &mut self,
        archive: &Path,
        name: &[u8],
        kind: EntryType,
        holes: Option<Sparse>,
        entry: &mut Entry<'_, impl Read>,
    ) -> Result<(), EntryError> {
        let refused = EntryError::Refused;
        self.count()?;
        let path = entry_path(name).and_then(|path| self.below_top(path)).map_err(refused)?;
        let mode = entry.header().mode().map_err(|_| refused("its mode is no number"))?;
        if path.as_os_str().is_empty() {
            return match kind {
                EntryType::Directory => Ok(()),
                _ => Err(refused("its name is the package's own folder")),
            };
        }
        match kind {
            EntryType::Directory => self.folder(&path),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let seconds = entry.header().mtime().unwrap_or(0);
                let modified = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
                match holes {
                    Some(holes) => {
                        let packed = entry.size();
                        self.file(archive, &path, mode, modified, &mut holes.content(entry, packed)?)
                    }
                    None => self.file(archive, &path, mode, modified, entry),
                }
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().ok_or(refused("it links to nothing"))?;
                let target = link_target(&path, &target).map_err(refused)?;
                self.symlink(&path, target)
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().ok_or(refused("it links to nothing"))?;
                let target = entry_path(&target).and_then(|target| self.below_top(target));
                let target = target.map_err(|_| refused("it links to outside the package"))?;
                self.hard_link(&path, &target)
            }
            EntryType::Char | EntryType::Block => Err(refused("it is a device node")),
            EntryType::Fifo => Err(refused("it is a named pipe")),
            _ => Err(refused("it is of a kind that no package needs")),
        }
    }
}

/// What is said beside an entry of its holes.
fn holes(
    archive: &Path,
    name: &[u8],
    entry: &mut Entry<'_, impl Read>,
) -> Result<Option<Sparse>, InstallError> {
    let said = entry.pax_extensions().map_err(|source| InstallError::archive(archive, source))?;
    // What is not of the form of these says nothing of holes: it is an attribute with bytes in it.
    let said = said.into_iter().flatten().filter_map(Result::ok);
    Sparse::of(said.map(|one| (one.key_bytes(), one.value_bytes()))).map_err(|why| InstallError::Refused {
        archive: archive.to_owned(),
        entry: told(name),
        why,
    })
}
