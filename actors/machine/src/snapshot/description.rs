//! What a snapshot says of itself, and whether its files are what it says: QEMU does not notice a flipped bit of memory.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{DESCRIPTION, MEMORY, PROGRAM, SnapshotError};

/// Of this description's form.
const SCHEMA: u32 = 1;
/// A description is some hundred bytes.
const LEN_MAX: u64 = 64 << 10;
/// Bytes that are hashed at once.
const CHUNK_LEN: usize = 1 << 20;
const NAME_LEN_MAX: usize = 64;

/// A snapshot's name, which is its folder's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotName(String);

impl SnapshotName {
    /// Letters, digits, `-`, `_` and `.`, which is not in front; 64 at most.
    pub fn new(name: &str) -> Result<Self, SnapshotError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let well = !name.is_empty()
            && name.len() <= NAME_LEN_MAX
            && !name.starts_with('.')
            && name.chars().all(plain);
        if well { Ok(Self(name.to_owned())) } else { Err(SnapshotError::Name(name.to_owned())) }
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SnapshotName {
    type Error = SnapshotError;

    fn try_from(name: String) -> Result<Self, SnapshotError> {
        Self::new(&name)
    }
}

impl From<SnapshotName> for String {
    fn from(name: SnapshotName) -> Self {
        name.0
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who wanted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MadeBy {
    /// A person: it stays until that person removes it.
    User,
    /// farmhand, so as not to do the same again.
    Cache,
}

/// A file of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Bytes.
    pub len: u64,
    /// Of all of them (FIPS 180-4), in hexadecimal digits.
    pub sha256: String,
}

impl Part {
    /// Of this file, all of which is read.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let (mut file, mut hash, mut len) = (File::open(path)?, Sha256::new(), 0);
        let mut chunk = vec![0; CHUNK_LEN];
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(Self::from_hash(len, hash)),
                read => {
                    hash.update(&chunk[..read]);
                    len += read as u64;
                }
            }
        }
    }

    pub(super) fn from_hash(len: u64, hash: Sha256) -> Self {
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { len, sha256 }
    }
}

/// What a snapshot says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    schema: u32,
    /// Its own: one that was renamed is no other.
    pub name: SnapshotName,
    /// Who wanted it.
    pub made_by: MadeBy,
    /// When, in milliseconds since 1970.
    pub made_unix_ms: u64,
    /// The kind of machine.
    pub kind: String,
    /// Of which machine it was made.
    pub machine: String,
    /// Which QEMU made it.
    pub emulator_version: String,
    /// That QEMU, as a file: another build of one version saves another state.
    pub emulator: Part,
    /// The program that was loaded, which a reset of the machine begins anew.
    pub program: Part,
    /// Its memory and the state of its devices, as QEMU saves them.
    pub memory: Part,
}

/// What it was made of, and by what.
pub(super) struct Origin {
    pub(super) made_by: MadeBy,
    pub(super) made_unix_ms: u64,
    pub(super) kind: String,
    pub(super) machine: String,
    pub(super) emulator_version: String,
    pub(super) emulator: Part,
}

impl Description {
    pub(super) fn new(name: SnapshotName, origin: Origin, program: Part, memory: Part) -> Self {
        let Origin { made_by, made_unix_ms, kind, machine, emulator_version, emulator } = origin;
        Self {
            schema: SCHEMA,
            name,
            made_by,
            made_unix_ms,
            kind,
            machine,
            emulator_version,
            emulator,
            program,
            memory,
        }
    }

    pub(super) fn read(folder: &Path, name: &SnapshotName) -> Result<Self, SnapshotError> {
        let path = folder.join(DESCRIPTION);
        let damaged = |why: String| SnapshotError::Damaged { name: name.clone(), why };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(match folder.exists() {
                    true => damaged("it has no description".into()),
                    false => SnapshotError::NoSuch(name.clone()),
                });
            }
            Err(error) => return Err(SnapshotError::io(&path)(error)),
        };
        let mut text = String::new();
        file.take(LEN_MAX).read_to_string(&mut text).map_err(|error| damaged(error.to_string()))?;
        let description: Self =
            serde_json::from_str(&text).map_err(|error| damaged(format!("its description: {error}")))?;
        match description {
            Self { schema, .. } if schema != SCHEMA => {
                Err(damaged(format!("its description has form {schema}, and this farmhand reads {SCHEMA}")))
            }
            other if other.name != *name => Err(damaged(format!("it says that it is {}", other.name))),
            description => Ok(description),
        }
    }

    /// Whether its files are what it says.
    pub(super) fn verify(&self, folder: &Path) -> Result<(), SnapshotError> {
        for (file, said) in [(MEMORY, &self.memory), (PROGRAM, &self.program)] {
            let path = folder.join(file);
            let damaged = |why: String| SnapshotError::Damaged {
                name: self.name.clone(),
                why: format!("its {file} {why}"),
            };
            let len = match fs::metadata(&path) {
                Ok(metadata) => metadata.len(),
                Err(error) => return Err(damaged(format!("is not to be read: {error}"))),
            };
            if len != said.len {
                return Err(damaged(format!("has {len} bytes of {}", said.len)));
            }
            let found = Part::of(&path).map_err(SnapshotError::io(&path))?;
            if found != *said {
                return Err(damaged(format!(
                    "is not what was saved: {} and not {}",
                    found.sha256, said.sha256
                )));
            }
        }
        Ok(())
    }
}
