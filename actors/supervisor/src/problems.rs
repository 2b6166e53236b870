//! What the farm itself says when it cannot.

use farmhand_api::{CLONES_MAX, INPUT_LEN_MAX, Problem, ProblemClass, SessionId};
use farmhand_messages::fastboot::AddressError;
use farmhand_records::DeviceName;
use farmhand_records::v1::{Session, Source};
use farmhand_runtime::{AskError, SavedError};
use farmhand_store::StoreError;

use crate::config::nearest;

fn problem(class: ProblemClass, code: &str, message: String, help: &[&str]) -> Problem {
    let help = help.iter().map(|&line| line.to_owned()).collect();
    Problem { class, code: code.into(), message, detail: Vec::new(), help, place: None }
}

/// Ours, or the machine's.
pub(crate) fn infra(code: &str, message: String, help: &[&str]) -> Problem {
    problem(ProblemClass::Infra, code, message, help)
}

/// The store did not do it.
pub(crate) fn store_problem(error: SavedError) -> Problem {
    match &error {
        SavedError::Store(StoreError::Full { path }) => infra(
            "F811",
            format!("the disk is full at {}; nothing was lost", path.display()),
            &["make room there, then ask again"],
        ),
        SavedError::Store(StoreError::Busy { .. }) => {
            problem(ProblemClass::Busy, "F812", error.to_string(), &["ask again in a moment"])
        }
        _ => infra("F810", error.to_string(), &["farmhand status", "farmhand store check"]),
    }
}

/// An actor did not answer.
pub(crate) fn unanswered(who: &str, error: AskError) -> Problem {
    infra("F805", format!("the {who} {error}"), &["farmhand status"])
}

/// There is no such session.
pub(crate) fn no_session(session: SessionId) -> Problem {
    problem(
        ProblemClass::Usage,
        "F001",
        format!("there is no session {session}"),
        &["farmhand sessions --all"],
    )
}

/// There is no such session, and there are others.
pub(crate) fn no_session_but(session: SessionId, nearest: Option<SessionId>) -> Problem {
    let mut problem = no_session(session);
    if let Some(nearest) = nearest {
        problem.help.insert(0, format!("did you mean {nearest}?"));
    }
    problem
}

/// A command's input goes to its guest in one piece.
pub(crate) fn too_much_input(len: usize) -> Problem {
    let message = format!("a command's input has {len} bytes, and {INPUT_LEN_MAX} at most are passed on");
    problem(ProblemClass::Usage, "F237", message, &["copy a file in: farmhand vm copy FILE NAME:/tmp/FILE"])
}

/// There is nothing on a port.
pub(crate) fn no_port(port: &str) -> Problem {
    let message = format!("{port} is not there");
    problem(
        ProblemClass::NoDevice,
        "F207",
        message,
        &["plug the board in: `farmhand devices` lists what is there"],
    )
}

/// A person is to say what became of it.
pub(crate) fn unsettled(session: &Session) -> Problem {
    let id = session.id;
    let (what, help) = match &session.job.build.source {
        // What may have been written is written again; that all of it was, nobody can see.
        Source::Partitions(..) => (
            "whether its device may be written again",
            vec![format!(
                "farmhand resume {id} --not-booted, to have it written again from what was in doubt"
            )],
        ),
        _ => (
            "whether its device booted",
            vec![
                format!("farmhand resume {id} --booted, if it did"),
                format!("farmhand resume {id} --not-booted, if it did not"),
            ],
        ),
    };
    let message = format!("{id} ended unknown: only you can say {what}");
    Problem { help, ..problem(ProblemClass::Unknown, "F302", message, &[]) }
}

/// A session has it.
pub(crate) fn leased(device: &DeviceName, session: SessionId) -> Problem {
    let help = format!("wait until it ends: farmhand attach {session}");
    problem(ProblemClass::Busy, "F246", format!("{device}: {session} has it"), &[&help])
}

/// More machines than are made at once, or none.
pub(crate) fn so_many_clones(count: u16) -> Problem {
    let message = format!("{count} machines are asked for: 1 to {CLONES_MAX} are made at once");
    problem(ProblemClass::Usage, "F214", message, &[])
}

/// One that is set aside, and by whom.
pub(crate) fn quarantined(device: &DeviceName, session: Option<SessionId>, why: Vec<String>) -> Problem {
    let settle = match session {
        Some(session) => {
            format!("look at the device, then: farmhand resume {session} --booted, or --not-booted")
        }
        None => format!("look at the device, then: farmhand quarantine {device} --lift"),
    };
    let message = format!("{device} is quarantined");
    Problem { detail: why, ..problem(ProblemClass::Busy, "F203", message, &[&settle]) }
}

/// It is had by another of its names.
pub(crate) fn two_names(device: &DeviceName, other: &DeviceName, session: SessionId) -> Problem {
    let message =
        format!("{device} and {other} are one device, and {session} has it; nothing was done to it");
    let help = "wait until that ends: what is run again waits for it, and is told so";
    problem(ProblemClass::Busy, "F212", message, &[help])
}

/// What is no address.
pub(crate) fn no_address(error: &AddressError) -> Problem {
    problem(ProblemClass::Usage, "F211", error.to_string(), &["as in tcp:127.0.0.1:5554, or udp:[::1]:5554"])
}

/// An address at which no device was known, and none is.
pub(crate) fn nobody_answers(at: &str, why: &str) -> Problem {
    let help = ["is it in its bootloader, and the address right? then again"];
    problem(
        ProblemClass::NoDevice,
        "F207",
        format!("no bootloader that speaks fastboot is at {at}: {why}"),
        &help,
    )
}

/// A device of a model that nobody has described.
pub(crate) fn no_profile<'a>(board: &str, known: impl Iterator<Item = &'a str>) -> Problem {
    let mut help = vec![
        "farmhand profile list; is it a project's? then from its folder, or with -d FOLDER".to_owned(),
        format!("or board = \"{}\", of which nothing is known", farmhand_messages::fastboot::ANY),
    ];
    if let Some(near) = nearest(board, known) {
        help.insert(0, format!("did you mean {near}?"));
    }
    let message = format!("no profile of a device that speaks fastboot is called {board}");
    Problem { help, ..problem(ProblemClass::Configuration, "F210", message, &[]) }
}

/// No such device is known.
pub(crate) fn no_device(device: &str, known: &[String]) -> Problem {
    let near = known.iter().max_by(|one, other| {
        let close = |name: &str| strsim::jaro_winkler(device, name);
        close(one).total_cmp(&close(other))
    });
    let mut help = vec!["farmhand devices".to_owned()];
    if let Some(near) = near {
        help.insert(0, format!("did you mean {near}?"));
    }
    let message = format!("no device is called {device}");
    Problem { help, ..problem(ProblemClass::NoDevice, "F201", message, &[]) }
}
