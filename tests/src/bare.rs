//! A board that no farm started: as if it were plugged in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use farmhand_installer::{Installed, PackageWish};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::board::BoardControl;
use crate::home::Home;
use crate::jobs::UNO;
use crate::wait::or_hang;

/// It has no owner: longer than any test takes, in seconds.
const LINGER: &str = "3600";
/// The loader, in package `arduino-avr`.
const LOADER: &str = "usr/share/arduino/hardware/arduino/avr/bootloaders/optiboot/optiboot_atmega328.hex";

/// A virtual Uno with its own folder. Dropped, it is killed.
#[derive(Debug)]
pub struct BareUno {
    folder: PathBuf,
    child: Child,
}

impl BareUno {
    /// Starts one, with another chip's signature if that is given (`1e9514`).
    pub async fn start(home: &Home, folder: &Path, signature: Option<&str>) -> Self {
        fs::create_dir_all(folder).unwrap();
        let simavr = package(home, "simavr").await;
        let loader = package(home, "arduino-avr").await.prefix.join(LOADER);
        let mut command = Command::new(program(home));
        command.arg("--dir").arg(folder).arg("--bootloader").arg(loader).args(["--linger", LINGER]);
        if let Some(signature) = signature {
            command.args(["--signature", signature]);
        }
        command.envs(&simavr.environment).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        // A group of its own: a terminal's signals are not for it.
        let mut child = command.process_group(0).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let ready = or_hang("a board starts", lines.next_line()).await.unwrap();
        assert_eq!(ready.as_deref(), Some("ready"));
        Self { folder: folder.to_owned(), child }
    }

    /// Its line.
    #[must_use]
    pub fn line(&self) -> PathBuf {
        self.folder.join("tty")
    }

    /// What it does and counts.
    #[must_use]
    pub fn control(&self) -> BoardControl {
        BoardControl::new(&self.folder)
    }

    /// Pulls it out.
    pub async fn leave(mut self) {
        self.control().ask("quit").unwrap();
        or_hang("a board leaves", self.child.wait()).await.unwrap();
    }

    /// As `farm.toml` names it.
    #[must_use]
    pub fn entry(&self, name: &str) -> String {
        entry(name, &self.line())
    }
}

/// A device on a port, as `farm.toml` names it.
#[must_use]
pub fn entry(name: &str, port: &Path) -> String {
    format!("[[device]]\nname = {name:?}\nboard = {UNO:?}\nmatch = {{ port = {port:?} }}\n")
}

/// A package, installed where it is not.
pub async fn package(home: &Home, name: &str) -> Installed {
    let packages = home.paths().packages();
    let installed = farmhand_installer::install(&packages, &PackageWish::Named(name.into()), |_| ()).await;
    installed.unwrap_or_else(|error| panic!("install {name}: {error}"))
}

/// The board program that farms of this folder would start.
fn program(home: &Home) -> PathBuf {
    let below =
        |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut programs =
        below(home.paths().objects().join("host")).flat_map(below).map(|folder| folder.join("uno"));
    programs.find(|program| program.is_file()).expect("a home that is ready has built the board program")
}
