//! What goes on where nobody looks: what commands leave behind, and what a guest does while there is no farm.

use farmhand_api::{Answer, GuestCommand, GuestEnded, SnapshotCommand};
use farmhand_tests::{Daemon, until};

use super::{VM, ask, boot, command, device, end, home, of_snapshot, run, sh};

/// Leaves its process group, its session and its parent.
const LEAVES: &str = "setsid sleep 1000 </dev/null >/dev/null 2>&1 &";

async fn health(client: &farmhand::transport::Client) -> farmhand_api::GuestHealth {
    match ask(client, GuestCommand::Health { device: device(VM) }).await.unwrap() {
        Answer::Health(health) => health,
        other => panic!("{other:?}"),
    }
}

/// Guards: the control group that commands are in (`Group::end`), and the clock that is set forward (`set_forward`).
#[tokio::test]
async fn what_has_left_its_command_ends_with_a_restore_and_with_the_agent() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    boot(&client, VM).await;
    sh(&client, VM, LEAVES).await;
    sh(&client, VM, "date -s '2001-01-01 00:00:00' > /dev/null").await;
    assert_eq!(run(&client, command(VM, &["pidof", "sleep"])).await.unwrap().ended, GuestEnded::Exit(0));
    let create = SnapshotCommand::Create { device: device(VM), name: "asleep".into(), replace: false };
    of_snapshot(&client, create).await.unwrap();
    assert_eq!(run(&client, command(VM, &["pidof", "sleep"])).await.unwrap().ended, GuestEnded::Exit(0));
    let restore = SnapshotCommand::Restore { device: device(VM), name: "asleep".into() };
    of_snapshot(&client, restore).await.unwrap();
    assert_eq!(run(&client, command(VM, &["pidof", "sleep"])).await.unwrap().ended, GuestEnded::Exit(1));

    // Nor is its clock that of the one that was saved.
    let year: u32 = sh(&client, VM, "date +%Y").await.trim().parse().unwrap();
    assert!(year > 2020, "{year}");

    sh(&client, VM, LEAVES).await;
    let agent = sh(&client, VM, "pidof farmhand-agent").await;
    let _cut_off = run(&client, command(VM, &["kill", "-9", agent.trim()])).await;
    until("another agent is there, and nothing of the first", async || {
        let ran = run(&client, command(VM, &["sh", "-c", "pidof farmhand-agent; pidof sleep"])).await.ok()?;
        (ran.out != agent && ran.ended == GuestEnded::Exit(1)).then_some(())
    })
    .await;
    let said = std::fs::read_to_string(home.path().join("boards").join(VM).join("console")).unwrap();
    assert!(said.contains("farmhand: ended: the guest was restored"), "{said}");
    assert!(said.contains("farmhand: ended: its agent was another"), "{said}");
    // The same signal may have been said twice; none was of another life.
    let health = health(&client).await;
    assert_eq!((health.restores_ignored, health.answers_ignored, health.frames_torn), (0, 0, 0));
    assert!(health.memory_available_bytes > 0 && health.uptime_ms > 0, "{health:?}");
    end(&home, daemon, client).await;
}

/// Guard: what QEMU notes of who asks it to shut down (`was_powered_off`).
#[tokio::test]
async fn a_guest_that_powers_off_while_no_farm_looks_stays_off_and_says_so_at_once() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    boot(&client, VM).await;
    sh(&client, VM, "setsid sh -c 'sleep 1; poweroff -f' </dev/null >/dev/null 2>&1 &").await;
    let board = home.path().join("boards").join(VM);
    daemon.kill().await;
    until("it is off", async || {
        let noted = std::fs::read_to_string(board.join("trace")).unwrap_or_default();
        (!noted.is_empty()).then_some(())
    })
    .await;
    let said = std::fs::read_to_string(board.join("console")).unwrap();
    let (daemon, client) = Daemon::start(&home).await;
    until("that is known", async || {
        let told = run(&client, command(VM, &["true"])).await.err()?;
        (told.code == "F297").then_some(())
    })
    .await;
    let now = std::fs::read_to_string(board.join("console")).unwrap();
    assert_eq!(now.len(), said.len(), "it has booted again");
    // It can be booted by whoever wants that.
    boot(&client, VM).await;
    assert_eq!(sh(&client, VM, "echo here").await, "here\n");
    end(&home, daemon, client).await;
}
