//! `stop`.

use std::time::Duration;

use farmhand::protocol::Request;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::reach::Reach;
use crate::term::Term;

/// On top of the drain: actors end, and the store is closed.
const STOP: Duration = Duration::from_secs(60);
/// Then the socket goes, and the folder's lock.
const GONE: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) async fn run(reach: &mut Reach, term: &Term, drain: Duration) -> Result<u8, Failed> {
    let said = match reach.running().await? {
        None => "no farm runs",
        Some(client) => {
            let drain_ms = u64::try_from(drain.as_millis()).unwrap_or(u64::MAX);
            match client.ask_within(Request::Stop { drain_ms }, drain.saturating_add(STOP)).await {
                Ok(_) => {}
                // It has gone: that is what was asked.
                Err(error) if error.is_lost() => {}
                Err(error) => return Err(error.into()),
            }
            let until = Instant::now() + GONE;
            while Instant::now() < until && matches!(reach.running().await, Ok(Some(_))) {
                sleep(LOOK).await;
            }
            // The socket goes before the store is closed; who is told "stopped" may take the folder.
            while Instant::now() < until && !reach.is_free() {
                sleep(LOOK).await;
            }
            "stopped"
        }
    };
    match term.json {
        true => term.answer(&json::done(json!({ "farm": said }))),
        false => term.answer(&said),
    }
    Ok(exit::PASSED)
}
