//! Images of a test's own, and Debian's avrdude.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::bare::package;
use crate::desk::{Desk, Said, said};

/// Compiles a C file of `fixtures`; the ELF.
pub async fn compile(desk: &Desk, source: &str, name: &str, defines: &[&str]) -> PathBuf {
    let gcc = package(desk.home(), "avr-gcc").await;
    let made = desk.work().join(format!("{name}.elf"));
    let mut command = Command::new(gcc.prefix.join("usr/bin/avr-gcc"));
    command.args(["-mmcu=atmega328p", "-DF_CPU=16000000UL", "-Os", "-Wall", "-Werror"]);
    command.args(defines.iter().map(|define| format!("-D{define}")));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(source)).arg("-o").arg(&made);
    finished(command.envs(&gcc.environment)).await;
    made
}

/// As the linker would not have it: what is flashed, in Intel's format.
pub async fn hex(desk: &Desk, elf: &Path) -> PathBuf {
    let gcc = package(desk.home(), "avr-gcc").await;
    let made = elf.with_extension("hex");
    let mut command = Command::new(gcc.prefix.join("usr/bin/avr-objcopy"));
    command.args(["-O", "ihex", "-R", ".eeprom"]).arg(elf).arg(&made);
    finished(command.envs(&gcc.environment)).await;
    made
}

async fn finished(command: &mut Command) {
    let ended = command.output().await.unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// `avrdude`, not started: an upload of a hex file, each page erased as it is written, read back by default.
pub async fn avrdude(desk: &Desk, line: &Path, hex: &Path) -> Command {
    let package = package(desk.home(), "avrdude").await;
    let mut command = Command::new(package.prefix.join("usr/bin/avrdude"));
    command.arg("-C").arg(package.prefix.join("etc/avrdude.conf")).envs(&package.environment);
    command.args(["-p", "m328p", "-c", "arduino", "-b", "115200", "-D", "-P"]).arg(line);
    command.arg("-U").arg(format!("flash:w:{}:i", hex.display()));
    command.stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).kill_on_drop(true);
    command
}

/// An upload by it, to its end.
pub async fn avrdude_uploads(desk: &Desk, line: &Path, hex: &Path) -> Said {
    said(avrdude(desk, line, hex).await).await
}
