//! Two farms in one process: no state is global.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use farmhand::FarmConfig;
use farmhand_api::Verdict;
use farmhand_tests::{Home, InProcess, alpha, beta, follow, repeatable, sessions, submit};

/// The same keys, the same session numbers and the same device names in both, at once; one goes on when the other ends.
#[tokio::test(flavor = "multi_thread")]
async fn two_farms_in_one_process_never_meet() {
    let homes = [Home::ready(), Home::ready()];
    let one = InProcess::start(FarmConfig::new(homes[0].path())).await;
    let other = InProcess::start(FarmConfig::new(homes[1].path())).await;
    let (at_one, at_other) = (one.client().await, other.client().await);

    let first = submit(&at_one, "key", &repeatable(alpha(), None)).await.unwrap();
    let second = submit(&at_other, "key", &repeatable(beta(), None)).await.unwrap();
    assert_eq!(first, second, "each farm counts its own sessions");
    let (of_one, of_other) = tokio::join!(follow(&at_one, first), follow(&at_other, second));
    for (followed, word) in [(of_one.unwrap(), "alpha"), (of_other.unwrap(), "beta")] {
        assert_eq!(followed.view.verdict, Some(Verdict::Passed), "{:?}", followed.view.problem);
        assert_eq!(followed.view.title, word);
        assert_eq!(followed.restarts(), 0);
    }
    for (home, word) in homes.iter().zip(["alpha", "beta"]) {
        let counted = home.board("uno-sim").counters();
        assert_eq!(counted.leaves, 1, "{word}: {counted:?}");
    }

    one.stop().await;
    let third = submit(&at_other, "another", &repeatable(alpha(), None)).await.unwrap();
    let ended = follow(&at_other, third).await.unwrap();
    assert_eq!(ended.view.verdict, Some(Verdict::Passed), "{:?}", ended.view.problem);
    assert_eq!(sessions(&at_other).await.unwrap().len(), 2);
    assert_eq!(homes[0].board("uno-sim").counters().leaves, 1);
    other.stop().await;
}
