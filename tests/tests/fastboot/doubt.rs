//! A handoff that is refused, or of which the answer is lost: never a second one without a word.

use farmhand_api::{DeviceState, Leave, Settle, Verdict};
use farmhand_sim::fastboot::Mode;
use farmhand_tests::{boot, noise, partitions, put_file, step};

use super::bench::{BOTH, Bench};

/// Guard: `DeviceError::Failed` ends the session in `Session::answered`.
#[tokio::test(flavor = "multi_thread")]
async fn a_boot_that_is_refused_is_not_repeated() {
    for over in BOTH {
        let (bench, phone) = Bench::one(over).await;
        let image = bench.image(1);
        phone.fault("fail boot image is not signed").await;
        let view = bench.run("refused", &boot(&image, "phone-1")).await;
        let problem = view.problem.unwrap();
        assert_eq!((view.verdict, problem.code.as_str()), (Some(Verdict::Infra), "F259"), "{problem:?}");
        assert!(problem.message.contains("image is not signed"), "{problem:?}");
        assert_eq!(view.attempt, 1);
        let counters = phone.counters().await;
        assert_eq!((counters.boot_commands, counters.boots), (1, 0), "{over:?}: {counters}");
        bench.is_free("phone-1").await;
        bench.passes("again", &boot(&image, "phone-1")).await;
        bench.stop().await;
    }
}

/// It starts, and its answer is lost. A person who looks settles it, and it is not booted again.
#[tokio::test(flavor = "multi_thread")]
async fn a_boot_whose_answer_is_lost_is_unknown_until_a_person_has_looked() {
    let lost = async |over| {
        let (bench, phone) = Bench::one(over).await;
        let image = bench.image(1);
        phone.fault("boot-unanswered").await;
        let view = bench.run("lost", &boot(&image, "phone-1")).await;
        let problem = view.problem.unwrap();
        assert_eq!(
            (view.verdict, problem.code.as_str()),
            (Some(Verdict::Unknown), "F301"),
            "{over:?}: {problem:?}"
        );
        assert!(!problem.detail.is_empty() && problem.help.len() == 3, "{problem:?}");
        assert_eq!(bench.device("phone-1").await.state, DeviceState::Quarantined);
        assert_eq!(phone.counters().await.boot_commands, 1);
        let settled = bench.settle(view.id, Settle::Booted).await;
        assert_eq!(settled.verdict, Some(Verdict::Passed), "{over:?}: {:?}", settled.problem);
        assert_eq!(phone.counters().await.boot_commands, 1, "{over:?}");
        bench.is_free("phone-1").await;
        bench.stop().await;
    };
    tokio::join!(lost(BOTH[0]), lost(BOTH[1]));
}

/// The connection is cut as `boot` comes. A person says that it did not boot: it is booted then, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_boot_that_is_cut_is_booted_once_a_person_has_seen_that_it_was_not() {
    let cut = async |over| {
        let (bench, phone) = Bench::one(over).await;
        let image = bench.image(1);
        for fault in ["cut-at boot", "nonsense unknown-tag boot"] {
            let before = phone.counters().await;
            phone.fault(fault).await;
            let view = bench.run(fault, &boot(&image, "phone-1")).await;
            let problem = view.problem.unwrap();
            let end = (view.verdict, problem.code.as_str());
            assert_eq!(end, (Some(Verdict::Unknown), "F301"), "{over:?} {fault}: {problem:?}");
            let now = phone.counters().await;
            assert_eq!(
                (now.boot_commands - before.boot_commands, now.boots - before.boots),
                (1, 0),
                "{fault}"
            );
            let settled = bench.settle(view.id, Settle::NotBooted).await;
            assert_eq!(settled.verdict, Some(Verdict::Passed), "{over:?} {fault}: {:?}", settled.problem);
            let now = phone.counters().await;
            assert_eq!(
                (now.boot_commands - before.boot_commands, now.boots - before.boots),
                (2, 1),
                "{fault}"
            );
            phone.enter(Mode::Loader).await;
        }
        bench.stop().await;
    };
    tokio::join!(cut(BOTH[0]), cut(BOTH[1]));
}

/// A write that must not be done twice, cut as it was asked for: nobody knows, nobody repeats it, and a person decides.
///
/// Guard: `once && writes(..)` in `Put::one`; what `begun` says in `Put::write`.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_once_and_was_cut_is_unknown() {
    let cut = async |over| {
        let (bench, phone) = Bench::one(over).await;
        let file = put_file(bench.folder(), "misc.img", &noise(9, 100_000));
        let steps = vec![step("userdata", &file), step("misc", &file)];
        let job = partitions(steps, Leave::Reboot, "phone-1", true);
        phone.fault("cut-at flash:misc").await;
        let view = bench.run("cut", &job).await;
        let problem = view.problem.unwrap();
        assert_eq!(
            (view.verdict, problem.code.as_str()),
            (Some(Verdict::Unknown), "F301"),
            "{over:?}: {problem:?}"
        );
        assert!(problem.detail.iter().any(|line| line.contains("misc")), "{over:?}: {problem:?}");
        assert_eq!(bench.device("phone-1").await.state, DeviceState::Quarantined);
        assert_eq!(
            (phone.times("flash:userdata").await, phone.times("flash:misc").await),
            (1, 1),
            "{over:?}"
        );
        let settled = bench.settle(view.id, Settle::NotBooted).await;
        assert_eq!(settled.verdict, Some(Verdict::Passed), "{over:?}: {:?}", settled.problem);
        assert_eq!(
            (phone.times("flash:userdata").await, phone.times("flash:misc").await),
            (1, 2),
            "{over:?}"
        );
        assert_eq!(phone.counters().await.system_starts, 1);
        bench.stop().await;
    };
    tokio::join!(cut(BOTH[0]), cut(BOTH[1]));
}
