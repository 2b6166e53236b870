//! `cancel`.

use farmhand::protocol::{Answer, PhaseName, Request, SessionId};
use serde_json::json;

use crate::exit;
use crate::failed::Failed;
use crate::follow::{is_aside, verdict_line};
use crate::json;
use crate::reach::Reach;
use crate::term::Term;

pub(crate) async fn run(reach: &mut Reach, term: &Term, sessions: &[SessionId]) -> Result<u8, Failed> {
    let mut views = Vec::new();
    for &session in sessions {
        if let Answer::Session(view) = reach.ask(Request::Cancel(session)).await? {
            views.push(view);
        }
    }
    if term.json {
        let views: Vec<_> = views.iter().map(|view| json::session(view)).collect();
        term.answer(&json!(views));
        return Ok(exit::PASSED);
    }
    for view in views {
        match view.phase {
            PhaseName::Finished => {
                let aside = is_aside(reach, &view).await;
                term.answer(&verdict_line(&view, None, None, aside, term.colour_out));
            }
            PhaseName::Transferring => {
                term.answer(&format!("cancelling  {}  its device ends what it is doing first", view.id));
            }
            _ => term.answer(&format!("cancelling  {}  its handoff is being resolved", view.id)),
        }
    }
    Ok(exit::PASSED)
}
