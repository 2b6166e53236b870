//! What has arrived of a download: a file that outlives us, and the hash of what is in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::growing::Arrivals;
use crate::InstallError;
use crate::packages::Held;

/// What is read at once to hash what is there.
const READ_BYTES: usize = 128 << 10;
/// What names the version of a file is short; what is longer is not kept.
const VALIDATOR_BYTES_MAX: usize = 1024;

/// A download's bytes so far.
#[derive(Debug)]
pub(crate) struct Part {
    path: PathBuf,
    file: File,
    hash: Sha256,
    length: u64,
    /// None: what it is is learnt by taking it.
    expected: Option<[u8; 32]>,
    /// A server ended it in good order.
    ended: bool,
    length_max: u64,
    /// More came than may be.
    too_long: bool,
    /// Answers that its bytes are of.
    pieces: u32,
    /// What the server calls this version of the file: `If-Range` of the next try.
    validator: Option<String>,
    arrivals: Arrivals,
}

impl Part {
    /// Takes up what is there. Blocks: it is hashed.
    pub(crate) fn open(
        path: &Path,
        expected: Option<[u8; 32]>,
        length_max: u64,
        arrivals: Arrivals,
        held: &Held,
    ) -> Result<Self, InstallError> {
        let read_error = |error| InstallError::io("read", path, error);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| InstallError::io("make", folder, error))?;
        }
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(read_error)?;
        let (mut hash, mut length) = (Sha256::new(), 0);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    hash.update(&buffer[..count]);
                    length += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read_error(error)),
            }
            if held.given_up.load(Ordering::Relaxed) {
                return Err(InstallError::Interrupted { package: path.display().to_string() });
            }
        }
        let validator = fs::read_to_string(validator_of(path)).ok();
        let validator = validator.filter(|validator| validator.len() <= VALIDATOR_BYTES_MAX);
        // Nobody knows how many answers what is there is of, nor what became of it since.
        let pieces = if length > 0 { 2 } else { 0 };
        if length > 0 {
            arrivals.reached(length);
        }
        let path = path.to_owned();
        let (ended, too_long) = (false, false);
        Ok(Self {
            path,
            file,
            hash,
            length,
            expected,
            ended,
            length_max,
            too_long,
            pieces,
            validator,
            arrivals,
        })
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn validator(&self) -> Option<&str> {
        self.validator.as_deref()
    }

    /// Whether its bytes are of one answer.
    pub(crate) fn is_one_piece(&self) -> bool {
        self.pieces <= 1
    }

    /// What its bytes are, so far.
    pub(crate) fn found(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.length > 0 && self.expected.map_or(self.ended, |expected| self.found() == expected)
    }

    /// Whether more came than may be.
    pub(crate) fn is_too_long(&self) -> bool {
        self.too_long
    }

    /// A server says that this is all of it.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Begins again.
    pub(crate) fn clear(&mut self) -> Result<(), InstallError> {
        if self.length > 0 {
            self.arrivals.broken();
        }
        let mut clear = || -> io::Result<()> {
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))?;
            match fs::remove_file(validator_of(&self.path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        clear().map_err(|error| InstallError::io("write", &self.path, error))?;
        (self.hash, self.length, self.pieces, self.validator) = (Sha256::new(), 0, 0, None);
        (self.ended, self.too_long) = (false, false);
        Ok(())
    }

    /// Another answer's bytes follow; `validator` is of an answer that begins at the first byte.
    pub(crate) fn another_piece(&mut self, validator: Option<String>) -> Result<(), InstallError> {
        self.pieces += 1;
        if let Some(validator) = validator.filter(|validator| validator.len() <= VALIDATOR_BYTES_MAX) {
            let path = validator_of(&self.path);
            fs::write(&path, &validator).map_err(|error| InstallError::io("write", &path, error))?;
            self.validator = Some(validator);
        }
        Ok(())
    }

    /// Writes and hashes what arrives, to its end or to the most that it may have. Blocks.
    pub(crate) fn take_in(&mut self, arriving: &mut mpsc::Receiver<Bytes>) -> Result<(), InstallError> {
        while let Some(bytes) = arriving.blocking_recv() {
            let length = self.length + bytes.len() as u64;
            if length > self.length_max {
                self.too_long = true;
                return Ok(());
            }
            self.file.write_all(&bytes).map_err(|error| InstallError::io("write", &self.path, error))?;
            self.hash.update(&bytes);
            self.length = length;
            self.arrivals.reached(length);
        }
        Ok(())
    }

    /// Removes it; and the folder, where nothing else is in it.
    pub(crate) fn discard(mut self) -> Result<(), InstallError> {
        self.clear()?;
        fs::remove_file(&self.path).map_err(|error| InstallError::io("remove", &self.path, error))?;
        if let Some(folder) = self.path.parent() {
            let _holds_others = fs::remove_dir(folder);
        }
        Ok(())
    }

    /// It is whole: it gets the name that says so.
    pub(crate) fn finish(self, name: &Path) -> Result<(u64, [u8; 32]), InstallError> {
        self.arrivals.whole();
        fs::rename(&self.path, name).map_err(|error| InstallError::io("rename to", name, error))?;
        let _a_few_bytes_stay = fs::remove_file(validator_of(&self.path));
        Ok((self.length, self.found()))
    }
}

/// The file beside it that keeps its validator.
fn validator_of(part: &Path) -> PathBuf {
    part.with_extension("validator")
}
