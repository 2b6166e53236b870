//! Kill it anywhere: at each named point the process aborts, is started again, and the session ends as it should.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod points;

use std::collections::{BTreeMap, BTreeSet};

use farmhand_tests::{OF_BOOTLOADERS, OF_BUILDS, OF_RESTORES, OF_SAVES, at_once, listed};
use points::{Kind, Plan};

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
    let run = |plans: &[Plan]| at_once(plans, |runtime, plan| runtime.block_on(points::run(plan)));
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
