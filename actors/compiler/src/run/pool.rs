//! The workers that all builds of a farm share, and the table that keeps one action from being run twice at once.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::cache::Hash;

/// Actions that wait to be entered in the table; the table answers at once.
const ENTRIES_MAX: usize = 256;
/// Ended actions are swept out of the table when it holds this many.
const TABLE_MAX: usize = 1024;

/// The workers. Cloned, it is the same pool.
#[derive(Debug, Clone)]
pub struct Pool {
    workers: usize,
    permits: Arc<Semaphore>,
    table: mpsc::Sender<Enter>,
}

struct Enter {
    key: Hash,
    entered: oneshot::Sender<Entered>,
}

/// What an action is to do.
pub(crate) enum Entered {
    /// Run; others wait until this is dropped.
    Lead(#[allow(dead_code, reason = "its drop is what the others wait for")] watch::Sender<()>),
    /// Wait until it is closed, and look again.
    Follow(watch::Receiver<()>),
}

impl Pool {
    /// A pool of so many workers; 0 is one for each core. Called within a tokio runtime.
    #[must_use]
    pub fn start(workers: usize) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let workers = if workers == 0 { cores() } else { workers };
        let (table, asked) = mpsc::channel(ENTRIES_MAX);
        // It ends with the last handle on the pool.
        tokio::spawn(keep_table(asked));
        Self { workers, permits: Arc::new(Semaphore::new(workers)), table }
    }

    /// How many workers it has.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// A worker, when one is free.
    pub(crate) async fn worker(&self) -> OwnedSemaphorePermit {
        self.permits.clone().acquire_owned().await.expect("the pool's semaphore is never closed")
    }

    /// Enters an action.
    pub(crate) async fn enter(&self, key: Hash) -> Entered {
        let (entered, answer) = oneshot::channel();
        if self.table.send(Enter { key, entered }).await.is_ok()
            && let Ok(entered) = answer.await
        {
            return entered;
        }
        // The runtime is ending: there is nobody to wait for.
        Entered::Lead(watch::channel(()).0)
    }
}

async fn keep_table(mut asked: mpsc::Receiver<Enter>) {
    let mut table: HashMap<Hash, watch::Receiver<()>> = HashMap::new();
    while let Some(Enter { key, entered }) = asked.recv().await {
        if table.len() >= TABLE_MAX {
            table.retain(|_, running| running.has_changed().is_ok());
        }
        // A sender that is gone is an action that ended.
        let running = table.get(&key).filter(|running| running.has_changed().is_ok());
        let answer = match running {
            Some(running) => Entered::Follow(running.clone()),
            None => {
                let (lead, running) = watch::channel(());
                table.insert(key, running);
                Entered::Lead(lead)
            }
        };
        let _nobody_waits = entered.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_leads_and_the_others_wait() {
        let pool = Pool::start(1);
        let Entered::Lead(lead) = pool.enter([1; 32]).await else { panic!("the first leads") };
        let Entered::Follow(mut running) = pool.enter([1; 32]).await else { panic!("the second follows") };
        assert!(matches!(pool.enter([2; 32]).await, Entered::Lead(_)), "another action");
        assert!(running.has_changed().is_ok());
        drop(lead);
        assert!(running.changed().await.is_err(), "it ended");
        assert!(matches!(pool.enter([1; 32]).await, Entered::Lead(_)), "the next leads");
    }

    #[tokio::test]
    async fn so_many_workers() {
        let pool = Pool::start(2);
        let held = (pool.worker().await, pool.worker().await);
        assert_eq!(pool.permits.available_permits(), 0);
        drop(held);
        assert_eq!(pool.permits.available_permits(), 2);
    }
}
