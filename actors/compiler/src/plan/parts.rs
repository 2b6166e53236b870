//! What a toolchain consists of, file by file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farmhand_runtime::Helper;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::BuildError;
use crate::cache::{Hash, Hasher, ObjectStore, Stat, hash_bytes};

/// A compiler that is asked where its parts are answers in milliseconds; a machine under load in seconds.
const QUESTION_DEADLINE: Duration = Duration::from_secs(60);
/// Files of a system's C library that are looked at: avr-libc has 300.
const LIBRARY_FILES_MAX: usize = 4096;
/// What a linker reads: archives, objects, scripts, and what is loaded later.
const LIBRARIES: &[&str] = &["a", "o", "x", "so"];
/// What a driver runs, or loads: none of it need be there.
const PARTS: &[&str] =
    &["cc1", "cc1plus", "collect2", "lto1", "lto-wrapper", "liblto_plugin.so", "as", "ld", "ar", "objcopy"];

/// Programs of a toolchain, by their common beginning.
pub(crate) fn programs(bin: &Path, prefix: &str) -> Vec<PathBuf> {
    ["gcc", "g++", "gcc-ar", "ar", "objcopy"]
        .into_iter()
        .map(|name| bin.join(format!("{prefix}{name}")))
        .filter(|path| path.is_file())
        .collect()
}

/// Whether a folder of libraries is the compiler's own, with those of each processor below it. Below the others lies all that a
/// system has installed.
pub(crate) fn is_of_compiler(folder: &Path, prefix: &str) -> bool {
    let target = prefix.trim_end_matches('-');
    folder.iter().any(|name| name == "gcc" || (!target.is_empty() && name == target))
}

/// The files of a system's libraries, and those below the folders that are looked into.
pub(crate) fn library_files(folders: &[PathBuf], is_looked_into: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open: Vec<_> = folders.iter().map(|folder| (folder.clone(), is_looked_into(folder))).collect();
    while let Some((folder, is_deep)) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let is_library =
                path.extension().is_some_and(|end| LIBRARIES.iter().any(|library| end == *library));
            if is_folder && is_deep {
                open.push((path, true));
            } else if is_library && files.len() < LIBRARY_FILES_MAX && path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Whether a program is a script: what it runs, and with what, is in none of its bytes.
pub(crate) fn is_script(program: &Path) -> bool {
    let mut beginning = [0; 2];
    File::open(program).is_ok_and(|mut file| file.read_exact(&mut beginning).is_ok()) && &beginning == b"#!"
}

/// What a driver that is a script would run to compile (GCC manual, "Overall Options", `-###`): another compiler behind it, and
/// flags that it adds. Without `-c`, for names of temporary files are others each time.
pub(crate) async fn would_run(
    driver: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<u8>, BuildError> {
    let language = if driver.to_string_lossy().ends_with("++") { "c++" } else { "c" };
    let mut command = Command::new(driver);
    command.args(["-###", "-x", language, "-S", "/dev/null", "-o", "/dev/null"]);
    command.env_clear().envs(environment);
    let ended = Helper::run(command, QUESTION_DEADLINE).await?;
    Ok([ended.stdout, ended.stderr].concat())
}

/// What a compiler driver says of itself; kept, for it takes a process to ask.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Parts {
    driver: Stat,
    pub(crate) version: String,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) libraries: Vec<PathBuf>,
}

impl Parts {
    pub(crate) async fn of(
        driver: &Path,
        environment: &BTreeMap<String, String>,
        objects: &ObjectStore,
    ) -> Result<Self, BuildError> {
        let stat = Stat::of(driver).map_err(BuildError::io("read", driver))?;
        let place = objects.place("parts", &hash_bytes(driver.to_string_lossy().as_bytes()));
        let kept = objects.sealed(&place).and_then(|bytes| postcard::from_bytes::<Self>(&bytes).ok());
        let kept = kept.filter(|_| !is_script(driver));
        if let Some(kept) =
            kept.filter(|kept| kept.driver == stat && kept.files.iter().all(|file| file.exists()))
        {
            return Ok(kept);
        }
        let mut command = Command::new(driver);
        command.arg("-print-search-dirs").env_clear().envs(environment);
        let ended = Helper::run(command, QUESTION_DEADLINE).await?;
        let parts = Self::read(stat, &String::from_utf8_lossy(&ended.stdout));
        // Where it cannot be kept it is asked again.
        if let Ok(bytes) = postcard::to_stdvec(&parts) {
            let _asked_again = objects.seal(&place, &bytes);
        }
        Ok(parts)
    }

    fn read(driver: Stat, answer: &str) -> Self {
        let line = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let folders = |line: &str| -> Vec<PathBuf> {
            line.trim_start_matches([' ', '='])
                .split(':')
                .map(|folder| PathBuf::from(folder.trim()))
                .filter(|folder| folder.is_absolute() && folder.is_dir())
                .collect()
        };
        let install = line("install:").trim().trim_end_matches('/');
        let programs = folders(line("programs:"));
        let mut files: Vec<_> = PARTS
            .iter()
            .filter_map(|part| programs.iter().map(|folder| folder.join(part)).find(|path| path.is_file()))
            .filter_map(|path| path.canonicalize().ok())
            .collect();
        files.dedup();
        let mut libraries: Vec<_> =
            folders(line("libraries:")).iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        libraries.sort();
        libraries.dedup();
        let version = install.rsplit('/').next().unwrap_or_default().to_owned();
        Self { driver, version, files, libraries }
    }
}

/// A hash over files' content, kept by what the file system says of them: they are tens of megabytes.
/// They are named by their paths below `prefix`, where they lie there.
pub(crate) fn content_of(
    files: &[PathBuf],
    prefix: &Path,
    objects: &ObjectStore,
) -> Result<Hash, BuildError> {
    let mut all = Hasher::new("content");
    for file in files {
        let stat = Stat::of(file).map_err(BuildError::io("read", file))?;
        let place = objects.place("tools", &hash_bytes(file.to_string_lossy().as_bytes()));
        let kept = objects.sealed(&place).and_then(|bytes| postcard::from_bytes::<(Stat, Hash)>(&bytes).ok());
        let hash = match kept {
            Some((kept, hash)) if kept == stat => hash,
            _ => {
                let hash = hash_bytes(&fs::read(file).map_err(BuildError::io("read", file))?);
                if let Ok(bytes) = postcard::to_stdvec(&(stat, hash)) {
                    let _hashed_again = objects.seal(&place, &bytes);
                }
                hash
            }
        };
        let name = file.strip_prefix(prefix).unwrap_or(file);
        all = all.part(name.to_string_lossy().as_bytes()).part(hash);
    }
    Ok(all.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_lie_deep_in_a_compilers_own_folders_only() {
        let system = tempfile::tempdir().unwrap();
        let [own, all] = ["lib/gcc/avr/7", "lib"].map(|folder| system.path().join(folder));
        fs::create_dir_all(own.join("avr5")).unwrap();
        fs::create_dir_all(all.join("python")).unwrap();
        for file in ["libc.a", "libm.so.6", "gcc/avr/7/avr5/crt.o", "python/x.so"] {
            fs::write(all.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink("libm.so.6", all.join("libm.so")).unwrap();
        std::os::unix::fs::symlink("nowhere", all.join("libn.so")).unwrap();
        let files = library_files(&[all.clone(), own.clone()], |folder| is_of_compiler(folder, "avr-"));
        assert_eq!(files, [own.join("avr5/crt.o"), all.join("libc.a"), all.join("libm.so")]);
        assert!(is_of_compiler(Path::new("/usr/lib/avr/lib"), "avr-"));
        assert!(!is_of_compiler(Path::new("/usr/lib"), ""));
    }

    #[test]
    fn reads_what_a_driver_says() {
        let stat = Stat::of(Path::new("/")).unwrap();
        let answer = "install: /x/lib/gcc/avr/5.4.0/\nprograms: =/x/none/:/usr/\nlibraries: =/usr/lib/\n";
        let parts = Parts::read(stat, answer);
        assert_eq!(parts.version, "5.4.0");
        assert_eq!(parts.libraries, [Path::new("/usr/lib").canonicalize().unwrap()]);
    }
}
