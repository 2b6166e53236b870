//! The programs that are measured, as cargo builds them.

use std::path::PathBuf;
use std::process::Command;

use crate::Failure;
use crate::set_up::succeed;

/// Says, where it is set, that programs are measured as they are, and not built.
const AS_BUILT: &str = "FARMHAND_BENCH_AS_BUILT";

/// The program of that name, beside this one: built anew, where anything changed.
pub(crate) fn built(name: &str) -> Result<PathBuf, Failure> {
    built_of("farmhand-cli", name)
}

/// As above, of that package of the workspace.
pub(crate) fn built_of(package: &str, name: &str) -> Result<PathBuf, Failure> {
    if std::env::var_os(AS_BUILT).is_some() {
        return beside(name);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--release", "--locked", "-p", package, "--bins"]);
    build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    succeed(&mut build)?;
    beside(name)
}

/// The program of that name, as it is.
pub(crate) fn beside(name: &str) -> Result<PathBuf, Failure> {
    let me = std::env::current_exe()?;
    let program = me.with_file_name(name);
    if program.is_file() {
        return Ok(program);
    }
    Err(format!("{} is not there: run this with `cargo run --release`", program.display()).into())
}
