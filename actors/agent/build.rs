//! Builds the agent as a program that needs nothing of the guest: static, for this machine's own target.
//!
//! The same sources give the same bytes in any folder. The build has a folder of its own, for the one around
//! it is locked, and flags of its own: what wraps or instruments that one is not for a guest.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What the inner cargo may know of the outer one: where its things are, and how to reach a registry.
const KEPT: [&str; 4] = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR"];
/// What it may not. `RUSTC` itself stays, so that one compiler builds both.
const REMOVED: [&str; 8] =
    ["CARGO", "RUSTFLAGS", "RUSTDOCFLAGS", "RUSTC_", "RUST_LOG", "MAKEFLAGS", "MFLAGS", "LLVM_PROFILE_FILE"];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The inner cargo's words stand above it: cargo shows both.
            eprintln!("the guest agent was not built: {error}");
            ExitCode::FAILURE
        }
    }
}

fn variable(name: &str) -> io::Result<OsString> {
    env::var_os(name).ok_or_else(|| io::Error::other(format!("cargo has not said {name}")))
}

fn build() -> io::Result<()> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let program = out.join("farmhand-agent");
    if variable("CARGO_CFG_TARGET_OS")? != "linux" {
        println!("cargo::warning=there is no guest agent in this build: it runs on Linux only");
        return fs::write(program, []);
    }
    let workspace = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    for source in ["bin/agent", "messages/agent", "Cargo.toml", "Cargo.lock", "actors/agent/build.rs"] {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let target = variable("TARGET")?;
    let folder = out.join("agent");
    let mut cargo = Command::new(variable("CARGO")?);
    for (name, _) in env::vars_os() {
        let is_any_of = |all: &[&str]| all.iter().any(|start| name.to_string_lossy().starts_with(start));
        if is_any_of(&REMOVED) && !is_any_of(&KEPT) {
            cargo.env_remove(name);
        }
    }
    cargo.current_dir(&workspace).args(["build", "--locked", "--profile", "agent", "-p", "farmhand-agent"]);
    cargo.arg("--manifest-path").arg(workspace.join("Cargo.toml"));
    cargo.arg("--target").arg(&target).arg("--target-dir").arg(&folder);
    cargo.arg("--jobs").arg(env::var_os("NUM_JOBS").unwrap_or_else(|| "1".into()));
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(&workspace, &out));
    let output = cargo.output()?;
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        return Err(io::Error::other(format!("{:?}: {}", cargo.get_program(), output.status)));
    }
    fs::copy(folder.join(target).join("agent/farmhand-agent"), program)?;
    // Some 10 MB of what is compiled: it is not needed again unless the sources change.
    fs::remove_dir_all(folder)
}

/// Static, and with no name of a folder of this machine in it.
fn flags(workspace: &Path, out: &Path) -> OsString {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    let mut flags = OsString::from("-Ctarget-feature=+crt-static");
    let folders = [(Some(workspace), "/farmhand"), (Some(out), "/out"), (home.as_deref(), "/cargo")];
    for (folder, name) in folders {
        let Some(folder) = folder else { continue };
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(folder);
        flags.push("=");
        flags.push(name);
    }
    flags
}
