//! A virtual Uno, and that there is one: built, started on its own feet, adopted again, replaced where it is wedged.
//!
//! The board is a process of its own (`uno/uno.c`) that outlives the farm, keeps its flash and its counters in its
//! folder, and leaves by itself a minute after it last had an owner.

mod control;
mod process;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farmhand_messages::compiler::HostProgram;
use farmhand_records::DeviceName;
use farmhand_records::v1::Problem;
use farmhand_runtime::EndError;
use thiserror::Error;
use tokio::time::{Instant, sleep};

pub use control::{Board, ControlError, Counts, State};

/// The board program's source.
const SOURCE: &str = include_str!("../../uno/uno.c");
/// Where the loader lies below the prefix of package `arduino-avr`.
pub(crate) const LOADER: &str =
    "usr/share/arduino/hardware/arduino/avr/bootloaders/optiboot/optiboot_atmega328.hex";
/// For a board that another process of ours is just starting, or that is just leaving, to be done with it.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at it.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a board is started from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The board program.
    pub program: PathBuf,
    /// The loader, as Intel HEX.
    pub loader: PathBuf,
    /// What the program needs in its environment.
    pub environment: BTreeMap<String, String>,
}

/// Why there is no board.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BoardError {
    /// What it is made of is not to be had.
    #[error("{}", .0.message)]
    Parts(Box<Problem>),
    /// It did not start.
    #[error("start {}: {why}", .program.display())]
    Start {
        /// The board program.
        program: PathBuf,
        /// Its words, or the system's.
        why: String,
    },
    /// It is wedged, and did not end.
    #[error("end a board that does not answer: {0}")]
    Stuck(#[from] EndError),
    /// It was started, or is said to run, and does not answer.
    #[error("{0}")]
    Control(#[from] ControlError),
}

/// The board program, as the compiler pool builds it.
#[must_use]
pub fn program() -> HostProgram {
    HostProgram {
        name: "uno".into(),
        source: SOURCE.into(),
        packages: vec!["simavr".into()],
        include: vec!["usr/include/simavr".into()],
        libraries: vec![":libsimavr.so.2".into()],
    }
}

/// The board of this folder, if one runs there and answers.
pub async fn adopt(folder: &Path) -> Option<Board> {
    let process = process::find(folder)?;
    Board::adopt(folder, process).await.ok()
}

/// The board of this folder: the one that runs, or one that is started from `parts`.
pub async fn ensure<F: Future<Output = Result<Parts, Box<Problem>>>>(
    folder: &Path,
    name: &DeviceName,
    parts: impl FnOnce() -> F,
) -> Result<Board, BoardError> {
    if let Some(process) = process::find(folder) {
        match Board::adopt(folder, process).await {
            Ok(board) => return Ok(board),
            // It answers, if only that it has too many clients: it is not wedged.
            Err(error @ ControlError::Answer { .. }) if error.is_refusal() => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%name, pid = process.pid, %error, "a virtual board is wedged, and is replaced");
                process::end(process).await?;
            }
        }
    }
    let parts = parts().await.map_err(BoardError::Parts)?;
    let until = Instant::now() + SETTLE_WITHIN;
    loop {
        let start = process::start(&parts, folder, name).await?;
        let found = match process::find(folder) {
            Some(process) => Board::adopt(folder, process).await,
            None => Err(ControlError::Gone("no such process".into())),
        };
        match (start, found) {
            (_, Ok(board)) => return Ok(board),
            (process::Start::Ready, Err(error)) => return Err(error.into()),
            (process::Start::Held, Err(error)) if Instant::now() > until => return Err(error.into()),
            (process::Start::Held, Err(_)) => sleep(LOOK_AGAIN).await,
        }
    }
}
