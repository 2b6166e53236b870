//! `status`: says how the farm is, and starts none.

use farmhand::protocol::{Answer, Request, StatusView};
use serde_json::json;

use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::reach::Reach;
use crate::table::columns;
use crate::term::Term;
use crate::units::took;

pub(crate) async fn run(reach: &mut Reach, term: &Term) -> Result<u8, Failed> {
    let status = match reach.running().await? {
        Some(client) => client.ask(Request::Status).await?,
        None if term.json => {
            term.answer(&json!({ "running": false, "home": reach.home() }));
            return Ok(exit::PASSED);
        }
        None => {
            term.answer(&format!(
                "no farm runs in {}; commands that need one start it",
                reach.home().display()
            ));
            return Ok(exit::PASSED);
        }
    };
    let Answer::Status(status) = status else { return Ok(exit::PASSED) };
    if term.json {
        term.answer(&json::status(&status));
    } else {
        term.text(&shown(&status, term.verbose > 0));
    }
    Ok(exit::PASSED)
}

fn shown(status: &StatusView, verbose: bool) -> String {
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![
        row("farm", format!("{}, pid {}, start {}", status.version, status.pid, status.incarnation)),
        row("home", status.home.clone()),
        row("up", took(status.uptime_ms)),
        row("sessions", format!("{} not finished", status.sessions)),
        row("devices", status.devices.to_string()),
        row("actors", status.actors.len().to_string()),
    ];
    rows.extend(status.store_notes.iter().map(|note| row("store", note.clone())));
    let restarted = status.actors.iter().filter(|actor| verbose || actor.incarnation.0 > 1);
    rows.extend(restarted.map(|actor| row("", format!("{}, start {}", actor.name, actor.incarnation))));
    columns(&rows)
}
