//! A package from this machine: a file or a folder.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use farmhand_api::InstallStage;
use farmhand_runtime::Helper;
use flate2::read::MultiGzDecoder;
use tokio::process::Command;

use crate::InstallError;
use crate::apt::complaints_of;
use crate::packages::{Held, in_thread};
use crate::progress::Progress;
use crate::unpack::{Unpacker, hash_file};

/// For `dpkg-deb --field`, which reads a few kilobytes.
const FIELD_DEADLINE: Duration = Duration::from_secs(30);

/// What kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Deb,
    Tar,
    TarGz,
}

const KINDS: [(&str, Kind); 4] =
    [(".deb", Kind::Deb), (".tar", Kind::Tar), (".tar.gz", Kind::TarGz), (".tgz", Kind::TarGz)];

impl Kind {
    /// What our copy of it is called.
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Self::Deb => "archive.deb",
            Self::Tar => "archive.tar",
            Self::TarGz => "archive.tar.gz",
        }
    }
}

/// Where it comes from.
#[derive(Debug)]
pub(crate) enum Source {
    Folder(PathBuf),
    File { path: PathBuf, kind: Kind },
}

impl Source {
    pub(crate) fn of(path: &Path, sha256: Option<[u8; 32]>) -> Result<Self, InstallError> {
        let path = path.to_owned();
        let there = match fs::metadata(&path) {
            Ok(there) => there,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(InstallError::NoSuchFile { path });
            }
            Err(error) => return Err(InstallError::io("look at", &path, error)),
        };
        match kind_of(&path) {
            _ if there.is_dir() && sha256.is_some() => Err(InstallError::HashOfFolder { path }),
            _ if there.is_dir() => Ok(Self::Folder(path)),
            Some((_stem, kind)) if there.is_file() => Ok(Self::File { path, kind }),
            _ => Err(InstallError::UnknownKind { path }),
        }
    }
}

fn kind_of(path: &Path) -> Option<(&str, Kind)> {
    let name = path.file_name()?.to_str()?;
    KINDS.iter().find_map(|(extension, kind)| Some((name.strip_suffix(extension)?, *kind)))
}

/// The name that a local package is installed under: `local-` keeps it apart from those that farmhand describes.
pub(crate) fn name_of(path: &Path) -> String {
    let stem = match kind_of(path) {
        Some((stem, Kind::Deb)) => stem.split('_').next().unwrap_or(stem).to_owned(),
        Some((stem, _)) => stem.to_owned(),
        None => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '+' | '-' | '_');
    let stem: String = stem.chars().map(|letter| if plain(letter) { letter } else { '-' }).collect();
    format!("local-{stem}")
}

/// Copies a file and hashes what it copies: what is unpacked is what was checked, whatever becomes of the original.
pub(crate) async fn copy(
    from: PathBuf,
    to: PathBuf,
    progress: Progress,
    held: Held,
) -> Result<([u8; 32], u64), InstallError> {
    in_thread(held.clone(), move || {
        let folder = to.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|error| InstallError::io("make", folder, error))?;
        let total = fs::metadata(&from).map_or(0, |there| there.len());
        let write_error = |error| InstallError::io("write", &to, error);
        let mut copy = File::create(&to).map_err(write_error)?;
        progress.stage(InstallStage::Fetch, 0, total);
        hash_file(&from, |chunk, bytes| {
            if held.given_up.load(Ordering::Relaxed) {
                return Err(InstallError::Interrupted { package: from.display().to_string() });
            }
            copy.write_all(chunk).map_err(write_error)?;
            progress.step(InstallStage::Fetch, bytes, total);
            Ok(())
        })
    })
    .await
}

/// The version that a Debian archive says it is.
pub(crate) async fn deb_version(dpkg_deb: &Path, package: &str, file: &Path) -> Result<String, InstallError> {
    let mut command = Command::new(dpkg_deb);
    command.arg("--field").arg(file).arg("Version").env("LC_ALL", "C");
    let ended = Helper::run(command, FIELD_DEADLINE)
        .await
        .map_err(|source| InstallError::Helper { package: package.to_owned(), source })?;
    let version = String::from_utf8_lossy(&ended.stdout).trim().to_owned();
    if !ended.status.success() || version.is_empty() {
        return Err(InstallError::Client {
            package: package.to_owned(),
            client: "dpkg-deb".into(),
            detail: complaints_of(&ended.stderr),
        });
    }
    Ok(version)
}

/// Unpacks our copy of a tar; errors name the original.
pub(crate) fn unpack_tar(
    kind: Kind,
    original: &Path,
    copy: &Path,
    unpacker: &mut Unpacker,
) -> Result<(), InstallError> {
    let file = File::open(copy).map_err(|error| InstallError::io("read", copy, error))?;
    match kind {
        Kind::TarGz => unpacker.tar(original, MultiGzDecoder::new(file)),
        Kind::Tar | Kind::Deb => unpacker.tar(original, file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_package_has_a_name_of_its_own() {
        assert_eq!(name_of(Path::new("/x/gcc-avr_1%3a5.4_amd64.deb")), "local-gcc-avr");
        assert_eq!(name_of(Path::new("/x/avr-gcc.tar.gz")), "local-avr-gcc");
        assert_eq!(name_of(Path::new("/x/avr gcc/")), "local-avr-gcc");
        assert_eq!(name_of(Path::new("..")), "local-");
    }
}
