//! A package from this machine: a file or a folder.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use farmhand_api::InstallStage;
use farmhand_runtime::Helper;
use tokio::process::Command;

use crate::InstallError;
use crate::apt::complaints_of;
use crate::config::Config;
use crate::deb::unpack_deb;
use crate::packages::{Held, in_thread};
use crate::progress::Progress;
use crate::unpack::{Format, Unpacker, hash_file};

/// For `dpkg-deb --field`, which reads a few kilobytes.
const FIELD_DEADLINE: Duration = Duration::from_secs(30);

/// What a file's name may end with, and its package's does not.
const ENDINGS: [&str; 13] = [
    ".deb", ".zip", ".whl", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar.bz2", ".tbz2",
    ".tbz", ".tar",
];

/// What our copy of a file is called, whatever it holds.
pub(crate) const COPY: &str = "archive";

/// Where it comes from.
#[derive(Debug)]
pub(crate) enum Source {
    Folder(PathBuf),
    File(PathBuf),
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
        match sha256 {
            Some(_) if there.is_dir() => Err(InstallError::HashOfFolder { path }),
            None if there.is_dir() => Ok(Self::Folder(path)),
            _ if there.is_file() => Ok(Self::File(path)),
            _ => Err(InstallError::UnknownKind { path }),
        }
    }
}

/// The name that a local package is installed under: `local-` keeps it apart from those that farmhand describes.
pub(crate) fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ending = ENDINGS.iter().find_map(|ending| Some((name.strip_suffix(ending)?, *ending)));
    let stem = match ending {
        Some((stem, ".deb")) => stem.split('_').next().unwrap_or(stem),
        Some((stem, _)) => stem,
        None => &name,
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

/// Unpacks our copy of an archive, whatever kind it is of; errors name the original.
pub(crate) async fn unpack(
    config: &Config,
    package: &str,
    original: PathBuf,
    copy: PathBuf,
    mut unpacker: Unpacker,
    held: &Held,
) -> Result<Unpacker, InstallError> {
    match Format::of(&copy)? {
        None => Err(InstallError::NoArchive { path: original }),
        Some(Format::Deb) => {
            let dpkg_deb = config.find("dpkg-deb", package, Vec::new)?;
            unpack_deb(&dpkg_deb, package, copy, unpacker, held).await
        }
        Some(format) => {
            let unpack = move || {
                unpacker.archive(&original, &copy, format)?;
                Ok(unpacker)
            };
            in_thread(held.clone(), unpack).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_package_has_a_name_of_its_own() {
        assert_eq!(name_of(Path::new("/x/gcc-avr_1%3a5.4_amd64.deb")), "local-gcc-avr");
        assert_eq!(name_of(Path::new("/x/avr-gcc.tar.gz")), "local-avr-gcc");
        assert_eq!(name_of(Path::new("/x/avr_gcc.tar.zst")), "local-avr_gcc");
        assert_eq!(name_of(Path::new("/x/avr gcc/")), "local-avr-gcc");
        assert_eq!(name_of(Path::new("..")), "local-");
    }
}
