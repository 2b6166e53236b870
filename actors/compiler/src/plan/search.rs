//! What is on this machine already: programs on the PATH, and cores in the places where systems and Arduino's own
//! tools put them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::platform::Platform;
use crate::BuildError;
use crate::cores::Places;

/// Before what is no program: the folder of a core.
pub(crate) const CORE: &str = "core ";
/// Not a program: where a person's libraries are.
pub(crate) const SKETCHBOOK: &str = "sketchbook";
/// Not a program: the name of all the tools that a person's cores may mean.
pub(crate) const OWN_TOOLS: &str = "tools of cores";
/// Before what a tool of PlatformIO's was looked for by: the core's name, and a file of it. Its path is empty where there is none.
pub(crate) const TOOL_WITH: &str = "tool with ";

/// A program that was found on the PATH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Found {
    /// As it was asked for.
    pub(crate) name: String,
    /// Where it was.
    pub(crate) path: PathBuf,
}

impl Found {
    /// Whether it is a program that compiles C or C++. What is no program may be called as one: a name made of digits may end so.
    pub(crate) fn is_driver(&self) -> bool {
        let is_other = [SKETCHBOOK, OWN_TOOLS].contains(&self.name.as_str())
            || [CORE, TOOL_WITH].iter().any(|other| self.name.starts_with(other));
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        !is_other && ["gcc", "g++", "cc", "c++"].iter().any(|driver| name.ends_with(driver))
    }
}

/// Whether what was looked for is still found in the same place.
pub(crate) fn still_found(found: &[Found]) -> bool {
    found.iter().all(|found| {
        let now = match found.name.strip_prefix(CORE) {
            None if found.name == SKETCHBOOK => Places::here().map(|places| places.libraries()),
            None if found.name.starts_with(TOOL_WITH) => Some(tool_with(&found.name).unwrap_or_default()),
            None if found.name == OWN_TOOLS => Places::here().map(|places| places.tools_name().into()),
            None => which(&found.name),
            Some(core) => core.split_once(':').and_then(|(vendor, architecture)| {
                let (architecture, version) = match architecture.split_once('@') {
                    Some((architecture, version)) => (architecture, Some(version)),
                    None => (architecture, None),
                };
                let known = Platform::known(vendor, architecture).filter(|_| version.is_none());
                let system = known.and_then(system_core);
                let own = || Places::here()?.core(vendor, architecture, version).map(|core| core.folder);
                system.or_else(own)
            }),
        };
        now.as_ref() == Some(&found.path)
    })
}

/// The tool of PlatformIO's that was looked for as `name` says.
fn tool_with(name: &str) -> Option<PathBuf> {
    let (core, wanted) = name.strip_prefix(TOOL_WITH)?.split_once(' ')?;
    let (vendor, architecture) = core.split_once(':')?;
    let places = Places::here()?;
    places.tool_with(&places.core(vendor, architecture, None)?, wanted)
}

pub(crate) fn core_name(platform: &Platform) -> String {
    format!("{CORE}{}:{}", platform.vendor, platform.architecture)
}

/// The first program of that name on the PATH.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    which_in(name, &std::env::var_os("PATH")?)
}

pub(crate) fn which_in(name: &str, path: &OsStr) -> Option<PathBuf> {
    let runs = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(runs)
}

/// The host's C compiler.
pub(crate) fn host_compiler() -> Result<PathBuf, BuildError> {
    ["cc", "gcc", "clang"].into_iter().find_map(which).ok_or_else(|| BuildError::Missing {
        what: "a C compiler (cc, gcc or clang) on the PATH".into(),
        help: "install one: on Debian or Ubuntu `apt install gcc libc6-dev`".into(),
    })
}

/// Where systems keep a core.
pub(crate) fn system_core(platform: &Platform) -> Option<PathBuf> {
    let refers = platform.refers_to.is_some();
    let whole = |folder: &PathBuf| {
        folder.join("boards.txt").is_file() && (refers || folder.join("platform.txt").is_file())
    };
    Some(Path::new("/").join(platform.folder)).filter(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_program_is_no_compiler() {
        let found = |name: &str, path: &str| Found { name: name.into(), path: path.into() };
        for (name, path) in
            [("avr-gcc", "/bin/avr-gcc"), ("/opt/x/avr-g++", "/opt/x/avr-g++"), ("gcc", "/bin/cc")]
        {
            assert!(found(name, path).is_driver(), "{name}");
        }
        for (name, path) in [
            (OWN_TOOLS, "4be62a82eb91c81f03acc42852e8a914618a8ac15785397d7cf11926e917f0cc"),
            (SKETCHBOOK, "/home/a/cc"),
            ("core acme:gcc", "/data/acme/hardware/gcc"),
            ("tool with acme:avr x", "/data/tool-gcc"),
            ("ar", "/bin/ar"),
        ] {
            assert!(!found(name, path).is_driver(), "{name}");
        }
    }

    #[test]
    fn the_first_program_on_the_path_that_runs() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, mode: u32| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        make("a/tool", 0o644);
        let runs = make("b/tool", 0o755);
        make("c/tool", 0o755);
        let path = std::env::join_paths(["a", "b", "c"].map(|name| folder.path().join(name))).unwrap();
        assert_eq!(which_in("tool", &path), Some(runs));
        assert_eq!(which_in("other", &path), None);
    }
}
