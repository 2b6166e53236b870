//! The workers that all builds of a farm share, who of those that wait is next, and the table that keeps one action
//! from being run twice at once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use farmhand_messages::compiler::Urgency;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::cache::Hash;

/// Questions that wait for an answer; all but "a worker, please" are answered at once.
const QUESTIONS_MAX: usize = 256;
/// Ended actions are swept out of the table when it holds this many.
const TABLE_MAX: usize = 1024;

/// Who is next: the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// None is what is lent to other programs: only where nobody else wants a worker.
    urgency: Option<Urgency>,
    /// The longest path to the end of its build, its own cost included: all builds' in the same unit.
    path: u64,
}

/// A worker, as long as it is held.
pub(crate) type Worker = OwnedSemaphorePermit;

/// The workers. Cloned, it is the same pool.
#[derive(Debug, Clone)]
pub struct Pool {
    workers: usize,
    urgency: Urgency,
    questions: mpsc::Sender<Question>,
    /// How many actions wait for a worker.
    waiting: watch::Receiver<usize>,
}

enum Question {
    Worker(Waiter),
    Enter { key: Hash, entered: oneshot::Sender<Entered> },
}

struct Waiter {
    rank: Rank,
    /// Of two alike the one that asked first.
    number: Reverse<u64>,
    granted: oneshot::Sender<Worker>,
}

impl Ord for Waiter {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.rank, self.number).cmp(&(other.rank, other.number))
    }
}

impl PartialOrd for Waiter {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiter {}

/// What an action is to do.
pub(crate) enum Entered {
    /// Run; others wait until this is dropped.
    Lead(#[allow(dead_code, reason = "its drop is what the others wait for")] watch::Sender<()>),
    /// Wait until it is closed, and look again.
    Follow(watch::Receiver<()>),
}

impl Pool {
    /// A pool for one build that may have so many jobs: more than there are cores, where a person says so.
    #[must_use]
    pub fn for_jobs(jobs: u32) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::start(cores.max(jobs as usize))
    }

    /// A pool of so many workers; 0 is one for each core. Called within a tokio runtime.
    #[must_use]
    pub fn start(workers: usize) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let workers = if workers == 0 { cores() } else { workers };
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        let (waits, waiting) = watch::channel(0);
        let desk = Desk {
            permits: Arc::new(Semaphore::new(workers)),
            queue: BinaryHeap::new(),
            table: HashMap::new(),
            asked: 0,
            waits,
        };
        // It ends with the last handle on the pool.
        tokio::spawn(desk.run(asked));
        Self { workers, urgency: Urgency::default(), questions, waiting }
    }

    /// The same pool, for builds that are so urgent.
    #[must_use]
    pub fn for_builds(&self, urgency: Urgency) -> Self {
        Self { urgency, ..self.clone() }
    }

    /// How many workers it has.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// A worker, when one is free and nobody who waits is before us: for an action with such a path to the end.
    pub(crate) async fn worker(&self, path: u64) -> Worker {
        self.granted(Rank { urgency: Some(self.urgency), path }).await
    }

    /// A worker that no action wants.
    pub(crate) async fn idle_worker(&self) -> Worker {
        self.granted(Rank { urgency: None, path: 0 }).await
    }

    /// How many actions wait for a worker, as it changes.
    #[must_use]
    pub fn waiting(&self) -> watch::Receiver<usize> {
        self.waiting.clone()
    }

    async fn granted(&self, rank: Rank) -> Worker {
        let (granted, answer) = oneshot::channel();
        let waiter = Waiter { rank, number: Reverse(0), granted };
        if self.questions.send(Question::Worker(waiter)).await.is_ok()
            && let Ok(worker) = answer.await
        {
            return worker;
        }
        // The runtime is ending: nothing more is begun.
        std::future::pending().await
    }

    /// Enters an action.
    pub(crate) async fn enter(&self, key: Hash) -> Entered {
        let (entered, answer) = oneshot::channel();
        if self.questions.send(Question::Enter { key, entered }).await.is_ok()
            && let Ok(entered) = answer.await
        {
            return entered;
        }
        // The runtime is ending: there is nobody to wait for.
        Entered::Lead(watch::channel(()).0)
    }
}

/// Where it is decided who is next.
struct Desk {
    permits: Arc<Semaphore>,
    queue: BinaryHeap<Waiter>,
    table: HashMap<Hash, watch::Receiver<()>>,
    asked: u64,
    waits: watch::Sender<usize>,
}

impl Desk {
    async fn run(mut self, mut questions: mpsc::Receiver<Question>) {
        loop {
            tokio::select! {
                // Who asks is heard before anybody is granted anything: the first of all, and not the first to come.
                biased;
                question = questions.recv() => match question {
                    Some(question) => self.answer(question),
                    None => return,
                },
                worker = self.permits.clone().acquire_owned(), if !self.queue.is_empty() => {
                    // The semaphore is never closed.
                    if let Ok(worker) = worker {
                        self.grant(worker);
                    }
                }
            }
            let waiting = self.queue.iter().filter(|waiter| waiter.rank.urgency.is_some()).count();
            self.waits.send_if_modified(|told| std::mem::replace(told, waiting) != waiting);
        }
    }

    fn grant(&mut self, mut worker: Worker) {
        while let Some(next) = self.queue.pop() {
            match next.granted.send(worker) {
                Ok(()) => return,
                // Nobody waits for it any more: the next one's.
                Err(back) => worker = back,
            }
        }
    }

    fn answer(&mut self, question: Question) {
        match question {
            Question::Worker(waiter) => {
                self.asked += 1;
                self.queue.push(Waiter { number: Reverse(self.asked), ..waiter });
            }
            Question::Enter { key, entered } => {
                let _nobody_waits = entered.send(self.enter(key));
            }
        }
    }

    fn enter(&mut self, key: Hash) -> Entered {
        if self.table.len() >= TABLE_MAX {
            self.table.retain(|_, running| running.has_changed().is_ok());
        }
        // A sender that is gone is an action that ended.
        let running = self.table.get(&key).filter(|running| running.has_changed().is_ok());
        match running {
            Some(running) => Entered::Follow(running.clone()),
            None => {
                let (lead, running) = watch::channel(());
                self.table.insert(key, running);
                Entered::Lead(lead)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_leads_and_the_others_wait() {
        assert_eq!(Pool::for_jobs(64).workers(), 64, "as many as a person says");
        assert_eq!(Pool::for_jobs(1).workers(), Pool::start(0).workers());
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
    async fn so_many_workers_and_the_first_of_those_that_wait() {
        let pool = Pool::start(2);
        let background = pool.for_builds(Urgency::Background);
        let held = (pool.worker(1).await, background.worker(1).await);
        let order = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let mut tasks = Vec::new();
        for (pool, path) in
            [(None, 0), (Some(&background), 9), (Some(&pool), 3), (Some(&pool), 7), (Some(&pool), 7)]
        {
            let (pool, order, asker) = (pool.cloned(), order.clone(), background.clone());
            let waits = async move {
                let worker = match pool {
                    Some(pool) => pool.worker(path).await,
                    None => asker.idle_worker().await,
                };
                // It is held for no time: whoever has it is the only one who counts.
                let place = order.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                drop(worker);
                place
            };
            tasks.push(tokio::spawn(waits));
            tokio::task::yield_now().await;
        }
        let mut waiting = pool.waiting();
        tokio::time::timeout(std::time::Duration::from_secs(60), waiting.wait_for(|&waiting| waiting == 4))
            .await
            .unwrap()
            .unwrap();
        // One worker is kept, so that they come one after the other.
        drop(held.0);
        let mut places = Vec::new();
        for task in tasks {
            places.push(task.await.unwrap());
        }
        assert_eq!(places, [4, 3, 2, 0, 1], "what is lent is last, a person first, then the longest path");
        drop(held.1);
    }

    #[tokio::test]
    async fn who_gave_up_waiting_costs_no_worker() {
        let pool = Pool::start(1);
        let held = pool.worker(1).await;
        let soon = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, pool.worker(9)).await.is_err());
        drop(held);
        drop(pool.worker(1).await);
        drop(pool.worker(1).await);
    }
}
