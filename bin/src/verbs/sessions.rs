//! `sessions`.

use farmhand::protocol::{Answer, DeviceState, PhaseName, Request, SessionView};
use serde_json::json;

use crate::exit;
use crate::failed::Failed;
use crate::follow::verdict_word;
use crate::json;
use crate::reach::Reach;
use crate::table::table;
use crate::term::Term;
use crate::units::{age, now_unix_ms};

pub(crate) async fn run(reach: &mut Reach, term: &Term, all: bool) -> Result<u8, Failed> {
    let answer = reach.ask(Request::Sessions { all }).await?;
    let Answer::Sessions(mut sessions) = answer else { return Ok(exit::PASSED) };
    if !all {
        unsettled(reach, &mut sessions).await?;
    }
    // The newest is what a person looks for.
    sessions.reverse();
    if term.json {
        let sessions: Vec<_> = sessions.iter().map(json::session).collect();
        term.answer(&json!(sessions));
    } else if sessions.is_empty() {
        term.say(if all {
            "there was no session yet"
        } else {
            "no session runs; `--all` shows the finished ones"
        });
    } else {
        term.text(&shown(&sessions, now_unix_ms()));
    }
    Ok(exit::PASSED)
}

/// A device that is set aside waits for a word about the session that left it so: that one is not done with.
pub(super) async fn unsettled(reach: &mut Reach, sessions: &mut Vec<SessionView>) -> Result<(), Failed> {
    let Answer::Devices(devices) = reach.ask(Request::Devices).await? else { return Ok(()) };
    let aside = devices.into_iter().filter(|view| view.state == DeviceState::Quarantined);
    for id in aside.filter_map(|view| view.holder) {
        if sessions.iter().any(|view| view.id == id) {
            continue;
        }
        // One that is kept no more is nothing to settle.
        if let Ok(Answer::Session(view)) = reach.ask(Request::Session(id)).await {
            sessions.push(*view);
        }
    }
    sessions.sort_by_key(|view| view.id);
    Ok(())
}

fn shown(sessions: &[SessionView], now: u64) -> String {
    let row = |view: &SessionView| {
        let phase = match view.phase {
            PhaseName::Preparing => "preparing",
            PhaseName::Queued => "queued",
            PhaseName::Leased => "leased",
            PhaseName::Connecting => "connecting",
            PhaseName::Transferring => "transferring",
            PhaseName::HandoffIntended => "handing off",
            PhaseName::HandoffIssued => "handed off",
            PhaseName::Observing => "observing",
            PhaseName::Finished => "finished",
        };
        vec![
            view.id.to_string(),
            view.device.as_ref().map_or_else(|| view.board.clone(), |device| device.to_string()),
            view.title.clone(),
            format!("{phase} {}", view.detail).trim_end().to_owned(),
            verdict_word(view).unwrap_or("-").to_owned(),
            age(view.created_unix_ms, now),
        ]
    };
    table(
        &["ID", "DEVICE", "PROJECT", "PHASE", "VERDICT", "AGE"],
        &sessions.iter().map(row).collect::<Vec<_>>(),
    )
}

#[cfg(test)]
mod tests {
    use farmhand::protocol::{DeviceName, Problem, ProblemClass, SessionId, Verdict};
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn a_table() {
        let finished = SessionView {
            id: SessionId(7),
            title: "boot".into(),
            project: "/p/boot".into(),
            board: "oneplus-fajita".into(),
            device: Some(DeviceName::new("phone-1").unwrap()),
            phase: PhaseName::Finished,
            detail: String::new(),
            attempt: 1,
            epoch: None,
            verdict: Some(Verdict::Unknown),
            problem: None,
            created_unix_ms: 0,
            finished_unix_ms: Some(1),
        };
        let queued = SessionView {
            id: SessionId(10),
            title: "blink".into(),
            board: "arduino:avr:uno".into(),
            device: None,
            phase: PhaseName::Queued,
            detail: "1st, behind s-9".into(),
            verdict: None,
            created_unix_ms: 90_000,
            ..finished.clone()
        };
        let absent = SessionView {
            id: SessionId(8),
            title: "lamp".into(),
            device: None,
            verdict: Some(Verdict::Infra),
            problem: Some(Problem {
                class: ProblemClass::NoDevice,
                code: "F202".into(),
                message: String::new(),
                detail: Vec::new(),
                help: Vec::new(),
                place: None,
            }),
            ..finished.clone()
        };
        assert_snapshot!(shown(&[queued, absent, finished], 120_000), @r"
        ID    DEVICE           PROJECT  PHASE                   VERDICT    AGE
        s-10  arduino:avr:uno  blink    queued 1st, behind s-9  -          30 s
        s-8   oneplus-fajita   lamp     finished                no device  2 min
        s-7   phone-1          boot     finished                unknown    2 min
        ");
    }
}
