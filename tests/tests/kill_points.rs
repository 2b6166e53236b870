//! Kill it anywhere: at each named point the process aborts, is started again, and the session ends as it should.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod points;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use farmhand_tests::{OF_BOOTLOADERS, OF_BUILDS, OF_RESTORES, OF_SAVES, listed};
use points::{Hit, Kind, Plan};

/// Farms at once: they wait for boards and for the disk more than they compute.
const AT_ONCE: usize = 6;
/// So many times a point is passed in one session, where it is passed that often: the first ones differ most.
const TIMES: u32 = 3;

/// Every point, first to last time it is passed, in every kind of session, started again at once and after the loader
/// has given up. What was passed is told apart from what was not: a point that no session passes proves nothing. Those of
/// bootloaders are `fastboot_points`'s.
#[test]
fn killed_at_every_point_a_session_ends_as_it_should() {
    let mut points = listed();
    let elsewhere = [OF_BOOTLOADERS, OF_SAVES, OF_RESTORES, OF_BUILDS].concat();
    points.retain(|point| !elsewhere.contains(&point.as_str()));
    let plans: Vec<Plan> = points
        .iter()
        .flat_map(|point| Kind::ALL.into_iter().map(move |kind| (point, kind)))
        .map(|(point, kind)| Plan { point: point.clone(), nth: 1, kind, late: false })
        .collect();
    let mut hits = BTreeMap::<String, BTreeSet<Kind>>::new();
    let mut passed = run(&plans);
    let mut kills = 0;
    for nth in 2..=TIMES + 1 {
        let mut next = Vec::new();
        for (plan, hit) in passed.iter().filter(|(_, hit)| hit.died) {
            kills += 1;
            hits.entry(plan.point.clone()).or_default().insert(plan.kind);
            if hit.in_loader && !plan.late {
                next.push(Plan { late: true, ..plan.clone() });
            }
            if nth <= TIMES && !plan.late && plan.kind != Kind::RunOnce {
                next.push(Plan { nth, ..plan.clone() });
            }
        }
        if next.is_empty() {
            break;
        }
        passed = run(&next);
    }
    kills += passed.iter().filter(|(_, hit)| hit.died).count();
    eprintln!("{kills} kills at {} points", hits.len());
    let never: Vec<_> = points.iter().filter(|point| !hits.contains_key(*point)).collect();
    assert!(never.is_empty(), "nothing passes {never:?}");
}

/// Runs them, a few at a time, each in a thread and a farm of its own; all of them, then says which went wrong.
fn run(plans: &[Plan]) -> Vec<(Plan, Hit)> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
            let since = std::time::Instant::now();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                runtime.block_on(points::run(plan))
            }));
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
