//! What the bench is made of, had as packages.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use farmhand_installer::{InstallError, Installed, PackageWish};
use thiserror::Error;

use crate::binaries::profile_folder;

/// Why there is no bench on this machine.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MissingParts {
    /// The guest runs this machine's own programs, and the packages are named for one kind.
    #[error("an x86-64 machine; this is {0}")]
    Architecture(&'static str),
    /// A package cannot be had here.
    #[error("the package {name}: {source}")]
    Package {
        /// As farmhand calls it.
        name: &'static str,
        /// Why not.
        source: Box<InstallError>,
    },
    /// A package has it not.
    #[error("{0} in the package usb-bench")]
    File(String),
    /// What a guest is made of.
    #[error(transparent)]
    Guest(#[from] farmhand_guest::GuestError),
    /// A program's library.
    #[error("the library {0}")]
    Library(String),
    /// A file, or a program that reads it.
    #[error("{}: {source}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// What a guest is made of, and what emulates it.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) qemu: PathBuf,
    /// What QEMU needs in its environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// Where its firmware lies; nothing where it knows itself.
    pub(crate) firmware: Vec<PathBuf>,
    pub(crate) kernel: PathBuf,
    /// The kernel's own name for its version.
    pub(crate) version: String,
    guest: Installed,
}

impl Parts {
    /// Fetches what is not here yet.
    pub(crate) async fn get() -> Result<Self, MissingParts> {
        if std::env::consts::ARCH != "x86_64" {
            return Err(MissingParts::Architecture(std::env::consts::ARCH));
        }
        let guest = install("usb-bench").await?;
        let (qemu, environment, firmware) = match on_the_path("qemu-system-x86_64") {
            Some(qemu) => (qemu, BTreeMap::new(), Vec::new()),
            None => {
                let installed = install("qemu-x86").await?;
                let share = installed.prefix.join("usr/share");
                let firmware = vec![share.join("qemu"), share.join("seabios")];
                (installed.prefix.join("usr/bin/qemu-system-x86_64"), installed.environment, firmware)
            }
        };
        let kernel =
            entries(&guest.prefix.join("boot")).into_iter().rfind(|path| name(path).starts_with("vmlinuz-"));
        let kernel = kernel.ok_or_else(|| MissingParts::File("a kernel".into()))?;
        let version = name(&kernel).trim_start_matches("vmlinuz-").to_owned();
        Ok(Self { qemu, environment, firmware, kernel, version, guest })
    }

    /// A file or folder of the guest's packages; older releases have `/lib` beside `/usr/lib`.
    pub(crate) fn find(&self, path: &str) -> Result<PathBuf, MissingParts> {
        let places = [self.guest.prefix.join("usr").join(path), self.guest.prefix.join(path)];
        let found = places.into_iter().find(|place| place.exists());
        found.ok_or_else(|| MissingParts::File(path.to_owned()))
    }

    /// Where the guest's packages have their libraries, as `LD_LIBRARY_PATH`.
    pub(crate) fn library_path(&self) -> String {
        let own = self.guest.environment.get("LD_LIBRARY_PATH").cloned().unwrap_or_default();
        // Debian's fastboot has its own folder of them.
        let nested = own.split(':').map(|folder| format!("{folder}/android"));
        nested.chain([own.clone()]).collect::<Vec<_>>().join(":")
    }
}

async fn install(name: &'static str) -> Result<Installed, MissingParts> {
    let packages = profile_folder().join("farmhand-tests/packages");
    let wish = PackageWish::Named(name.into());
    let installed = farmhand_installer::install(&packages, &wish, |_| ()).await;
    installed.map_err(|source| match source {
        InstallError::NoClient { .. } | InstallError::NotInArchive { .. } | InstallError::Offline { .. } => {
            MissingParts::Package { name, source: Box::new(source) }
        }
        // It can be had, and something is wrong with us.
        other => panic!("install {name}: {other}"),
    })
}

fn on_the_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|program| program.is_file())
}

/// What lies right in a folder, by name.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    all.sort();
    all
}

pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
