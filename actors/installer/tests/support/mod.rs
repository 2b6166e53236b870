//! An archive of Debian's kind on loopback, made of real packages, that counts what it is asked for.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared by tests that each use a part; a panic is a failed test"
)]

pub mod archives;
pub mod web;
pub mod zip;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use farmhand_installer::{Config, Packages};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A package to put into it.
pub struct Deb {
    pub name: &'static str,
    pub version: &'static str,
    pub depends: &'static str,
    pub files: &'static [(&'static str, &'static str)],
}

pub const AVRDUDE: Deb = Deb {
    name: "avrdude",
    version: "1:7.1+x-3",
    depends: "libc6 (>= 2.3), libftdi1 | libftdi2",
    files: &[("usr/bin/avrdude", "program 1"), ("etc/avrdude.conf", "one")],
};
pub const AVRDUDE_2: Deb = Deb {
    name: "avrdude",
    version: "1:7.2",
    depends: "libc6, libftdi2",
    files: &[("usr/bin/avrdude", "program 2"), ("etc/avrdude.conf", "two")],
};
pub const LIBFTDI: Deb = Deb {
    name: "libftdi2",
    version: "0.4",
    depends: "libc6",
    files: &[("usr/lib/x-linux-gnu/libftdi.so.2", "l")],
};
pub const LIBC: Deb =
    Deb { name: "libc6", version: "2.36", depends: "", files: &[("usr/lib/libc.so.6", "c")] };
pub const CORE: Deb = Deb {
    name: "arduino-core-avr",
    version: "1.8.7",
    depends: "",
    files: &[
        ("usr/share/arduino/hardware/arduino/avr/boards.txt", "b"),
        ("usr/share/arduino/hardware/arduino/avr/platform.txt", "p"),
        ("usr/share/arduino/hardware/arduino/avr/cores/arduino/Arduino.h", "h"),
        ("usr/share/arduino/hardware/arduino/avr/bootloaders/optiboot/optiboot_atmega328.hex", ":"),
    ],
};

pub struct Archive {
    folder: TempDir,
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Requests for packages (not for the index).
    debs: AtomicUsize,
    /// Answers to them wait.
    held: AtomicBool,
}

impl Archive {
    pub fn with(packages: &[Deb]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::<Shared>::default();
        let archive = Self { folder, port, shared: shared.clone() };
        archive.publish(packages);
        let served = archive.folder.path().join("served");
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (served, shared) = (served.clone(), shared.clone());
                std::thread::spawn(move || answer(stream, &served, &shared));
            }
        });
        archive
    }

    /// Replaces all that the archive has.
    pub fn publish(&self, packages: &[Deb]) {
        let served = self.folder.path().join("served");
        let _first_time = fs::remove_dir_all(&served);
        fs::create_dir(&served).unwrap();
        let mut index = String::new();
        for package in packages {
            let tree = self.folder.path().join("tree");
            let control = format!(
                "Package: {}\nVersion: {}\nArchitecture: all\nMaintainer: x <x@y.z>\nDescription: x\n{}",
                package.name,
                package.version,
                if package.depends.is_empty() {
                    String::new()
                } else {
                    format!("Depends: {}\n", package.depends)
                }
            );
            fs::create_dir_all(tree.join("DEBIAN")).unwrap();
            fs::write(tree.join("DEBIAN/control"), &control).unwrap();
            for (path, content) in package.files {
                let path = tree.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            let file = format!("{}_{}_all.deb", package.name, package.version.replace(':', "-"));
            let status = Command::new("dpkg-deb")
                .args(["--build", "--root-owner-group", "-Zgzip"])
                .arg(&tree)
                .arg(served.join(&file))
                .output()
                .unwrap();
            assert!(status.status.success(), "{status:?}");
            fs::remove_dir_all(&tree).unwrap();
            let bytes = fs::read(served.join(&file)).unwrap();
            let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            index
                .push_str(&format!("{control}Filename: ./{file}\nSize: {}\nSHA256: {hash}\n\n", bytes.len()));
        }
        fs::write(served.join("Packages"), index).unwrap();
    }

    /// The packages below `home`, from this archive.
    pub fn packages(&self, home: &Path) -> Packages {
        Packages::with_config(home, Config { apt_sources: Some(self.sources()), ..Config::default() })
    }

    pub fn sources(&self) -> PathBuf {
        let path = self.folder.path().join("sources.list");
        fs::write(&path, format!("deb [trusted=yes] http://127.0.0.1:{}/ ./\n", self.port)).unwrap();
        path
    }

    /// How many packages were asked for.
    pub fn debs_asked(&self) -> usize {
        self.shared.debs.load(Ordering::SeqCst)
    }

    /// Answers with packages wait, or go on.
    pub fn hold(&self, hold: bool) {
        self.shared.held.store(hold, Ordering::SeqCst);
    }

    /// Changes a byte of a package behind the index's back.
    pub fn damage(&self, name: &str) {
        for entry in fs::read_dir(self.folder.path().join("served")).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with(name) {
                let mut bytes = fs::read(entry.path()).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                fs::write(entry.path(), bytes).unwrap();
            }
        }
    }
}

/// HTTP/1.1, one request a connection.
fn answer(mut stream: TcpStream, served: &Path, shared: &Shared) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = String::new();
    reader.read_line(&mut request).unwrap();
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
        line.clear();
    }
    let name = request.split(' ').nth(1).and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    if name.ends_with(".deb") {
        shared.debs.fetch_add(1, Ordering::SeqCst);
        while shared.held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let (status, body) = match fs::read(served.join(name.replace("%2b", "+"))) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _client_ended = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

/// What lies below a folder, hidden things too.
pub fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// In hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash that was written in hexadecimal; none where it was not.
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let bytes: Option<Vec<u8>> =
        (0..32).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()).collect();
    bytes?.try_into().ok()
}

/// Bytes that no compressor makes shorter, always the same.
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*state >> 24) as u8
    };
    (0..bytes).map(|_| next(&mut state)).collect()
}
