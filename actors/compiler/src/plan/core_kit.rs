//! An Arduino core, and what it is used with.

use std::path::PathBuf;

use super::Platform;
use crate::cores::Places;
use crate::properties::{Board, Core, PropertiesError, Table};

/// The version of Arduino's programs that sources may ask for (`ARDUINO`): 1.8.19, the last of its line.
const ARDUINO_VERSION: &str = "10819";

/// An Arduino core, and what it is used with.
#[derive(Debug, Clone)]
pub(crate) struct CoreKit {
    /// `boards.txt` is in it.
    pub(crate) folder: PathBuf,
    /// The folder of the core that it refers to.
    pub(crate) referenced: Option<PathBuf>,
    /// What recipes may ask for beside what the core says: where tools are.
    pub(crate) properties: Vec<(String, String)>,
    /// What its boards are of; none where nothing is known of it.
    pub(crate) architecture: Option<String>,
    /// Shelves of libraries that come before the core's own.
    pub(crate) libraries: Vec<PathBuf>,
    /// A person's: all of its recipes are run as they stand, its hooks among them.
    pub(crate) is_own: bool,
}

impl CoreKit {
    /// A core that farmhand knows, with tools in `bin`.
    pub(crate) fn known(
        platform: &Platform,
        folder: PathBuf,
        referenced: Option<PathBuf>,
        bin: &std::path::Path,
    ) -> Self {
        let mut properties = vec![("compiler.path".to_owned(), format!("{}/", bin.display()))];
        if let Some(prefix) = bin.parent() {
            properties.push(("runtime.tools.avr-gcc.path".to_owned(), prefix.to_string_lossy().into_owned()));
        }
        Self {
            folder,
            referenced,
            properties,
            libraries: sketchbook(),
            architecture: Some(platform.architecture.into()),
            is_own: false,
        }
    }

    /// Reads what it says.
    pub(crate) fn read(&self) -> Result<Core, PropertiesError> {
        Core::read_with(&self.folder, self.referenced.as_deref())
    }

    /// What its recipes may ask for, whatever is built: the board's properties, and above them what Arduino's programs set (Arduino
    /// platform specification, "Global predefined properties").
    pub(crate) fn variables(&self, core: &Core, board: &Board, fqbn: &str) -> Table {
        let mut table = board.properties.clone();
        let mut set = |key: &str, value: &str| table.set(key, value);
        let folder = core.folder();
        let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
        for key in ["runtime.ide.version", "ide_version"] {
            set(key, ARDUINO_VERSION);
        }
        set("runtime.os", "linux");
        set("software", "ARDUINO");
        set("build.fqbn", fqbn);
        set("_id", &board.id);
        set("build.arch", &fqbn.split(':').nth(1).unwrap_or_default().to_uppercase());
        set("build.library_discovery_phase", "0");
        set("runtime.ide.path", &path(folder));
        // Of the person's clock nothing may be in an object: it would never be the same again.
        for key in ["extra.time.utc", "extra.time.local", "extra.time.zone", "extra.time.dst"] {
            set(key, "0");
        }
        set("runtime.platform.path", &path(folder));
        set("runtime.hardware.path", &path(folder.parent().unwrap_or(folder)));
        set("build.board.platform.path", &path(folder));
        set("build.core.platform.path", &path(core.referenced().unwrap_or(folder)));
        set("build.system.path", &path(&folder.join("system")));
        for (key, value) in &self.properties {
            set(key, value);
        }
        // A core of today names what it optimises for by what is debugged; nothing is here.
        if let Some(release) = table.get("compiler.optimization_flags.release").map(str::to_owned) {
            table.set("compiler.optimization_flags", release);
        }
        table
    }
}

/// Where a person's own libraries are.
pub(crate) fn sketchbook() -> Vec<PathBuf> {
    Places::here().map(|places| places.libraries()).into_iter().collect()
}
