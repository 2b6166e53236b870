//! Waiting for a condition.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Only what hangs reaches this, also on a loaded machine; no test passes or fails by how long something takes.
pub const LONG: Duration = Duration::from_secs(120);
/// Between two looks at something that tells nobody when it changes.
const LOOK: Duration = Duration::from_millis(5);

/// Looks until there is something to see.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + LONG;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < end, "waited {} s for this: {what}", LONG.as_secs());
        sleep(LOOK).await;
    }
}

/// What comes of it; a hang is a failure.
pub async fn or_hang<F: Future>(what: &str, work: F) -> F::Output {
    match timeout(LONG, work).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("waited {} s for this: {what}", LONG.as_secs()),
    }
}
