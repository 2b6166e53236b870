//! What names in flags stand for, as PlatformIO's build system knows them.

use farmhand_messages::compiler::ENVIRONMENTS_DIR;
use farmhand_project::platformio::Surroundings as _;

use super::Project;
use crate::config::error::ConfigError;

/// Folders of a project's, and the options that say them.
const FOLDERS: &[(&str, &str)] = &[
    ("PROJECT_SRC_DIR", "src_dir"),
    ("PROJECT_INCLUDE_DIR", "include_dir"),
    ("PROJECT_LIB_DIR", "lib_dir"),
    ("PROJECT_DATA_DIR", "data_dir"),
    ("PROJECT_TEST_DIR", "test_dir"),
    ("PROJECT_LIBDEPS_DIR", "libdeps_dir"),
    ("PROJECT_WORKSPACE_DIR", "workspace_dir"),
];

/// What an environment says of itself.
pub(super) struct Itself<'a> {
    pub(super) name: &'a str,
    pub(super) platform: &'a str,
    pub(super) board: &'a str,
    pub(super) frameworks: &'a [String],
}

impl Project {
    /// What a name stands for in an environment's flags; none where that is not known.
    pub(super) fn stands_for(&self, of: &Itself<'_>, name: &str) -> Result<Option<String>, ConfigError> {
        let built = self.folder.join(ENVIRONMENTS_DIR);
        if let Some((_, option)) = FOLDERS.iter().find(|(folder, _)| *folder == name) {
            return Ok(Some(self.project_folder(option)?.to_string_lossy().into_owned()));
        }
        Ok(match name {
            "PIOENV" => Some(of.name.to_owned()),
            "PIOPLATFORM" => Some(of.platform.split('@').next().unwrap_or_default().trim().to_owned()),
            "PIOFRAMEWORK" => Some(of.frameworks.join(",")),
            "BOARD" => Some(of.board.to_owned()),
            "PROJECT_BUILD_DIR" => Some(built.to_string_lossy().into_owned()),
            "BUILD_DIR" => Some(built.join(of.name).to_string_lossy().into_owned()),
            name => self.built_in(name),
        })
    }
}
