//! Many plans, each in a farm of its own.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};

/// Farms at once: they wait for boards and for the disk more than they compute.
const AT_ONCE: usize = 6;

/// Runs plans, a few at a time, each in a thread and a runtime of its own; all of them, then says which went wrong.
pub fn at_once<P, T>(plans: &[P], run: impl Fn(&Runtime, &P) -> T + Sync) -> Vec<(P, T)>
where
    P: Clone + Display + Send + Sync,
    T: Send,
{
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
            let since = Instant::now();
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let ran = catch_unwind(AssertUnwindSafe(|| run(&runtime, plan)));
            // For whoever wonders what the minutes go by with.
            if std::env::var_os("FARMHAND_TEST_SLOW").is_some() {
                eprintln!("{:5} ms  {plan}", since.elapsed().as_millis());
            }
            if ran.is_err() {
                eprintln!("^^^ {plan}");
            }
            done.push((plan.clone(), ran.map_err(drop)));
        }
        done
    };
    let done: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let wrong: Vec<_> =
        done.iter().filter(|(_, ran)| ran.is_err()).map(|(plan, _)| plan.to_string()).collect();
    assert!(wrong.is_empty(), "{} of {} went wrong: {wrong:#?}", wrong.len(), done.len());
    done.into_iter().map(|(plan, ran)| (plan, ran.unwrap())).collect()
}
