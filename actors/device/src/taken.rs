//! What a device hands over, in a person's file: written beside it, and put in its place once it is whole. Until then it
//! has no name where the file system can do that (`O_TMPFILE`, open(2)): who dies in the middle leaves nothing behind.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat};
use tempfile::{Builder, TempPath};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

/// Of a file that is new; the process's umask takes its part.
const NEW_FILE_MODE: u32 = 0o666;

/// Where it is until it is whole.
#[derive(Debug)]
enum Until {
    /// It has a name of its own, and will have this one.
    Named(TempPath, PathBuf),
    /// It has none yet.
    Nameless(PathBuf),
    /// It is written where it stays.
    InPlace,
}

/// A file that is being taken. Dropped before [`Taken::keep`], it leaves what was there as it was.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) file: File,
    until: Until,
}

impl Taken {
    /// Beside what is meant, which is not touched. What is no file, such as `/dev/null`, is written itself.
    pub(crate) async fn begin(path: &Path) -> io::Result<Self> {
        let path = path.to_owned();
        let begun = tokio::task::spawn_blocking(move || begin(&path)).await.map_err(io::Error::other)?;
        let (file, until) = begun?;
        Ok(Self { file: File::from_std(file), until })
    }

    /// It is whole: it becomes what is meant.
    pub(crate) async fn keep(mut self) -> io::Result<()> {
        self.file.flush().await?;
        if matches!(self.until, Until::InPlace) {
            return Ok(());
        }
        // Not a name with nothing behind it, should the machine lose its power now.
        self.file.sync_data().await?;
        let (name, meant) = match self.until {
            Until::InPlace => return Ok(()),
            Until::Named(name, meant) => (name, meant),
            // A link replaces nothing: it is named beside, and then renamed.
            Until::Nameless(meant) => (name(self.file.as_fd(), folder_of(&meant))?, meant),
        };
        name.persist(meant).map_err(|failed| failed.error)
    }
}

fn begin(path: &Path) -> io::Result<(fs::File, Until)> {
    // A link stays one: what it leads to is replaced.
    let meant = match fs::canonicalize(path) {
        Ok(meant) => meant,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    let there = match fs::metadata(&meant) {
        Ok(there) => Some(there),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(there) = &there {
        // What may not be written is not replaced either.
        let itself = OpenOptions::new().write(true).open(&meant)?;
        if !there.is_file() {
            return Ok((itself, Until::InPlace));
        }
    }
    let (file, until) = match nameless(folder_of(&meant)) {
        Some(file) => (file, Until::Nameless(meant)),
        None => {
            let new = Permissions::from_mode(NEW_FILE_MODE);
            let (file, name) = beside().permissions(new).tempfile_in(folder_of(&meant))?.into_parts();
            (file, Until::Named(name, meant))
        }
    };
    if let Some(there) = there {
        file.set_permissions(there.permissions())?;
    }
    Ok((file, until))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside() -> Builder<'static, 'static> {
    let mut beside = Builder::new();
    beside.prefix(".farmhand-").suffix(".part");
    beside
}

/// None where the file system has none; what else is wrong shows itself where one with a name is made.
fn nameless(folder: &Path) -> Option<fs::File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::open(folder, flags, Mode::from_raw_mode(NEW_FILE_MODE)).ok().map(fs::File::from)
}

fn name(file: BorrowedFd<'_>, folder: &Path) -> io::Result<TempPath> {
    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    let named = beside().make_in(folder, |path| {
        linkat(CWD, &itself, CWD, path, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)
    })?;
    Ok(named.into_temp_path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    async fn take(path: &Path, bytes: &[u8]) -> io::Result<Taken> {
        let mut taken = Taken::begin(path).await?;
        taken.file.write_all(bytes).await?;
        Ok(taken)
    }

    #[tokio::test]
    async fn what_is_there_stays_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mine = folder.path().join("mine.img");
        fs::write(&mine, "mine").unwrap();
        fs::set_permissions(&mine, Permissions::from_mode(0o640)).unwrap();
        let link = folder.path().join("link.img");
        std::os::unix::fs::symlink("mine.img", &link).unwrap();
        for path in [&mine, &link] {
            let half = take(path, b"half").await.unwrap();
            if matches!(half.until, Until::Nameless(_)) {
                assert_eq!(
                    names(folder.path()),
                    ["link.img", "mine.img"],
                    "who dies now leaves nothing behind"
                );
            }
            drop(half);
            assert_eq!(fs::read(&mine).unwrap(), b"mine");
            assert_eq!(names(folder.path()), ["link.img", "mine.img"], "nothing is left over");
        }
        take(&link, b"whole").await.unwrap().keep().await.unwrap();
        assert_eq!(fs::read(&mine).unwrap(), b"whole");
        assert_eq!(fs::metadata(&mine).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let new = folder.path().join("new.img");
        take(&new, b"new").await.unwrap().keep().await.unwrap();
        assert_eq!(fs::read(new).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["link.img", "mine.img", "new.img"]);
    }

    #[tokio::test]
    async fn what_is_no_file_is_written_itself_and_a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        take(Path::new("/dev/null"), b"bytes").await.unwrap().keep().await.unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file(), "it is what it was");
        let error = take(folder.path(), b"bytes").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        let error = take(&folder.path().join("no/such.img"), b"bytes").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
