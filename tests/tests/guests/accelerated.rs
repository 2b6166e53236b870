//! Guests that the system runs, and not QEMU: only where one was seen to answer.

use farmhand_api::GuestCommand;
use farmhand_tests::Daemon;

use super::{ask, device, end, home, sh};

const BOARD: &str = "qemu:linux-x86_64-kvm";
const FAST: &str = "fast";

/// That `/dev/kvm` opens is no proof: there are systems on which the guest stands still behind its first line. Guard:
/// `accelerates`.
#[tokio::test]
async fn a_guest_is_accelerated_only_where_one_has_answered_and_that_is_looked_at_once() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    let run = || GuestCommand::Run { device: device(FAST), board: BOARD.into() };
    let first = ask(&client, run()).await;
    // Not where QEMU itself ended, or could not begin: the next time it may.
    let noted = std::fs::read_to_string(home.path().join("guests/kvm")).ok();
    let began =
        || std::fs::metadata(home.path().join("boards").join(FAST).join("qemu.pid")).ok()?.modified().ok();
    let before = began();
    match first {
        Ok(_) => {
            assert!(noted.as_ref().is_some_and(|noted| noted.ends_with('\n')), "{noted:?}");
            assert_eq!(sh(&client, FAST, "echo here").await, "here\n");
        }
        Err(problem) => {
            assert_eq!(problem.code, "F274", "{}", problem.message);
            assert_eq!(home.machines(), [], "what was tried is still there");
            let again = ask(&client, run()).await.unwrap_err();
            assert_eq!(again.code.as_str(), "F274", "{}", again.message);
            if let Some(noted) = noted {
                assert!(noted.lines().nth(1).is_some_and(|why| problem.message.ends_with(why)), "{noted}");
                assert_eq!(again.message, problem.message);
                assert_eq!(began(), before, "it was tried again");
            }
        }
    }
    end(&home, daemon, client).await;
}
