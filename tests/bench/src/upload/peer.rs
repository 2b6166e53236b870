//! avrdude.

use std::path::Path;

use crate::Failure;
use crate::set_up::{Tool, succeed};

/// Uploads a hex file: `-D`, for optiboot erases each page as it writes it; the read-back is avrdude's default.
pub(crate) fn upload(avrdude: &Tool, line: &Path, file: &Path) -> Result<(), Failure> {
    let mut command = avrdude.command();
    if let Some(package) = &avrdude.package {
        command.arg("-C").arg(package.prefix.join("etc/avrdude.conf"));
    }
    command.args(["-q", "-c", "arduino", "-p", "m328p", "-b", "115200", "-D", "-P"]).arg(line);
    command.arg("-U").arg(format!("flash:w:{}:i", file.display()));
    succeed(&mut command).map(drop)
}
