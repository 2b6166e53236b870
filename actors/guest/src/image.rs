//! All of a guest, made once for each set of packages.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::{Cpio, GuestError, Modules};

/// Of what is made: another form is another guest.
const FORM: &str = "farmhand guest 1";
/// What its hardware needs: the bus, the agent's port, the disk and its file system, numbers for the kernel's generator.
const MODULES: [&str; 7] =
    ["virtio_pci", "virtio_console", "virtio_blk", "virtio_rng", "crc32c_generic", "ext4", "rng_core"];
const INIT: &str = include_str!("init.sh");
const INITTAB: &str = include_str!("inittab");
/// A shell for who comes to its console, and nothing on it before that: what is said there is recorded.
const CONSOLE: &str = "#!/bin/sh\nread -r _ && exec /bin/sh -l\n";
/// Accounts: a guest is its user's.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";
/// Its disk, in QEMU's words: it takes as much room here as is written to it.
const DISK_SIZE: &str = "1G";

/// What a guest is made from.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The package `linux-guest`.
    pub linux: &'a Path,
    /// `qemu-img`.
    pub qemu_img: &'a Path,
    /// What that needs in its environment.
    pub environment: &'a BTreeMap<String, String>,
    /// The agent: a static program.
    pub agent: &'a [u8],
}

/// A guest's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestImage {
    /// The kernel.
    pub kernel: PathBuf,
    /// What it unpacks into memory.
    pub initrd: PathBuf,
    /// A blank disk (qcow2).
    pub disk: PathBuf,
}

impl GuestImage {
    /// The one of these packages, below `folder`: made where it is not there yet, under its name by one rename.
    ///
    /// # Errors
    /// Where a package has not what a guest needs, or a file cannot be written.
    pub fn get(parts: &Parts<'_>, folder: &Path) -> Result<Self, GuestError> {
        if parts.agent.is_empty() {
            return Err(GuestError::NoAgent);
        }
        let made = folder.join(name(parts));
        if !made.exists() {
            make(parts, folder, &made)?;
        }
        Ok(Self { kernel: made.join("kernel"), initrd: made.join("initrd"), disk: made.join("disk") })
    }
}

/// A package's folder is named after what is in it, and never changes.
fn name(parts: &Parts<'_>) -> String {
    let mut hash = Sha256::new();
    for field in [
        FORM.as_bytes(),
        parts.linux.as_os_str().as_encoded_bytes(),
        INIT.as_bytes(),
        INITTAB.as_bytes(),
        CONSOLE.as_bytes(),
        parts.agent,
    ] {
        hash.update((field.len() as u64).to_le_bytes());
        hash.update(field);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn make(parts: &Parts<'_>, folder: &Path, made: &Path) -> Result<(), GuestError> {
    fs::create_dir_all(folder).map_err(GuestError::file(folder))?;
    // Removed where it gets no name: another may have been faster.
    let making =
        tempfile::Builder::new().prefix(".new-").tempdir_in(folder).map_err(GuestError::file(folder))?;
    let (kernel, version) = kernel(parts.linux)?;
    let at = |name: &str| making.path().join(name);
    fs::copy(&kernel, at("kernel")).map_err(GuestError::file(&kernel))?;
    let initrd = initrd(parts, &version)?;
    fs::write(at("initrd"), initrd).map_err(GuestError::file(at("initrd")))?;
    disk(parts, &at("disk"))?;
    for file in ["kernel", "initrd", "disk"].map(at) {
        File::open(&file).and_then(|file| file.sync_all()).map_err(GuestError::file(file))?;
    }
    match rustix::fs::rename(making.path(), made) {
        // Its name is of what went into it: that one is as good.
        Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        Err(error) => Err(GuestError::file(made)(error.into())),
    }
}

/// The kernel, and its own name for its version. Of several the last.
fn kernel(linux: &Path) -> Result<(PathBuf, String), GuestError> {
    const FRONT: &str = "vmlinuz-";
    let boot = linux.join("boot");
    let entries = fs::read_dir(&boot).map_err(GuestError::file(&boot))?;
    let mut all: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    all.sort();
    let version = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        Some((path.clone(), name.strip_prefix(FRONT)?.to_owned()))
    };
    let found = all.iter().rev().find_map(version);
    found.ok_or_else(|| GuestError::Missing { what: "kernel".into(), package: linux.to_owned() })
}

/// Older releases have `/lib` and `/bin` beside `/usr`.
fn find(linux: &Path, path: &str) -> Result<PathBuf, GuestError> {
    let places = [linux.join("usr").join(path), linux.join(path)];
    let found = places.into_iter().find(|place| place.exists());
    found.ok_or_else(|| GuestError::Missing { what: path.to_owned(), package: linux.to_owned() })
}

fn initrd(parts: &Parts<'_>, version: &str) -> Result<Vec<u8>, GuestError> {
    let mut cpio = Cpio::default();
    for folder in ["/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/data", "/sbin"] {
        cpio.folder(folder);
    }
    cpio.device("/dev/console", 5, 1);
    cpio.device("/dev/null", 1, 3);
    cpio.file("/init", INIT.as_bytes());
    cpio.file("/etc/inittab", INITTAB.as_bytes());
    cpio.file("/bin/farmhand-console", CONSOLE.as_bytes());
    cpio.file("/etc/passwd", PASSWD.as_bytes());
    cpio.file("/etc/group", GROUP.as_bytes());
    let busybox = find(parts.linux, "bin/busybox")?;
    cpio.file("/bin/busybox", &fs::read(&busybox).map_err(GuestError::file(&busybox))?);
    cpio.file("/bin/farmhand-agent", parts.agent);
    let modules = Modules::of(&find(parts.linux, &format!("lib/modules/{version}"))?);
    modules.put(&MODULES, &mut cpio)?;
    Ok(cpio.finish())
}

fn disk(parts: &Parts<'_>, path: &Path) -> Result<(), GuestError> {
    let program = parts.qemu_img.to_owned();
    let mut command = Command::new(&program);
    command.envs(parts.environment).args(["create", "-q", "-f", "qcow2"]).arg(path).arg(DISK_SIZE);
    let failed = |why: String| GuestError::Disk { program, why };
    match command.output() {
        Ok(ended) if ended.status.success() => Ok(()),
        Ok(ended) => Err(failed(String::from_utf8_lossy(&ended.stderr).trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(failed("it is not there".into())),
        Err(error) => Err(failed(error.to_string())),
    }
}
