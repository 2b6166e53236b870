//! What measurements need: packages, programs, the virtual board. All of it is made here, and kept for the next run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use farmhand_device::virtual_uno::{Board, Parts, ensure, program};
use farmhand_installer::{Installed, PackageWish, Packages};
use farmhand_records::DeviceName;

use crate::Failure;

/// Where the loader lies in package `arduino-avr`.
const LOADER: &str = "usr/share/arduino/hardware/arduino/avr/bootloaders/optiboot/optiboot_atmega328.hex";

/// A program, and the environment that it needs.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    pub(crate) program: PathBuf,
    /// The folder of its package; none where it is the machine's own.
    pub(crate) package: Option<Installed>,
}

impl Tool {
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.envs(self.package.iter().flat_map(|package| &package.environment));
        command
    }
}

/// The folder of one run and the next.
#[derive(Debug, Clone)]
pub(crate) struct SetUp {
    pub(crate) folder: PathBuf,
}

impl SetUp {
    /// The home of the farm that is measured.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// A package, by farmhand's own installer.
    pub(crate) async fn package(&self, name: &str) -> Result<Installed, Failure> {
        let packages = Packages::new(self.home().join("packages"));
        if packages.installed(name).is_none() {
            eprintln!("set-up: installing {name}");
        }
        packages
            .install(&PackageWish::Named(name.into()), |_| ())
            .await
            .map_err(|error| format!("no {name}: {error}").into())
    }

    /// A peer: the machine's own where it has one, farmhand's package otherwise.
    pub(crate) async fn peer(&self, name: &str) -> Result<Tool, Failure> {
        if let Some(program) = on_path(name) {
            return Ok(Tool { program, package: None });
        }
        let package = self.package(name).await.map_err(|error| format!("the peer is missing: {error}"))?;
        Ok(Tool { program: package.prefix.join("usr/bin").join(name), package: Some(package) })
    }

    /// A virtual Uno in a folder, made as the compiler pool makes it.
    pub(crate) async fn board(&self, folder: &Path, name: &DeviceName) -> Result<Board, Failure> {
        let parts = self.parts().await?;
        Ok(ensure(folder, name, async || Ok(parts)).await?)
    }

    async fn parts(&self) -> Result<Parts, Failure> {
        let simulator = self.package("simavr").await?;
        let core = self.package("arduino-avr").await?;
        let uno = program();
        let folder = self.folder.join("uno");
        std::fs::create_dir_all(&folder)?;
        let (source, built) = (folder.join("uno.c"), folder.join("uno"));
        let is_built =
            std::fs::read_to_string(&source).is_ok_and(|text| text == uno.source) && built.is_file();
        if !is_built {
            std::fs::write(&source, &uno.source)?;
            let libraries = libraries(&simulator.prefix)?;
            let mut cc = Command::new("cc");
            cc.arg("-O2").args(uno.include.iter().map(|folder| flag("-I", simulator.prefix.join(folder))));
            cc.arg(&source).arg("-o").arg(&built).arg(flag("-L", &libraries));
            cc.args(uno.libraries.iter().map(|name| flag("-l", name)));
            cc.arg(flag("-Wl,-rpath,", &libraries)).arg("-Wl,--allow-shlib-undefined");
            succeed(&mut cc)?;
        }
        Ok(Parts { program: built, loader: core.prefix.join(LOADER), environment: simulator.environment })
    }
}

fn flag(flag: &str, value: impl AsRef<OsStr>) -> std::ffi::OsString {
    let mut whole = std::ffi::OsString::from(flag);
    whole.push(value.as_ref());
    whole
}

/// Debian keeps libraries in a folder that is named after the machine.
fn libraries(prefix: &Path) -> Result<PathBuf, Failure> {
    let all = prefix.join("usr/lib");
    for entry in std::fs::read_dir(&all)? {
        let path = entry?.path();
        if path.join("libsimavr.so.2").exists() {
            return Ok(path);
        }
    }
    Err(format!("no libsimavr.so.2 in a folder of {}", all.display()).into())
}

/// A program on the PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Runs a command to its end; what it said is the failure where it fails.
pub(crate) fn succeed(command: &mut Command) -> Result<Vec<u8>, Failure> {
    outcome(command).map(|output| output.stdout)
}

/// As [`succeed`]; all that it said, to people too.
pub(crate) fn succeed_saying(command: &mut Command) -> Result<String, Failure> {
    let output = outcome(command)?;
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn outcome(command: &mut Command) -> Result<Output, Failure> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&said)).into())
}
