//! Kill it anywhere while a phone is booted or written: at each named point the process aborts, is started again, and the
//! session ends as it should; what the phone counted says so.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

#[path = "phone_points/judge.rs"]
mod judge;
#[path = "phone_points/plan.rs"]
mod plan;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use farmhand_tests::{EVERY_HANDOFF, OF_BOOTLOADERS, listed};
use plan::{Hit, Kind, Plan};

/// Farms at once: they wait for the disk more than they compute.
const AT_ONCE: usize = 6;
/// So many times a point is passed in one session, where it is passed that often: one for each partition.
const TIMES: u32 = 3;

/// Every point, first to last time it is passed, in every kind of session.
#[test]
fn killed_at_every_point_a_phone_is_booted_once_or_nobody_claims_to_know() {
    let points = listed();
    let of = |kind: Kind| points.iter().map(move |point| Plan { point: point.clone(), nth: 1, kind });
    let mut next: Vec<Plan> = Kind::ALL.into_iter().flat_map(of).collect();
    let mut hits = BTreeMap::<String, usize>::new();
    let mut all = Vec::new();
    while !next.is_empty() {
        let passed = run(&next);
        next = Vec::new();
        for (plan, hit) in passed {
            let Some(hit) = hit else { continue };
            *hits.entry(plan.point.clone()).or_default() += 1;
            if plan.nth < TIMES {
                next.push(Plan { nth: plan.nth + 1, ..plan });
            }
            all.push(hit);
        }
    }
    let count = |is: fn(&Hit) -> bool| all.iter().filter(|hit| is(hit)).count();
    let between = count(|hit| hit.between);
    eprintln!(
        "{} kills at {} points; {between} between intent and issued, {} of them proven by the phone, {} unknown; {} with \
         a step begun, {} with steps that were not done again",
        all.len(),
        hits.len(),
        count(|hit| hit.between && !hit.unknown),
        count(|hit| hit.unknown),
        count(|hit| hit.step_open),
        count(|hit| hit.steps_kept),
    );
    assert!(between > 0, "no kill fell between intent and issued");
    assert!(count(|hit| hit.unknown) > 0, "nothing was ever unknown, and over TCP nothing can be proven");
    assert!(
        count(|hit| hit.between && !hit.unknown) > 0,
        "nothing was ever proven, and over UDP some can be"
    );
    assert!(count(|hit| hit.steps_kept) > 0, "no partition was ever found written");
    let wanted = OF_BOOTLOADERS.iter().chain(EVERY_HANDOFF);
    let never: Vec<_> = wanted.filter(|point| !hits.contains_key(**point)).collect();
    assert!(never.is_empty(), "nothing passes {never:?}");
}

/// Runs them, a few at a time, each in a thread and a farm of its own; all of them, then says which went wrong.
fn run(plans: &[Plan]) -> Vec<(Plan, Option<Hit>)> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
            let since = std::time::Instant::now();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let ran =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(plan::run(plan))));
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
    let done: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let wrong: Vec<_> =
        done.iter().filter(|(_, ran)| ran.is_err()).map(|(plan, _)| plan.to_string()).collect();
    assert!(wrong.is_empty(), "{} of {} went wrong: {wrong:#?}", wrong.len(), done.len());
    done.into_iter().map(|(plan, ran)| (plan, ran.unwrap())).collect()
}
