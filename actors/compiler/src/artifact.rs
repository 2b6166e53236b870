//! The program itself: how large it is, and where it is kept.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use farmhand_image::Image;
use farmhand_records::ContentHash;
use farmhand_runtime::{Failpoint, Paths, failpoint, sync_dir};

use crate::BuildError;
use crate::anatomy::{Section, anatomy};
use crate::cache::hash_bytes;

/// A program that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) path: PathBuf,
    pub(crate) hash: ContentHash,
    pub(crate) image_bytes: u64,
}

/// Keeps a program under its hash: it is on the disk when this returns, and does not change.
pub(crate) fn keep(paths: &Paths, file: &Path) -> Result<Kept, BuildError> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => return Err(BuildError::NoArtifact { path: file.to_owned(), why: error.to_string() }),
    };
    let image = Image::from_bytes(&bytes)
        .map_err(|error| BuildError::NoArtifact { path: file.to_owned(), why: error.to_string() })?;
    let hash = ContentHash(hash_bytes(&bytes));
    let path = paths.artifact(&hash);
    // One that is there and is not what its name says was cut short by a crash.
    if !fs::read(&path).is_ok_and(|old| hash_bytes(&old) == hash.0) {
        // A program of this machine's own is run where it is kept.
        let is_run = fs::metadata(file).is_ok_and(|file| file.permissions().mode() & 0o111 != 0);
        store(&path, &bytes, if is_run { 0o555 } else { 0o444 }).map_err(BuildError::io("write", &path))?;
    }
    Ok(Kept { path, hash, image_bytes: image.len() })
}

fn store(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    failpoint(Failpoint::ArtifactUnfinished);
    file.persist(path).map_err(|error| error.error)?;
    sync_dir(folder)?;
    failpoint(Failpoint::ArtifactKept);
    Ok(())
}

/// Bytes that a program puts on a device; it is removed: it was linked to be measured.
pub(crate) fn image_bytes(program: &Path) -> Option<u64> {
    let bytes = fs::read(program).ok()?;
    let _gone_already = fs::remove_file(program);
    Image::from_bytes(&bytes).ok().map(|image| image.len())
}

/// What of a program takes RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ram {
    /// The variables: `.data`, `.bss` and `.noinit`. So Arduino counts, and a core's board says how much there may be.
    Variables,
    /// All that is written to: a linker script of a project's own names its sections as it likes, and its stack is one.
    Written,
}

/// Bytes of RAM that a program takes, from its ELF. `None` where it is no ELF.
pub(crate) fn data_bytes(elf: &Path, ram: Ram) -> Option<u64> {
    let anatomy = anatomy(elf, 0).ok()?;
    let counts = |section: &&Section| match ram {
        Ram::Variables => matches!(&*section.name, ".data" | ".bss" | ".noinit"),
        Ram::Written => section.data,
    };
    Some(anatomy.sections.iter().filter(counts).map(|section| section.bytes).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = ":0400000001020304F2\n:00000001FF\n";

    #[test]
    fn is_kept_by_its_hash_and_mended() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path().join("home"));
        let file = folder.path().join("a.hex");
        fs::write(&file, HEX).unwrap();
        let kept = keep(&paths, &file).unwrap();
        assert_eq!(kept.image_bytes, 4);
        assert_eq!(fs::read_to_string(&kept.path).unwrap(), HEX);
        let other = folder.path().join("b.hex");
        fs::write(&other, format!("{HEX}\n")).unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
        let run = keep(&paths, &other).unwrap();
        assert_eq!(fs::metadata(&run.path).unwrap().permissions().mode() & 0o777, 0o555);
        assert_eq!(fs::metadata(&kept.path).unwrap().permissions().mode() & 0o777, 0o444);
        fs::remove_file(&kept.path).unwrap();
        fs::write(&kept.path, "cut").unwrap();
        assert_eq!(keep(&paths, &file).unwrap(), kept);
        assert_eq!(fs::read_to_string(&kept.path).unwrap(), HEX);
    }

    /// A tree's own linker script calls its sections as it likes.
    #[test]
    fn what_is_written_to_takes_ram() {
        let folder = tempfile::tempdir().unwrap();
        let (source, program) = (folder.path().join("a.c"), folder.path().join("a.elf"));
        let text = r#"
            __asm__(".section .stack,\"aw\",@nobits\n.zero 4096\n.text");
            char room[512];
            void _start(void) { room[1] = room[0]; }
        "#;
        fs::write(&source, text).unwrap();
        let mut cc = std::process::Command::new("gcc");
        cc.args(["-O1", "-nostdlib", "-static", "-o"]).arg(&program).arg(&source);
        assert!(cc.status().unwrap().success());
        assert_eq!(data_bytes(&program, Ram::Variables), Some(512));
        assert_eq!(data_bytes(&program, Ram::Written), Some(4608));
        fs::write(&program, HEX).unwrap();
        assert_eq!(data_bytes(&program, Ram::Written), None);
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path().join("home"));
        let file = folder.path().join("a.txt");
        assert!(matches!(keep(&paths, &file), Err(BuildError::NoArtifact { .. })));
        fs::write(&file, "hello").unwrap();
        assert!(matches!(keep(&paths, &file), Err(BuildError::NoArtifact { .. })));
    }
}
