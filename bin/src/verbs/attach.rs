//! `attach`: follow a session that runs, or see how it ended.

use farmhand::protocol::{Answer, Request, SessionId};

use crate::exit;
use crate::failed::Failed;
use crate::follow::{OnInterrupt, follow};
use crate::reach::Reach;
use crate::term::Term;

pub(crate) async fn run(reach: &mut Reach, term: &Term, session: Option<SessionId>) -> Result<u8, Failed> {
    let session = match session {
        Some(session) => session,
        None => newest(reach).await?,
    };
    let Answer::Session(view) = reach.ask(Request::Session(session)).await? else { return Ok(exit::PASSED) };
    let client = reach.client().await?;
    follow(reach, client, term, &view, OnInterrupt::Leave).await
}

async fn newest(reach: &mut Reach) -> Result<SessionId, Failed> {
    match reach.ask(Request::Sessions { all: false }).await? {
        Answer::Sessions(sessions) if !sessions.is_empty() => Ok(sessions[sessions.len() - 1].id),
        _ => Err(Failed::usage("no session runs", &["farmhand sessions --all"])),
    }
}
