//! Arduino cores that a person has, put there by Arduino's boards manager, by PlatformIO or by hand: each is data, and so are its boards.

mod index;
mod places;
mod platformio;
mod tools;
mod version;

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) use places::{Places, PlatformIo};
pub use platformio::{
    BoardWish, PlatformIoBoard, PlatformIoError, platformio_board, platformio_packages, platformio_platform,
};
use version::Version;

use crate::properties::Table;

/// Vendors, architectures and versions that are looked at in one place: a boards manager's folder holds a few.
const FOLDERS_MAX: usize = 4096;

/// A core that a person has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnCore {
    /// As in `VENDOR:ARCHITECTURE:BOARD`.
    pub(crate) vendor: String,
    /// Likewise.
    pub(crate) architecture: String,
    /// By its folder's name, or as its `platform.txt` says; empty where neither does.
    pub(crate) version: String,
    /// `boards.txt` is in it.
    pub(crate) folder: PathBuf,
    /// It is the one that is meant, and no newer one: a person put it there, and no boards manager; or its platform asks for it.
    is_meant: bool,
}

impl OwnCore {
    /// `VENDOR:ARCHITECTURE`.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.vendor, self.architecture)
    }

    /// One in that folder, wherever it lies.
    pub(crate) fn in_folder(vendor: &str, architecture: &str, folder: PathBuf) -> Self {
        let platform = fs::read(folder.join("platform.txt")).unwrap_or_default();
        let platform = Table::parse(&String::from_utf8_lossy(&platform));
        let version = platform.get("version").unwrap_or_default().to_owned();
        Self { vendor: vendor.into(), architecture: architecture.into(), version, folder, is_meant: true }
    }

    fn is_newer_than(&self, other: &Self) -> bool {
        let rank = |core: &Self| (core.is_meant, Version::of(&core.version));
        rank(self) > rank(other)
    }
}

impl Places {
    /// All cores that are in these places.
    pub(crate) fn cores(&self) -> Vec<OwnCore> {
        let mut all = self.installed();
        all.extend(self.frameworks(None));
        all
    }

    /// Those that the boards manager put there, or a person.
    fn installed(&self) -> Vec<OwnCore> {
        let mut all = Vec::new();
        for vendor in below(&self.data.join("packages")) {
            for architecture in below(&vendor.join("hardware")) {
                for folder in below(&architecture) {
                    all.extend(core_in(&vendor, &architecture, folder, false));
                }
            }
        }
        for vendor in below(&self.user.join("hardware")) {
            for folder in below(&vendor) {
                all.extend(core_in(&vendor, &folder.clone(), folder, true));
            }
        }
        all
    }

    /// A vendor's core of an architecture: of that version, or the newest; one that was put there by hand comes first.
    pub(crate) fn core(&self, vendor: &str, architecture: &str, version: Option<&str>) -> Option<OwnCore> {
        let is_it = |core: &OwnCore| {
            core.vendor == vendor
                && core.architecture == architecture
                && version.is_none_or(|version| core.version == version)
        };
        let all = self.installed().into_iter().chain(self.frameworks(Some(vendor)));
        newest(all.filter(is_it))
    }

    /// Where a person's libraries are.
    pub(crate) fn libraries(&self) -> PathBuf {
        self.user.join("libraries")
    }
}

fn newest(cores: impl Iterator<Item = OwnCore>) -> Option<OwnCore> {
    cores.reduce(|best, core| if core.is_newer_than(&best) { core } else { best })
}

fn core_in(vendor: &Path, architecture: &Path, folder: PathBuf, by_hand: bool) -> Option<OwnCore> {
    if !folder.join("boards.txt").is_file() {
        return None;
    }
    let (vendor, architecture) = (name_of(vendor), name_of(architecture));
    if by_hand {
        return Some(OwnCore::in_folder(&vendor, &architecture, folder));
    }
    Some(OwnCore { vendor, architecture, version: name_of(&folder), folder, is_meant: false })
}

fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The folders in a folder, by name; none where there is no such folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(FOLDERS_MAX);
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_and_before_it_what_was_put_there_by_hand() {
        let home = tempfile::tempdir().unwrap();
        let places =
            Places { data: home.path().join("data"), user: home.path().join("user"), platformio: None };
        let make = |folder: &str, platform: &str| {
            let folder = home.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("boards.txt"), "").unwrap();
            fs::write(folder.join("platform.txt"), platform).unwrap();
        };
        assert_eq!(places.core("acme", "arm", None), None);
        for version in ["1.9.0", "1.10.0", "1.10.0-rc1"] {
            make(&format!("data/packages/acme/hardware/arm/{version}"), "version=9");
        }
        fs::create_dir_all(home.path().join("data/packages/acme/hardware/arm/7.0.0")).unwrap();
        let version = |wanted| places.core("acme", "arm", wanted).map(|core| core.version);
        assert_eq!(version(None).as_deref(), Some("1.10.0"), "7.0.0 has no boards");
        assert_eq!(version(Some("1.9.0")).as_deref(), Some("1.9.0"));
        assert_eq!(version(Some("2.0.0")), None);
        make("user/hardware/acme/arm", "version=0.1\n");
        assert_eq!(version(None).as_deref(), Some("0.1"));
        assert_eq!(places.core("acme", "avr", None), None);
    }
}
