//! The steps of an installation, told to whoever watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use farmhand_api::{InstallEvent, InstallStage};

/// Between two steps of the same stage, in milliseconds: a bar that moves ten times a second moves smoothly.
const STEP_MS_MIN: u64 = 100;

/// Tells the steps of one installation.
#[derive(Clone)]
pub(crate) struct Progress {
    tell: Arc<dyn Fn(InstallEvent) + Send + Sync>,
    started: Instant,
    last_ms: Arc<AtomicU64>,
    package: String,
    version: String,
    archives: u32,
}

impl Progress {
    pub(crate) fn new(package: &str, tell: Arc<dyn Fn(InstallEvent) + Send + Sync>) -> Self {
        Self {
            tell,
            started: Instant::now(),
            last_ms: Arc::default(),
            package: package.to_owned(),
            version: String::new(),
            archives: 0,
        }
    }

    /// What is installed, once it is known.
    pub(crate) fn of(&self, version: &str, archives: usize) -> Self {
        let archives = u32::try_from(archives).unwrap_or(u32::MAX);
        Self { version: version.to_owned(), archives, ..self.clone() }
    }

    /// A stage begins, or ends.
    pub(crate) fn stage(&self, stage: InstallStage, done_bytes: u64, total_bytes: u64) {
        let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(elapsed_ms, Ordering::Relaxed);
        (self.tell)(InstallEvent {
            package: self.package.clone(),
            version: self.version.clone(),
            archives: self.archives,
            stage,
            done_bytes,
            total_bytes,
            elapsed_ms,
        });
    }

    /// A stage goes on; told only if the last was long enough ago.
    pub(crate) fn step(&self, stage: InstallStage, done_bytes: u64, total_bytes: u64) {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if now_ms >= self.last_ms.load(Ordering::Relaxed) + STEP_MS_MIN {
            self.stage(stage, done_bytes, total_bytes);
        }
    }
}
