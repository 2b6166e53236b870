//! What a board's own files say of it: asked of the installer and read as data.

use std::path::{Path, PathBuf};
use std::time::Duration;

use farmhand_api::{Problem, ProblemClass};
use farmhand_compiler::Platform;
use farmhand_compiler::properties::{board_facts_with as read_board, chip_facts};
use farmhand_messages::directory::BoardFacts;
use farmhand_messages::installer::{Installed, PackageWish};
use farmhand_messages::{InstallerMessage, Names};
use farmhand_runtime::ask;

use crate::problems::{infra, unanswered};

/// A whole toolchain over a slow line.
const INSTALL: Duration = Duration::from_secs(40 * 60);
/// The packages that a board of this kind is built and flashed with.
pub(crate) fn packages_of(board: &str) -> Result<Vec<String>, Problem> {
    let packages = farmhand_compiler::packages_of(board).map_err(Problem::from)?;
    Ok(packages.into_iter().map(str::to_owned).collect())
}

fn platform_of(board: &str) -> Result<&'static Platform, Problem> {
    if board.starts_with("bare:") || board == "native" {
        return Err(Problem {
            class: ProblemClass::Configuration,
            code: "F023".into(),
            message: format!("farmhand builds for {board}, and has no device to run it on"),
            detail: Vec::new(),
            help: vec!["farmhand build says which file it made".into()],
            place: None,
        });
    }
    Platform::of(board).map_err(Problem::from)
}

/// What a board's own files say of it; installs them where they are not there yet.
pub(crate) async fn board_facts(names: &Names, board: &str) -> Result<BoardFacts, Problem> {
    let platform = platform_of(board)?;
    let Platform { core, folder, toolchain, chips, .. } = *platform;
    let (core, chips) = (prefix(names, core, folder).await?, prefix(names, toolchain, chips).await?);
    let other = match platform.referenced() {
        Some(other) => Some(prefix(names, other.core, other.folder).await?),
        None => None,
    };
    let board = board.to_owned();
    let read = tokio::task::spawn_blocking(move || read_facts(&core, other.as_deref(), &chips, &board));
    read.await.unwrap_or_else(|error| Err(infra("F806", format!("read a board's files: {error}"), &[])))
}

/// What the files that are on this machine already say of a board; nothing is installed. Blocking: reads a few files.
pub(crate) fn board_facts_here(packages: &Path, board: &str) -> Option<BoardFacts> {
    let platform = platform_of(board).ok()?;
    let find = |package: &str, below: &str| {
        let ours = farmhand_installer::installed(packages, package).map(|there| there.prefix.join(below));
        ours.or_else(|| Some(Path::new("/").join(below))).filter(|folder| folder.exists())
    };
    let core = find(platform.core, platform.folder)?;
    let other = match platform.referenced() {
        Some(other) => Some(find(other.core, other.folder)?),
        None => None,
    };
    read_facts(&core, other.as_deref(), &find(platform.toolchain, platform.chips)?, board).ok()
}

/// The package's folder, or the system's own where it cannot be installed and the system has one.
async fn prefix(names: &Names, package: &str, below: &str) -> Result<PathBuf, Problem> {
    let asked = ask(names.installer(), INSTALL, |reply| InstallerMessage::Install {
        wish: PackageWish::Named(package.into()),
        progress: None,
        reply,
    });
    let installed: Result<Installed, Problem> =
        asked.await.map_err(|error| unanswered("installer", error))?;
    match installed {
        Ok(installed) => Ok(installed.prefix.join(below)),
        Err(problem) => {
            let systems = Path::new("/").join(below);
            if systems.exists() { Ok(systems) } else { Err(problem) }
        }
    }
}

fn read_facts(core: &Path, other: Option<&Path>, chips: &Path, board: &str) -> Result<BoardFacts, Problem> {
    let configuration = |message: String| Problem {
        class: ProblemClass::Configuration,
        code: "F020".into(),
        message,
        detail: Vec::new(),
        help: Vec::new(),
        place: None,
    };
    let facts = read_board(core, other, board).map_err(|error| configuration(error.to_string()))?;
    let chip = chip_facts(chips, &facts.mcu).map_err(|error| configuration(error.to_string()))?;
    Ok(BoardFacts {
        upload_baud: facts.upload_speed,
        signature: chip.signature.to_vec(),
        page_bytes: chip.page_bytes,
        flash_bytes_max: u32::try_from(facts.upload_maximum_size).unwrap_or(u32::MAX),
        usb_ids: facts.usb.iter().map(|id| format!("{:04x}:{:04x}", id.vendor, id.product)).collect(),
    })
}
