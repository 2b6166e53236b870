//! The programs under test: built once a run, in the profile that the test itself was built in.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where this test's own program lies: `target/PROFILE`.
pub(crate) fn profile_folder() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its program");
    let deps = own.parent().expect("a program lies in a folder");
    let profile = if deps.ends_with("deps") { deps.parent().expect("deps lies in a profile") } else { deps };
    profile.to_owned()
}

/// `farmhand` or `farmhandd`.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(build).clone();
    folder.join(name)
}

/// A copy of it in this folder. Another program makes it: a process that this one starts just then would have it open for writing,
/// and what is written to cannot be run (execve(2), `ETXTBSY`).
#[must_use]
pub fn copy_of_binary(name: &str, folder: &Path) -> PathBuf {
    let copied = Command::new("cp").arg(binary(name)).arg(folder).status().expect("cp runs");
    assert!(copied.success(), "{name} is not copied to {}", folder.display());
    folder.join(name)
}

fn build() -> PathBuf {
    let folder = profile_folder();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "--package", "farmhand-cli", "--bins", "--message-format", "short"]);
    match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => {}
        Some(profile) => {
            command.args(["--profile", profile]);
        }
    }
    let target = folder.parent().expect("a profile lies in the target folder");
    command.arg("--target-dir").arg(target).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let built = command.output().expect("cargo runs");
    assert!(built.status.success(), "build farmhand: {}", String::from_utf8_lossy(&built.stderr));
    folder
}
