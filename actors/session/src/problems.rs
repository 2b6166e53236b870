//! What can be wrong with a session, as it is told to people: class, stable code, what to do next.

use farmhand_api::{Place, Problem, ProblemClass};
use farmhand_messages::session::Written;
use farmhand_records::v1::{Quarantine, Session, Source};
use farmhand_records::{DeviceName, Epoch, SessionId};

use crate::closest::Line;

/// The code of a handoff that cannot be proven: only a session that ended with it can be settled.
pub(crate) const UNPROVEN: &str = "F301";

fn problem(class: ProblemClass, code: &str, message: String, help: Vec<String>) -> Problem {
    Problem { class, code: code.into(), message, detail: Vec::new(), help, place: None }
}

fn logs(session: SessionId) -> Vec<String> {
    vec![format!("farmhand logs {session}")]
}

/// `20 s`, or `1.5 s`.
fn seconds(ms: u64) -> String {
    if ms.is_multiple_of(1000) {
        format!("{} s", ms / 1000)
    } else {
        format!("{}.{} s", ms / 1000, ms % 1000 / 100)
    }
}

fn since(us: u64) -> String {
    format!("+{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000)
}

/// Output is expected of a device that says nothing.
pub(crate) fn no_console(device: &str) -> Problem {
    let help = vec![
        format!("name it in farm.toml, at {device}: console = {{ port = \"/dev/ttyUSB0\" }}"),
        "or console = { serial = \"auto\" }, where the device shows a port itself once it runs".into(),
        "without --expect and --fail-on, the boot itself is what passes".into(),
    ];
    let message = format!("{device} has no console: nothing of what is expected could be seen");
    problem(ProblemClass::Configuration, "F132", message, help)
}

/// A file that cannot be booted from memory.
pub(crate) fn not_bootable(path: &str, why: &str) -> Problem {
    let help = vec!["an Android boot image, or a kernel of a device whose profile is known".into()];
    problem(ProblemClass::Build, "F131", format!("{path}: {why}"), help)
}

/// A kernel, for a device of which nothing is known.
pub(crate) fn kernel_without_profile(path: &str) -> Problem {
    let help = vec![
        "farmhand profile probe says which profile fits; then: --profile NAME".into(),
        "or make the image yourself (mkbootimg), and boot that".into(),
    ];
    let message =
        format!("{path} is a kernel, and no profile says how an image is made of it for this device");
    problem(ProblemClass::Configuration, "F136", message, help)
}

/// A file that cannot be booted from memory, for a reason of its own: `help` says what to do about it.
pub(crate) fn not_bootable_for(path: &str, why: &str, help: &str) -> Problem {
    problem(ProblemClass::Build, "F131", format!("{path}: {why}"), vec![help.to_owned()])
}

/// A file in which there is nothing, whatever it is for.
pub(crate) fn empty_file(path: &str) -> Problem {
    let help = vec!["nothing was sent; was it made, or copied, to its end?".to_owned()];
    problem(ProblemClass::Build, "F133", format!("{path}: it is empty"), help)
}

/// An image that ends too early.
pub(crate) fn cut(path: &str, why: &str) -> Problem {
    let help = vec!["nothing was sent; make it anew, or copy it again".to_owned()];
    problem(ProblemClass::Build, "F134", format!("{path}: {why}"), help)
}

/// What the kernel is to be told does not go into the image.
pub(crate) fn not_a_cmdline(path: &str, why: &str) -> Problem {
    let help = vec![
        "it is what --cmdline says, behind what the image or the device's profile has already".to_owned(),
        "farmhand profile list says which file the profile is from; its cmdline is in [boot]".to_owned(),
    ];
    problem(ProblemClass::Configuration, "F135", format!("{path}: {why}"), help)
}

/// A job's pattern is no regular expression.
pub(crate) fn not_a_pattern(key: &str, text: &str, error: &regex::Error, place: Option<Place>) -> Problem {
    let message = format!("{key} {text:?} is not a regular expression");
    let help = vec![r"letters that mean something there are taken as they are behind a `\`".to_owned()];
    let detail = error.to_string().lines().map(str::to_owned).collect();
    Problem { detail, place, ..problem(ProblemClass::Configuration, "F100", message, help) }
}

/// What was expected was not seen in time.
pub(crate) fn not_seen(
    session: &Session,
    wanted: &str,
    closest: Option<(Line, u64)>,
    epoch: Epoch,
) -> Problem {
    let message = format!("{wanted:?} not seen within {}", seconds(session.job.timeout_ms));
    let detail = match closest {
        Some((line, after)) => vec![format!("closest, {}, epoch {epoch}: | {}", since(after), line.text)],
        None => vec!["no line was like it".to_owned()],
    };
    let place = session.job.expect_places.get(session.observed.matched as usize).cloned();
    Problem { detail, place, ..problem(ProblemClass::Firmware, "F101", message, logs(session.id)) }
}

/// The device started by itself.
pub(crate) fn restarted(session: &Session, cause: &str) -> Problem {
    let message = format!("{} restarted by itself: {cause}", device(session));
    let detail =
        vec!["what it says since is of no epoch that the session owns, and proves nothing".to_owned()];
    Problem { detail, ..problem(ProblemClass::Firmware, "F102", message, logs(session.id)) }
}

/// What must not be seen was seen.
pub(crate) fn seen(session: &Session, pattern: &str, line: &str, epoch: Epoch) -> Problem {
    let message = format!("{pattern:?} seen, which is a failure");
    let detail = vec![format!("epoch {epoch}: | {line}")];
    Problem { detail, ..problem(ProblemClass::Firmware, "F103", message, logs(session.id)) }
}

/// It cannot be proven whether the handoff was done, and it must not be done twice.
pub(crate) fn unproven(session: &Session, why: &str) -> Problem {
    let (id, device) = (session.id, device(session));
    let (message, help) = match &session.job.build.source {
        Source::Partitions(..) if session.epoch.is_none() => (
            format!("cannot prove whether a partition of {device} was written; not repeated"),
            vec![
                format!("to write it again:  farmhand resume {id} --not-booted"),
                format!("to leave it so:     farmhand quarantine --lift {device}"),
            ],
        ),
        source => {
            let look = match source {
                Source::Boot(_) => {
                    format!("look: does {device} run what was booted, on its screen or its console?")
                }
                Source::Partitions(..) => format!("look: has {device} left its bootloader?"),
                _ => format!("look: does {device} run the program?"),
            };
            let settle = [
                look,
                format!("yes:  farmhand resume {id} --booted"),
                format!("no:   farmhand resume {id} --not-booted"),
            ];
            (format!("cannot prove whether {device} booted; not repeated"), settle.into())
        }
    };
    Problem { detail: vec![why.to_owned()], ..problem(ProblemClass::Unknown, UNPROVEN, message, help) }
}

/// Why the device of a session that ended so is set aside; none where its state is known.
pub(crate) fn quarantine(session: &Session, ended: Option<&Problem>) -> Option<Quarantine> {
    ended.filter(|problem| problem.code == UNPROVEN).map(|problem| Quarantine {
        why: problem.message.clone(),
        session: Some(session.id),
        since_unix_ms: session.finished_unix_ms.unwrap_or(session.created_unix_ms),
    })
}

/// Nobody recorded for a while.
pub(crate) fn gap(session: &Session, why: &str) -> Problem {
    let message = format!("output of {} was not recorded for a while: {why}", device(session));
    let mut help = logs(session.id);
    help.push("run it again; `on-gap = \"reset\"` does so by itself where a handoff may be repeated".into());
    problem(ProblemClass::Unknown, "F304", message, help)
}

/// The handoff was done in an epoch that nobody knows any more.
pub(crate) fn epoch_lost(session: &Session) -> Problem {
    let message = format!(
        "{} was handed off, but the store has lost in which epoch: its output proves nothing",
        device(session)
    );
    problem(ProblemClass::Unknown, "F305", message, logs(session.id))
}

/// A person settles what is not to be settled.
pub(crate) fn nothing_to_settle(session: SessionId, why: &str) -> Problem {
    let help = vec![format!("farmhand sessions --json, or farmhand logs {session}")];
    problem(ProblemClass::Usage, "F306", format!("{session} has nothing to settle: {why}"), help)
}

/// A part of the farm did not do what was asked.
pub(crate) fn lost(what: &str, why: &str) -> Problem {
    let help = vec!["farmhand status, and the farm's log, say more".to_owned()];
    problem(ProblemClass::Infra, "F307", format!("{what}: {why}"), help)
}

/// The handoff came to nothing again and again.
pub(crate) fn gave_up(session: &Session, tries: u32, why: &str) -> Problem {
    let message = format!("{} could not be handed off in {tries} tries: {why}", device(session));
    let help = vec!["farmhand devices; its cable, its power, its loader".to_owned()];
    problem(ProblemClass::Infra, "F308", message, help)
}

/// The program that was built is not to be had.
pub(crate) fn no_artifact(path: &str, why: &str) -> Problem {
    let message = format!("{path}: {why}");
    problem(ProblemClass::Infra, "F309", message, vec!["it is built anew at the next run".to_owned()])
}

/// The file that is to be flashed cannot be read.
pub(crate) fn no_file(path: &str, why: &str) -> Problem {
    problem(
        ProblemClass::Configuration,
        "F311",
        format!("{path}: {why}"),
        vec!["is its name right?".to_owned()],
    )
}

/// A file that is no program.
pub(crate) fn not_an_image(path: &str, why: &str) -> Problem {
    let help = vec!["an ELF or an Intel HEX file for the board is wanted".to_owned()];
    problem(ProblemClass::Build, "F310", format!("{path} is no program: {why}"), help)
}

/// The session was cancelled.
pub(crate) fn cancelled(session: &Session, handed_off: bool) -> Problem {
    let message = match handed_off {
        true => format!("cancelled; {} was handed off and runs", device(session)),
        false => "cancelled before the handoff".to_owned(),
    };
    problem(ProblemClass::Cancelled, "F130", message, Vec::new())
}

/// It was cancelled while its image was put on the device, which has ended that.
pub(crate) fn cancelled_in_transfer(session: &Session, written: &Written) -> Problem {
    let device = device(session);
    let mut detail = Vec::new();
    if !written.done.is_empty() {
        detail.push(format!("written to {device} before that: {}", written.done.join(", ")));
    }
    if let Some(begun) = &written.begun {
        detail.push(format!("{begun} was begun, and may be written in part or whole"));
    }
    if detail.is_empty() && matches!(session.job.build.source, Source::Partitions(..)) {
        detail.push(format!("nothing was written to {device}"));
    }
    Problem { detail, ..cancelled(session, false) }
}

fn device(session: &Session) -> String {
    session.lease.as_ref().map_or_else(|| session.job.board.clone(), |lease| name(&lease.device))
}

fn name(device: &DeviceName) -> String {
    device.to_string()
}
