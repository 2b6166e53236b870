//! The completion record of a package: what is installed is what has one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use farmhand_messages::installer::Installed;
use serde::{Deserialize, Serialize};

use crate::apt::Sha256;

/// Of the record's own shape; a record of another one is not ours to read, and the package is installed anew.
const FORMAT: u32 = 1;

/// One archive that a package was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ArchiveRecord {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) bytes: u64,
    /// In hexadecimal.
    pub(crate) sha256: String,
}

/// The file beside a package's folder, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CompletionRecord {
    pub(crate) format: u32,
    pub(crate) name: String,
    pub(crate) version: String,
    /// In hexadecimal, over the archives.
    pub(crate) hash: String,
    /// Folders of shared libraries, below the package's.
    pub(crate) libraries: Vec<String>,
    pub(crate) archives: Vec<ArchiveRecord>,
    pub(crate) installed_unix_ms: u64,
    /// What it was asked for as, where that is not its hash: a commit, a version. Records of before have none.
    #[serde(default)]
    pub(crate) source: Option<String>,
    /// In hexadecimal, over all that was unpacked.
    #[serde(default)]
    pub(crate) tree: Option<String>,
    /// What builds may ask it for.
    #[serde(default)]
    pub(crate) offers: BTreeSet<String>,
    /// What it is for.
    #[serde(default)]
    pub(crate) kind: Option<String>,
}

impl CompletionRecord {
    pub(crate) fn new(name: &str, version: &str, hash: [u8; 32], archives: Vec<ArchiveRecord>) -> Self {
        Self {
            format: FORMAT,
            name: name.to_owned(),
            version: version.to_owned(),
            hash: Sha256(hash).to_string(),
            libraries: Vec::new(),
            archives,
            installed_unix_ms: farmhand_runtime::unix_ms(),
            source: None,
            tree: None,
            offers: BTreeSet::new(),
            kind: None,
        }
    }

    /// The name of the package's folder: `VERSION-HASH12`.
    pub(crate) fn folder(&self) -> String {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '+' | '-');
        let version: String =
            self.version.chars().map(|letter| if plain(letter) { letter } else { '_' }).collect();
        format!("{version}-{}", &self.hash[..12])
    }

    /// Reads a record; what is none, or of another shape, is not there.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let record: Self = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        record.is_readable().then_some(record)
    }

    /// Whether it is of our shape.
    pub(crate) fn is_readable(&self) -> bool {
        self.format == FORMAT && Sha256::from_hex(&self.hash).is_some()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("strings and numbers are JSON")
    }

    /// The package, as others see it.
    pub(crate) fn installed(self, prefix: PathBuf, already: bool) -> Option<Installed> {
        let hash = Sha256::from_hex(&self.hash)?.0;
        let libraries: Vec<String> =
            self.libraries.iter().map(|folder| prefix.join(folder).display().to_string()).collect();
        let mut environment = BTreeMap::new();
        if !libraries.is_empty() {
            environment.insert("LD_LIBRARY_PATH".to_owned(), libraries.join(":"));
        }
        let archives =
            self.archives.into_iter().map(|archive| (archive.name, archive.version, archive.bytes)).collect();
        Some(Installed {
            name: self.name,
            version: self.version,
            prefix,
            hash,
            environment,
            already,
            archives,
        })
    }
}
