//! Where Arduino's programs keep things for a person (Arduino CLI documentation, "Configuration", `directories`), and PlatformIO
//! (PlatformIO documentation, "Project Configuration File", `core_dir`, `packages_dir`).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use farmhand_project::arduino::Directories;

/// A person's folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    /// What the boards manager installed: `packages`, and its indexes.
    pub(crate) data: PathBuf,
    /// The sketchbook: `libraries`, `hardware`.
    pub(crate) user: PathBuf,
    /// What PlatformIO installed; none where nobody says where home is.
    pub(crate) platformio: Option<PlatformIo>,
}

/// PlatformIO's folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlatformIo {
    /// Boards, and which packages they need.
    pub(crate) platforms: PathBuf,
    /// Cores and tools.
    pub(crate) packages: PathBuf,
}

impl Places {
    /// As the environment, Arduino's settings or the defaults have it; `None` where nobody says where home is.
    pub(crate) fn here() -> Option<Self> {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let (data, user) = (variable("ARDUINO_DIRECTORIES_DATA"), variable("ARDUINO_DIRECTORIES_USER"));
        let home = variable("HOME");
        let default_data = home.as_deref().map(|home| home.join(".arduino15"));
        let settings = default_data.as_deref().map(settings).unwrap_or_default();
        let data = data.or(settings.data.map(PathBuf::from)).or(default_data)?;
        let core = variable("PLATFORMIO_CORE_DIR").or_else(|| Some(home.as_deref()?.join(".platformio")));
        let in_core =
            |variable: Option<PathBuf>, name: &str| variable.or_else(|| Some(core.as_ref()?.join(name)));
        let platforms = in_core(variable("PLATFORMIO_PLATFORMS_DIR"), "platforms");
        let packages = in_core(variable("PLATFORMIO_PACKAGES_DIR"), "packages");
        let platformio =
            platforms.zip(packages).map(|(platforms, packages)| PlatformIo { platforms, packages });
        let user = user.or(settings.user.map(PathBuf::from)).or_else(|| Some(home?.join("Arduino")))?;
        Some(Self { data, user, platformio })
    }
}

/// What Arduino's programs were told of their folders.
fn settings(data: &Path) -> Directories {
    let text = |name: &str| fs::read_to_string(data.join(name)).unwrap_or_default();
    let mut directories = Directories::from_cli(&text("arduino-cli.yaml"));
    if directories.user.is_none() {
        directories.user = Directories::from_preferences(&text("preferences.txt")).user;
    }
    directories
}
