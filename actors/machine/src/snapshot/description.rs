//! What a snapshot says of itself, and whether its files are what it says: QEMU does not notice a flipped bit of memory.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::seen::{Looked, Seen};
use super::{DESCRIPTION, Key, SnapshotError};
use crate::kind::Kind;

/// Of this description's form.
const SCHEMA: u32 = 2;
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
    /// farmhand, so as not to do the same again: it goes when there are too many, or it is too old.
    Cache,
}

/// What a file of a snapshot is. Its name follows from this, so that no description names a file elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Role {
    /// The program that was loaded, which a reset of the machine begins anew.
    Program,
    /// The kernel of a Linux guest.
    Kernel,
    /// What that unpacks into memory.
    Initrd,
    /// The guest's disk (qcow2).
    Disk,
    /// The machine's memory and the state of its devices, as QEMU saves them.
    Memory,
}

impl Role {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Program, Self::Kernel, Self::Initrd, Self::Disk, Self::Memory];

    /// Its file, below the snapshot's folder.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
            Self::Disk => "disk",
            Self::Memory => "memory",
        }
    }
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
        Self { len, sha256: digits(hash) }
    }
}

pub(super) fn digits(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
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
    /// Of which machine it was made.
    pub machine: String,
    /// Of what went into that machine: what is said below, but the memory and the disk, which came of it.
    pub key: Key,
    /// The kind of machine.
    pub kind: String,
    /// What QEMU was told of it.
    pub arguments: Vec<String>,
    /// Which QEMU made it.
    pub emulator_version: String,
    /// That QEMU, as a file: another build of one version saves another state.
    pub emulator: Part,
    /// Its files.
    pub parts: BTreeMap<Role, Part>,
}

/// What it was made of, and by what.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) made_by: MadeBy,
    pub(super) made_unix_ms: u64,
    pub(super) kind: &'static Kind,
    pub(super) machine: String,
    pub(super) emulator_version: String,
    pub(super) emulator: Part,
    /// What it began with.
    pub(super) files: BTreeMap<Role, Part>,
}

impl Description {
    /// With what was saved while it was paused.
    pub(super) fn new(name: SnapshotName, origin: Origin, saved: BTreeMap<Role, Part>) -> Self {
        let Origin { made_by, made_unix_ms, kind, machine, emulator_version, emulator, files } = origin;
        let key = Key::of(kind, &emulator, &files);
        let mut parts = files;
        parts.extend(saved);
        Self {
            schema: SCHEMA,
            name,
            made_by,
            made_unix_ms,
            machine,
            key,
            kind: kind.name.to_owned(),
            arguments: told(kind),
            emulator_version,
            emulator,
            parts,
        }
    }

    /// What a machine that is made of it begins with.
    pub(super) fn files(&self) -> impl Iterator<Item = Role> {
        self.parts.keys().copied().filter(|role| *role != Role::Memory)
    }

    /// Bytes of all its files.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.parts.values().map(|part| part.len).sum()
    }

    /// Of the snapshot that has this folder. What it says is not compared with its files, only with itself.
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
        description.agrees(name).map_or(Ok(()), |why| Err(damaged(why)))?;
        Ok(description)
    }

    /// What is wrong with it, as far as it tells itself.
    fn agrees(&self, name: &SnapshotName) -> Option<String> {
        if self.schema != SCHEMA {
            let schema = self.schema;
            return Some(format!("its description has form {schema}, and this farmhand reads {SCHEMA}"));
        }
        if self.name != *name {
            return Some(format!("it says that it is {}", self.name));
        }
        // Of a kind that is not known here nothing is made.
        let needed = Kind::named(&self.kind).map(Kind::files).unwrap_or_default();
        let mut needed = needed.iter().chain([&Role::Memory]);
        if let Some(missing) = needed.find(|role| !self.parts.contains_key(role)) {
            return Some(format!("it has no {}", missing.file()));
        }
        let key = Key::of_words(&self.kind, &self.arguments, &self.emulator, &self.parts);
        (self.key != key).then(|| "its description was changed: its key is another's".to_owned())
    }

    /// Whether its files are what it says: all of them are read, but for those that were found right before. The files' stamps
    /// from before they were read.
    pub(super) fn verify(&self, folder: &Path, seen: &Seen) -> Result<BTreeMap<Role, Looked>, SnapshotError> {
        std::thread::scope(|scope| {
            // Each on a processor of its own, where there are as many.
            let verifies: Vec<_> = self
                .parts
                .iter()
                .map(|(role, said)| scope.spawn(move || self.verify_part(folder, seen, *role, said)))
                .collect();
            let one = |done: std::thread::ScopedJoinHandle<'_, _>| {
                done.join().unwrap_or_else(|_| Err(SnapshotError::Panicked("a file was not read".into())))
            };
            verifies.into_iter().map(one).collect()
        })
    }

    fn verify_part(
        &self,
        folder: &Path,
        seen: &Seen,
        role: Role,
        said: &Part,
    ) -> Result<(Role, Looked), SnapshotError> {
        let path = folder.join(role.file());
        let damaged = |why: String| SnapshotError::Damaged {
            name: self.name.clone(),
            why: format!("its {} {why}", role.file()),
        };
        let found = match fs::symlink_metadata(&path) {
            Ok(found) => found,
            Err(error) => return Err(damaged(format!("is not to be read: {error}"))),
        };
        if !found.is_file() {
            return Err(damaged("is no file of its own".into()));
        }
        if found.len() != said.len {
            return Err(damaged(format!("has {} bytes of {}", found.len(), said.len)));
        }
        let before = Looked::at(&path).map_err(SnapshotError::io(&path))?;
        if seen.has(role.file(), before.stamp) {
            return Ok((role, before));
        }
        let found = Part::of(&path).map_err(SnapshotError::io(&path))?;
        if found != *said {
            let (found, said) = (found.sha256, &said.sha256);
            return Err(damaged(format!("is not what was saved: {found} and not {said}")));
        }
        Ok((role, before))
    }
}

/// What QEMU is told of a kind of machine, its files by the names that they have in every machine's folder.
pub(super) fn told(kind: &Kind) -> Vec<String> {
    kind.arguments().into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(digit: &str) -> Part {
        Part { len: 7, sha256: digit.repeat(64) }
    }

    fn description() -> Description {
        let origin = Origin {
            made_by: MadeBy::User,
            made_unix_ms: 1,
            kind: Kind::named("uno").unwrap(),
            machine: "one".into(),
            emulator_version: "7.2.22".into(),
            emulator: part("a"),
            files: BTreeMap::from([(Role::Program, part("b"))]),
        };
        let saved = BTreeMap::from([(Role::Memory, part("c"))]);
        Description::new(SnapshotName::new("kept").unwrap(), origin, saved)
    }

    #[test]
    fn one_that_was_edited_does_not_agree_with_itself() {
        let (name, whole) = (SnapshotName::new("kept").unwrap(), description());
        assert_eq!(whole.agrees(&name), None);
        let edits: [fn(&mut Description); 8] = [
            |it| it.schema += 1,
            |it| it.name = SnapshotName::new("other").unwrap(),
            |it| it.kind = "pdp11".into(),
            |it| it.arguments.push("-S".into()),
            |it| it.emulator = part("d"),
            |it| *it.parts.get_mut(&Role::Program).unwrap() = part("d"),
            |it| drop(it.parts.remove(&Role::Memory)),
            |it| it.parts.clear(),
        ];
        for (at, edit) in edits.into_iter().enumerate() {
            let mut edited = whole.clone();
            edit(&mut edited);
            assert!(edited.agrees(&name).is_some(), "edit {at}");
        }
    }

    #[test]
    fn its_files_are_in_its_folder_whatever_it_says() {
        let text = serde_json::to_string(&description()).unwrap();
        let back: Description = serde_json::from_str(&text).unwrap();
        assert_eq!(back, description());
        let elsewhere = text.replace(r#""memory""#, r#""../memory""#);
        assert!(serde_json::from_str::<Description>(&elsewhere).is_err());
        for role in Role::ALL {
            assert!(SnapshotName::new(role.file()).is_ok(), "a plain name");
        }
    }
}
