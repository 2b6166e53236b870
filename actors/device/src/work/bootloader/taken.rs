//! What a bootloader hands over, in a person's file: written beside it, and put in its place once it is whole.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempPath;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

/// Of a file that is new; the process's umask takes its part.
const NEW_FILE_MODE: u32 = 0o666;

/// A file that is being taken. Dropped before [`Taken::keep`], it leaves what was there as it was.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) file: File,
    /// Its own name until it is whole, and the one that it gets; none where it is written in place.
    names: Option<(TempPath, PathBuf)>,
}

impl Taken {
    /// Beside what is meant, which is not touched. What is no file, such as `/dev/null`, is written itself.
    pub(super) async fn begin(path: &str) -> io::Result<Self> {
        let path = PathBuf::from(path);
        let begun = tokio::task::spawn_blocking(move || begin(&path)).await.map_err(io::Error::other)?;
        let (file, names) = begun?;
        Ok(Self { file: File::from_std(file), names })
    }

    /// It is whole: it becomes what is meant.
    pub(super) async fn keep(mut self) -> io::Result<()> {
        self.file.flush().await?;
        let Some((own, meant)) = self.names else { return Ok(()) };
        // Not a name with nothing behind it, should the machine lose its power now.
        self.file.sync_data().await?;
        own.persist(meant).map_err(|failed| failed.error)
    }
}

type Begun = (fs::File, Option<(TempPath, PathBuf)>);

fn begin(path: &Path) -> io::Result<Begun> {
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
            return Ok((itself, None));
        }
    }
    let folder = meant.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let own = tempfile::Builder::new()
        .prefix(".farmhand-")
        .suffix(".part")
        .permissions(Permissions::from_mode(NEW_FILE_MODE))
        .tempfile_in(folder)?;
    if let Some(there) = there {
        own.as_file().set_permissions(there.permissions())?;
    }
    let (file, name) = own.into_parts();
    Ok((file, Some((name, meant))))
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
        let mut taken = Taken::begin(path.to_str().unwrap()).await?;
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
            drop(take(path, b"half").await.unwrap());
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
