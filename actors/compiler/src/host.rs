//! Programs for this machine: the virtual Uno's board program.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farmhand_messages::compiler::HostProgram;
use farmhand_messages::installer::{Installed, PackageWish};
use farmhand_runtime::{Helper, sync_dir};
use tokio::process::Command;

use crate::cache::{Hasher, MAKING, ObjectStore, Stat, note_use};
use crate::plan::host_compiler;
use crate::{BuildEnv, BuildError};

/// One C file.
const COMPILE_DEADLINE: Duration = Duration::from_secs(5 * 60);

/// Builds a program for this machine of one C file and installed packages. Its path does not change, and it is on
/// the disk when this returns.
pub async fn build_host_program(env: &BuildEnv, program: &HostProgram) -> Result<PathBuf, BuildError> {
    let mut packages = Vec::new();
    for name in &program.packages {
        let installed = env.packages.install(PackageWish::Named(name.clone())).await;
        packages.push(installed.map_err(|problem| BuildError::Package(Box::new(problem)))?);
    }
    let compiler = host_compiler()?;
    let stat = Stat::of(&compiler).map_err(BuildError::io("read", &compiler))?;
    let args = arguments(program, &packages);
    let mut key = Hasher::new("host program")
        .part(&program.name)
        .part(&program.source)
        .part(compiler.to_string_lossy().as_bytes())
        .part(stat.size.to_le_bytes())
        .part(stat.modified_ns.to_le_bytes());
    for package in &packages {
        key = key.part(package.hash);
    }
    for arg in &args {
        key = key.part(arg);
    }
    let folder = ObjectStore::new(env.paths.objects()).place("host", &key.finish());
    let made = folder.join(&program.name);
    // It is there whole or not at all: it is renamed into its place.
    if made.is_file() {
        let _another_users = fs::File::open(&made).map(|there| note_use(&there));
        return Ok(made);
    }
    fs::create_dir_all(&folder).map_err(BuildError::io("make the folder", &folder))?;
    let scratch = tempfile::Builder::new()
        .prefix(MAKING)
        .tempdir_in(&folder)
        .map_err(BuildError::io("make a folder in", &folder))?;
    let source = scratch.path().join(format!("{}.c", program.name));
    fs::write(&source, &program.source).map_err(BuildError::io("write", &source))?;
    let output = scratch.path().join("program");
    let mut command = Command::new(&compiler);
    command
        .current_dir(scratch.path())
        .arg(format!("{}.c", program.name))
        .args(&args)
        .args(["-o", "program"]);
    command.env("LC_ALL", "C");
    // A device waits for it.
    let worker = env.pool.worker(u64::MAX).await;
    let ended = Helper::run(command, COMPILE_DEADLINE).await?;
    drop(worker);
    if !ended.status.success() {
        let printed = String::from_utf8_lossy(&ended.stderr).into_owned();
        return Err(BuildError::Refused { what: format!("{}.c", program.name), verb: "compile", printed });
    }
    publish(&output, &made, &folder).map_err(BuildError::io("keep", &made))?;
    Ok(made)
}

fn publish(output: &Path, made: &Path, folder: &Path) -> std::io::Result<()> {
    fs::File::open(output)?.sync_all()?;
    fs::rename(output, made)?;
    sync_dir(folder)
}

fn arguments(program: &HostProgram, packages: &[Installed]) -> Vec<String> {
    let mut args: Vec<String> = ["-O2", "-g", "-Wall", "-std=gnu11"].map(str::to_owned).to_vec();
    for package in packages {
        let below = |folder: &String| package.prefix.join(folder);
        let folders = program.include.iter().map(below).filter(|folder| folder.is_dir());
        args.extend(folders.map(|folder| format!("-I{}", folder.display())));
    }
    for folder in packages.iter().flat_map(library_folders) {
        args.push(format!("-L{}", folder.display()));
        args.push(format!("-Wl,-rpath,{}", folder.display()));
    }
    args.extend(program.libraries.iter().map(|library| format!("-l{library}")));
    // What the libraries themselves need is found when the program starts.
    args.push("-Wl,--allow-shlib-undefined".into());
    args
}

/// Where a package's libraries are: it says so itself, in what its programs need.
fn library_folders(package: &Installed) -> Vec<PathBuf> {
    let said = package.environment.get("LD_LIBRARY_PATH").map(String::as_str).unwrap_or_default();
    let folders: Vec<_> = said.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from).collect();
    if folders.is_empty() { vec![package.prefix.join("usr/lib")] } else { folders }
}
