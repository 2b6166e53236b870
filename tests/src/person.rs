//! A person who has cores of Arduino's, put there by other programs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::shared_packages::{Installer, packages};
use crate::{Desk, Home, Said, copy_tree, said};

const PLATFORM: &str = r#"{"name": "acmearm", "version": "3.1.0",
    "frameworks": {"arduino": {"package": "framework-arduino-acme", "script": "builder/main.py"}},
    "packages": {"toolchain-gccarmnoneeabi": {"type": "toolchain", "version": "~1.120200.0"}, "tool-packer": {},
                 "framework-arduino-acme": {"type": "framework", "version": "~1.2.0"}}}"#;

/// A desk, and a home in which other programs install `tests/fixtures/acme`, a core for ARM with the ways that cores in use have.
pub struct Person {
    /// Where projects lie.
    pub desk: Desk,
    /// `HOME`.
    pub home: PathBuf,
    /// What the compiler needs to be run by hand.
    pub environment: BTreeMap<String, String>,
    compiler: PathBuf,
}

impl Person {
    /// The one board of the core, as Arduino's programs name it.
    pub const BOARD: &str = "acme:arm:an385";
    /// The same as PlatformIO has it, `acme_an385.json` of its platform `acmearm`.
    pub const JSON: &str = r#"{"build": {"core": "acme", "mcu": "cortex-m3", "f_cpu": "25000000L", "variant": "an385",
    "extra_flags": "-DARDUINO_ACME_AN385 -DON_BOARD"}, "frameworks": ["arduino"], "name": "Acme AN385",
    "upload": {"maximum_size": 4194304, "maximum_ram_size": 4194304}}"#;

    /// In whose home nothing is.
    pub async fn new() -> Self {
        let compiler = Installer.named("arm-gcc").await.unwrap();
        let home = Home::empty();
        symlink(packages(), home.path().join("packages")).unwrap();
        let desk = Desk::new(home);
        let home = desk.work().join("home");
        Self { desk, home, environment: compiler.environment, compiler: compiler.prefix.join("usr") }
    }

    /// Who has the core by Arduino's boards manager.
    #[must_use]
    pub fn with_arduinos(self) -> Self {
        copy_tree(&acme(), &self.core()).unwrap();
        let tools = self.home.join(".arduino15/packages/acme/tools/arm-none-eabi-gcc");
        fs::create_dir_all(&tools).unwrap();
        symlink(&self.compiler, tools.join("12.2")).unwrap();
        self
    }

    /// Who has it by PlatformIO.
    #[must_use]
    pub fn with_platformios(self) -> Self {
        let platform = "home/.platformio/platforms/acmearm";
        self.desk.write(&format!("{platform}/platform.json"), PLATFORM);
        self.desk.write(&format!("{platform}/boards/acme_an385.json"), Self::JSON);
        copy_tree(&acme(), &self.pio("framework-arduino-acme")).unwrap();
        let manifest = r#"{"name": "framework-arduino-acme", "version": "1.2.0"}"#;
        fs::write(self.pio("framework-arduino-acme").join("package.json"), manifest).unwrap();
        symlink(&self.compiler, self.pio("toolchain-gccarmnoneeabi")).unwrap();
        self
    }

    /// Where the boards manager put it.
    #[must_use]
    pub fn core(&self) -> PathBuf {
        self.home.join(".arduino15/packages/acme/hardware/arm/1.2.0")
    }

    /// A package that PlatformIO installed.
    #[must_use]
    pub fn pio(&self, package: &str) -> PathBuf {
        self.home.join(".platformio/packages").join(package)
    }

    /// Runs `farmhand` as this person.
    pub async fn farmhand(&self, words: &[&str]) -> Said {
        self.farmhand_with(words, &[]).await
    }

    /// Likewise, with more in the environment.
    pub async fn farmhand_with(&self, words: &[&str], more: &[(&str, &Path)]) -> Said {
        let mut command = self.desk.farmhand(words);
        command.env("HOME", &self.home).envs(&self.environment).envs(more.iter().copied());
        said(command).await
    }

    /// A file on the desk.
    #[must_use]
    pub fn built(&self, path: &str) -> Vec<u8> {
        fs::read(self.desk.work().join(path)).unwrap()
    }
}

fn acme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/acme")
}
