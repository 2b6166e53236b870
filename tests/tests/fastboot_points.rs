//! Kill it anywhere while a phone is booted or written: at each named point the process aborts, is started again, and the
//! session ends as it should; what the phone counted says so.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

#[path = "phone_points/judge.rs"]
mod judge;
#[path = "phone_points/plan.rs"]
mod plan;

use std::collections::BTreeMap;

use farmhand_tests::{EVERY_HANDOFF, OF_BOOTLOADERS, at_once, listed};
use plan::{Hit, Kind, Plan};

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
        let passed = at_once(&next, |runtime, plan| runtime.block_on(plan::run(plan)));
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
