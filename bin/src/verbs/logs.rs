//! `logs`: what was recorded, to stdout as it came.

use farmhand::protocol::{Answer, DeviceName, Item, LogFrom, LogOf, ProblemClass, Request, SessionId};
use farmhand::transport::{ClientError, Reply};

use crate::console::Console;
use crate::exit;
use crate::failed::Failed;
use crate::reach::Reach;
use crate::signals::Signals;
use crate::term::Term;

pub(crate) async fn run(
    reach: &mut Reach,
    term: &Term,
    of: Option<&str>,
    follow: bool,
    timestamp: bool,
) -> Result<u8, Failed> {
    let of = match of {
        Some(text) => named(text)?,
        None => LogOf::Session(newest(reach).await?),
    };
    let mut signals = Signals::new().map_err(|error| Failed::io("hear signals", &error))?;
    let client = reach.client().await?;
    let mut replies = client.stream(Request::Log { of, from: LogFrom::Start, follow }).await?;
    let mut console = Console::new(term, timestamp, true);
    loop {
        let reply = tokio::select! {
            reply = replies.next() => reply.map_err(neither)?,
            _ = signals.next() => return Ok(exit::CANCELLED),
        };
        match reply {
            Some(Reply::Item(Item::Log(item))) => {
                if console.show(&item).is_err() {
                    // `| head` has seen enough.
                    return Ok(exit::PASSED);
                }
            }
            Some(Reply::Item(_)) => {}
            Some(Reply::Done(_)) | None => return Ok(exit::PASSED),
        }
    }
}

/// What is no device may have been meant for a session.
fn neither(error: ClientError) -> Failed {
    let mut failed = Failed::from(error);
    if failed.0.code == "F201" {
        failed.0.help.push("farmhand sessions --all, whose names are s-1, s-2, ...".into());
    }
    failed
}

/// A session where it looks like one, otherwise a device.
fn named(text: &str) -> Result<LogOf, Failed> {
    if text.starts_with("s-")
        && let Ok(session) = text.parse::<SessionId>()
    {
        return Ok(LogOf::Session(session));
    }
    let device = DeviceName::new(text);
    device.map(LogOf::Device).map_err(|error| Failed::usage(error.to_string(), &["farmhand devices"]))
}

async fn newest(reach: &mut Reach) -> Result<SessionId, Failed> {
    match reach.ask(Request::Sessions { all: true }).await? {
        Answer::Sessions(sessions) if !sessions.is_empty() => Ok(sessions[sessions.len() - 1].id),
        _ => Err(Failed::new(ProblemClass::Usage, "F001", "there was no session yet", &["farmhand run"])),
    }
}
