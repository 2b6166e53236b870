//! `resume`: take up what was left, settle what could not be proven.

use farmhand::protocol::{Answer, Request, SessionId, SessionView, Settle};
use serde_json::json;

use super::sessions::unsettled;
use crate::exit;
use crate::failed::Failed;
use crate::follow::{OnInterrupt, follow};
use crate::json;
use crate::reach::Reach;
use crate::term::Term;

pub(crate) fn settle(booted: bool, not_booted: bool) -> Option<Settle> {
    match (booted, not_booted) {
        (true, _) => Some(Settle::Booted),
        (false, true) => Some(Settle::NotBooted),
        (false, false) => None,
    }
}

pub(crate) async fn run(
    reach: &mut Reach,
    term: &Term,
    session: Option<SessionId>,
    settle: Option<Settle>,
    detach: bool,
) -> Result<u8, Failed> {
    let sessions = match session {
        Some(session) => vec![session],
        None => match reach.ask(Request::Sessions { all: false }).await? {
            Answer::Sessions(mut views) => {
                unsettled(reach, &mut views).await?;
                views.into_iter().map(|view| view.id).collect()
            }
            _ => Vec::new(),
        },
    };
    let mut views: Vec<SessionView> = Vec::new();
    let mut worst = exit::PASSED;
    for &id in &sessions {
        match reach.ask(Request::Resume { session: id, settle }).await {
            Ok(Answer::Session(view)) => views.push(*view),
            Ok(_) => {}
            // What one session wants from a person keeps no other from going on.
            Err(failed) if session.is_none() => worst = failed.tell(term),
            Err(failed) => return Err(failed),
        }
    }
    if detach && term.json {
        let views: Vec<_> = views.iter().map(json::session).collect();
        term.answer(&json!(views));
        return Ok(exit::PASSED);
    }
    if sessions.is_empty() {
        term.say("nothing was left unfinished");
    }
    for view in views {
        if detach {
            term.answer(&format!("resumed  {}  {}", view.id, view.title));
            continue;
        }
        let client = reach.client().await?;
        let code = follow(reach, client, term, &view, OnInterrupt::Leave).await?;
        if code == exit::CANCELLED {
            return Ok(code);
        }
        worst = if worst == exit::PASSED { code } else { worst };
    }
    Ok(worst)
}
