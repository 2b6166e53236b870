//! Other people's tools, from Debian's packages, without root.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// Set to 1 where a test that cannot run must fail: in CI.
const MUST_NOT_SKIP: &str = "FARMHAND_TEST_MUST_NOT_SKIP";

/// Packages, unpacked.
#[derive(Debug)]
pub(crate) struct Tools {
    folder: TempDir,
}

impl Tools {
    /// Fetches and unpacks; `None`, and one line, where this machine cannot.
    pub(crate) fn get(packages: &[&str]) -> Option<Self> {
        match Self::try_get(packages) {
            Ok(tools) => Some(tools),
            Err(why) if std::env::var_os(MUST_NOT_SKIP).is_some_and(|set| set == "1") => {
                panic!("{} of Debian: {why}", packages.join(", "))
            }
            Err(why) => {
                eprintln!("skipped: {} of Debian: {why}", packages.join(", "));
                None
            }
        }
    }

    fn try_get(packages: &[&str]) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let run = |command: &mut Command| {
            let name = command.get_program().to_string_lossy().into_owned();
            let output = command.current_dir(folder.path()).output();
            let output = output.map_err(|error| format!("{name}: {error}"))?;
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().last().unwrap_or_default();
            if output.status.success() { Ok(()) } else { Err(format!("{name}: {last}")) }
        };
        run(Command::new("apt-get").args(["-qq", "download"]).args(packages))?;
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            run(Command::new("dpkg").arg("-x").arg(entry.unwrap().path()).arg("root"))?;
        }
        run(Command::new("python3").arg("--version"))?;
        Ok(Self { folder })
    }

    /// One of them, to be run.
    pub(crate) fn command(&self, name: &str) -> Command {
        let root = self.folder.path().join("root");
        let libraries: Vec<PathBuf> = std::fs::read_dir(root.join("usr/lib"))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path().join("android"))
            .collect();
        let program = root.join("usr/bin").join(name);
        // A script's first line names an interpreter that this machine may have elsewhere.
        let is_script = std::fs::read(&program).unwrap().starts_with(b"#!");
        let mut command = if is_script { Command::new("python3") } else { Command::new(&program) };
        if is_script {
            command.arg(&program);
        }
        command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).unwrap());
        command
    }
}

/// Runs it to its end, which must be a good one.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out.into_owned()
}
