//! No room on the disk that holds all that is the farm's, while a session runs.

use farmhand::transport::Client;
use farmhand_api::PhaseName;
use farmhand_tests::{Desk, Home, Running, SmallDisk, alpha, beta, sessions, until};
use serde_json::Value;

use super::{UNO, expecting};

/// Twice what a farm with one board comes to.
const DISK_MIB: u32 = 96;
/// The program counts so far in some seconds: long enough that the disk is full before.
const LAST: u32 = 400;

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_under_a_session() {
    let disk = match SmallDisk::mount(DISK_MIB) {
        Ok(disk) => disk,
        Err(missing) => return eprintln!("skipped: it needs {missing}"),
    };
    let desk = Desk::new(Home::ready_below(disk.path()));
    desk.configure(UNO);
    let board = desk.board("uno");
    let mut first =
        Running::start(&desk, "first", desk.farmhand(expecting(alpha(), &format!("^alpha {LAST}$"))));
    let client = until("the farm listens", async || Client::connect(desk.path()).await.ok()).await;
    until("it observes", async || {
        let known = sessions(&client).await.unwrap();
        known.iter().any(|view| view.phase == PhaseName::Observing).then_some(())
    })
    .await;

    disk.fill();
    first.prints("the disk is full at").await;
    // What cannot be remembered is not begun, by name.
    let refused = desk.run(expecting(beta(), "^beta 3$")).await;
    let result = refused.expect(8).json_lines().pop().unwrap();
    let message = result["problem"]["message"].as_str().unwrap();
    assert_eq!(result["problem"]["code"], "F811", "{result}");
    assert!(message.contains("the disk is full at") && message.contains("nothing was lost"), "{message}");
    until("all that is waited for was said", async || {
        let said = desk.run(["logs", "uno"]).await;
        said.stdout.contains(&format!("alpha {LAST}\n")).then_some(())
    })
    .await;
    assert!(first.runs(), "a verdict that is not written is not given: {}", first.stderr());

    disk.make_room();
    let passed = first.ended().await;
    let result = passed.expect(0).json_lines().pop().unwrap();
    assert_eq!(
        (&result["verdict"], &result["session"]),
        (&Value::from("passed"), &Value::from("s-1")),
        "{result}"
    );
    assert_eq!(board.counters().leaves, 1, "once, and not again");
    let known = sessions(&client).await.unwrap();
    assert_eq!(known.len(), 1, "what was refused is not there: {known:?}");

    desk.run(expecting(beta(), "^beta 3$")).await.expect(0);
    assert_eq!(board.counters().leaves, 2);
    desk.stop().await;
    desk.run(["store", "check"]).await.expect(0);
    // The recording says what it has not.
    let logs = desk.run(["logs", "uno"]).await;
    logs.expect(0);
    let counted = |number: u32| logs.stdout.contains(&format!("alpha {number}\n"));
    let whole = (1..=LAST).all(counted);
    assert!(counted(1), "what was recorded before is there");
    assert!(whole || logs.stderr.contains("bytes were not recorded"), "a silent gap: {}", logs.stderr);
    assert!(logs.stdout.contains("beta 3\n"));
}
