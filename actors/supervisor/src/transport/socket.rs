//! The socket in a farm's folder.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use farmhand_runtime::Paths;
use rustix::fs::{Mode, OFlags};
use tokio::net::{UnixListener, UnixStream};

/// A path that a socket address holds, in bytes: `sun_path` has 108, one for the NUL (unix(7)).
const ADDRESS_BYTES_MAX: usize = 107;

/// A path to `file` that fits in a socket's address. A long one goes through a descriptor of its folder, which must
/// live until the address was used.
fn address(file: &Path) -> io::Result<(PathBuf, Option<File>)> {
    if file.as_os_str().as_bytes().len() <= ADDRESS_BYTES_MAX {
        return Ok((file.to_owned(), None));
    }
    let (folder, name) = match (file.parent(), file.file_name()) {
        (Some(folder), Some(name)) => (folder, name),
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = File::from(rustix::fs::open(folder, flags, Mode::empty())?);
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    Ok((short, Some(folder)))
}

/// The socket, bound. Removed on drop, if it is still ours.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Bound {
    /// Binds the socket of a folder whose lock the caller holds: so a socket that is there is stale, and is replaced.
    /// It is there under its name only once none but its owner can open it.
    pub(super) fn bind(home: &Path) -> io::Result<Self> {
        let path = Paths::new(home).socket();
        let fresh = home.join("socket.new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (short, _folder) = address(&fresh)?;
        let listener = UnixListener::bind(short)?;
        fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
        let inode = fs::symlink_metadata(&fresh)?.ino();
        fs::rename(&fresh, &path)?;
        Ok(Self { listener, path, inode })
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|now| now.ino() == self.inode) {
            let _it_is_stale_then = fs::remove_file(&self.path);
        }
    }
}

/// Connects to the farm of a folder. `None` where no farm listens there.
pub async fn connect(home: &Path) -> io::Result<Option<UnixStream>> {
    let connected = async {
        let (short, _folder) = address(&Paths::new(home).socket())?;
        UnixStream::connect(short).await
    };
    match connected.await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if is_nobody(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// No socket, a stale one, or one that was closed before we were accepted.
fn is_nobody(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn is_its_owners_alone_and_goes_with_him() {
        let home = tempfile::tempdir().unwrap();
        assert!(connect(home.path()).await.unwrap().is_none());
        let bound = Bound::bind(home.path()).unwrap();
        let mode = fs::metadata(home.path().join("socket")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(connect(home.path()).await.unwrap().is_some());
        drop(bound);
        assert!(!home.path().join("socket").exists());
    }

    #[tokio::test]
    async fn a_stale_one_is_replaced_and_the_old_owner_leaves_the_new_one() {
        let home = tempfile::tempdir().unwrap();
        let old = Bound::bind(home.path()).unwrap();
        let new = Bound::bind(home.path()).unwrap();
        drop(old);
        assert!(connect(home.path()).await.unwrap().is_some());
        drop(new);
        assert!(connect(home.path()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_folder_deeper_than_an_address_is_long_works() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("d".repeat(100)).join("e".repeat(100));
        fs::create_dir_all(&home).unwrap();
        let _bound = Bound::bind(&home).unwrap();
        assert!(connect(&home).await.unwrap().is_some());
    }
}
