//! What machines read: one JSON value a line, each with `v`, the version of its shape, and `event`.

use farmhand::protocol::{
    self, BuildEvent, DeviceView, Diagnostic, DiagnosticNote, EpochCause, Event, EventBody, FlashStage,
    InstallEvent, InstallStage, LogItem, Place, Problem, Said, SessionId, SessionView, Spot, StatusView,
    Verdict,
};
use serde_json::{Map, Value, json};

use crate::exit;

/// Grows when a name or a meaning changes; new names do not count.
const VERSION: u32 = 1;

fn line(event: &str, body: Value) -> Value {
    let mut map = Map::new();
    map.insert("v".into(), VERSION.into());
    map.insert("event".into(), event.into());
    if let Value::Object(body) = body {
        map.extend(body.into_iter().filter(|(_, value)| !value.is_null()));
    }
    Value::Object(map)
}

/// An event of the farm.
pub(crate) fn event(event: &Event) -> Value {
    let (name, body) = body(&event.body);
    of_event(event, line(name, body))
}

/// What a compiler printed: a diagnostic a line, with its place, and what is none as text. `whole` makes a path of one
/// that was said.
pub(crate) fn diagnostics(event: &Event, text: &str, whole: impl Fn(&str) -> String) -> Vec<Value> {
    let file = |spot: &Spot| spot.file.as_deref().map(&whole);
    let one = |said| match said {
        Said::Text(text) => json!({ "text": text }),
        Said::Diagnostic(said) => {
            let Diagnostic { spot, severity, message, option, notes, text } = *said;
            let note = |note: &DiagnosticNote| {
                json!({ "file": file(&note.spot), "line": note.spot.line, "column": note.spot.column,
                    "message": note.message })
            };
            json!({ "file": file(&spot), "line": spot.line, "column": spot.column, "severity": severity,
                "message": message, "option": option, "notes": notes.iter().map(note).collect::<Vec<_>>(),
                "text": text })
        }
    };
    let said = protocol::diagnostics(text).into_iter();
    said.map(|said| of_event(event, line("build.diagnostic", one(said)))).collect()
}

/// The last line of a command that did many things: `code` is that of the worst.
pub(crate) fn many(code: u8, body: Value) -> Value {
    let mut value = line("result", json!({ "ok": code == 0, "code": code }));
    if let (Value::Object(map), Value::Object(body)) = (&mut value, body) {
        map.extend(body);
    }
    value
}

fn of_event(event: &Event, mut value: Value) -> Value {
    if let Value::Object(map) = &mut value {
        map.insert("ts".into(), event.unix_ms.into());
        if let Some(session) = event.session {
            map.insert("session".into(), session.to_string().into());
        }
        if let Some(device) = &event.device {
            map.insert("device".into(), device.as_str().into());
        }
    }
    value
}

fn body(body: &EventBody) -> (&'static str, Value) {
    match body {
        EventBody::Phase(phase) => ("session.phase", json!({ "phase": phase })),
        EventBody::Install(install) => ("install.progress", install_json(install)),
        EventBody::Build(BuildEvent::Progress { done, total, what }) => {
            ("build.progress", json!({ "done": done, "total": total, "what": what }))
        }
        EventBody::Build(BuildEvent::Diagnostic { text }) => {
            ("build.diagnostic", json!({ "text": protocol::plain(text) }))
        }
        EventBody::Build(BuildEvent::Command(line)) => ("build.command", json!({ "command": line })),
        EventBody::Build(BuildEvent::Note(text)) => ("note", json!({ "text": text })),
        EventBody::Build(BuildEvent::Done {
            unchanged,
            compiled,
            cached,
            image_bytes,
            image_bytes_max,
            data_bytes,
            data_bytes_max,
            before,
            elapsed_ms,
        }) => (
            "build.done",
            json!({ "unchanged": unchanged, "compiled": compiled, "cached": cached, "image_bytes": image_bytes,
                "image_bytes_max": image_bytes_max, "data_bytes": data_bytes, "data_bytes_max": data_bytes_max,
                "before": before.map(|(image, data)| json!({ "image_bytes": image, "data_bytes": data })),
                "elapsed_ms": elapsed_ms }),
        ),
        EventBody::Device { board, virtual_ } => {
            ("session.device", json!({ "board": board, "virtual": virtual_ }))
        }
        EventBody::Flash { stage, done_bytes, total_bytes } => {
            let stage = match stage {
                FlashStage::Compare => "compare",
                FlashStage::Write => "write",
                FlashStage::Verify => "verify",
                FlashStage::Download => "download",
            };
            (
                "flash.progress",
                json!({ "stage": stage, "done_bytes": done_bytes, "total_bytes": total_bytes }),
            )
        }
        EventBody::WaitsForRoom { path, ends } => {
            let text = format!("the disk is full at {path}; waiting for room");
            let ends = ends.as_deref().map(problem);
            ("session.waits-for-room", json!({ "text": text, "path": path, "ends": ends }))
        }
        EventBody::Bootloader { text, line } => ("bootloader", json!({ "text": text, "line": line })),
        EventBody::Staged { bytes, elapsed_ms } => {
            ("flash.staged", json!({ "bytes": bytes, "elapsed_ms": elapsed_ms }))
        }
        EventBody::Partition { name, erased, bytes, elapsed_ms, step, steps, before } => (
            "flash.partition",
            json!({ "partition": name, "erased": erased, "bytes": bytes, "elapsed_ms": elapsed_ms, "step": step,
                "steps": steps, "before": before }),
        ),
        EventBody::Flashed { image_bytes, written_bytes, since, elapsed_ms } => (
            "flash.done",
            json!({ "image_bytes": image_bytes, "written_bytes": written_bytes, "elapsed_ms": elapsed_ms,
                "since": since.map(|session| session.to_string()) }),
        ),
        EventBody::EpochBegan { epoch, cause } => {
            ("epoch", json!({ "epoch": epoch.0, "cause": cause_word(cause) }))
        }
        EventBody::Note(text) => ("note", json!({ "text": text })),
        EventBody::Finished { verdict, problem, matched, elapsed_ms } => (
            "session.finished",
            json!({ "verdict": verdict_word(*verdict), "matched": matched, "elapsed_ms": elapsed_ms,
                "problem": problem.as_deref().map(self::problem) }),
        ),
        EventBody::ActorRestarted { actor, incarnation, why } => {
            ("actor.restarted", json!({ "actor": actor, "incarnation": incarnation.0, "why": why }))
        }
        EventBody::Presence { present } => ("device.presence", json!({ "present": present })),
        EventBody::Quarantine(why) => {
            ("device.quarantine", json!({ "why": why, "quarantined": why.is_some() }))
        }
        EventBody::Missed => ("missed", json!({})),
    }
}

fn install_json(install: &InstallEvent) -> Value {
    let stage = match install.stage {
        InstallStage::Resolve => "resolve",
        InstallStage::Wait => "wait",
        InstallStage::Fetch => "fetch",
        InstallStage::Unpack => "unpack",
        InstallStage::Done => "done",
    };
    json!({ "package": install.package, "version": install.version, "archives": install.archives, "stage": stage,
        "done_bytes": install.done_bytes, "total_bytes": install.total_bytes, "elapsed_ms": install.elapsed_ms })
}

pub(crate) fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::Infra => "infra",
        Verdict::Unknown => "unknown",
        Verdict::Cancelled => "cancelled",
    }
}

/// Why an epoch began, in a few words.
pub(crate) fn cause_word(cause: &EpochCause) -> String {
    match cause {
        EpochCause::Handoff(session) => format!("handoff of {session}"),
        EpochCause::Reset => "reset".into(),
        EpochCause::Opened => "port opened".into(),
        EpochCause::Returned => "device came back".into(),
        EpochCause::Itself(why) => format!("started by itself: {why}"),
        EpochCause::Restored(name) => format!("restored from {name}"),
    }
}

/// An item of a recording.
pub(crate) fn log(item: &LogItem) -> Value {
    match item {
        LogItem::Chunk { offset, epoch, stamp, bytes } => line(
            "console",
            json!({ "ts": stamp.unix_us / 1000, "offset": offset, "epoch": epoch.0,
                "text": String::from_utf8_lossy(bytes) }),
        ),
        LogItem::EpochBegan { offset, epoch, stamp, cause } => line(
            "console.epoch",
            json!({ "ts": stamp.unix_us / 1000, "offset": offset, "epoch": epoch.0, "cause": cause_word(cause) }),
        ),
        LogItem::Lent { offset, stamp } => {
            line("console.lent", json!({ "ts": stamp.unix_us / 1000, "offset": offset }))
        }
        LogItem::Returned { offset, stamp } => {
            line("console.returned", json!({ "ts": stamp.unix_us / 1000, "offset": offset }))
        }
        LogItem::Gap { offset, stamp, why } => {
            line("console.gap", json!({ "ts": stamp.unix_us / 1000, "offset": offset, "why": why }))
        }
        LogItem::Lost { offset, bytes, dropped } => {
            line("console.lost", json!({ "offset": offset, "bytes": bytes, "dropped": dropped }))
        }
    }
}

/// A problem.
pub(crate) fn problem(problem: &Problem) -> Value {
    let class = format!("{:?}", problem.class);
    let place = |place: &Place| json!({ "file": place.file, "line": place.line, "column": place.column });
    json!({ "class": snake(&class), "code": problem.code, "message": problem.message, "detail": problem.detail,
        "help": problem.help, "place": problem.place.as_ref().map(place) })
}

/// `NoDevice` as `no_device`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}

/// The last line of a command that failed without a session.
pub(crate) fn result(of: &Problem, code: u8) -> Value {
    line("result", json!({ "ok": false, "code": code, "problem": problem(of) }))
}

/// The last line of a command that was interrupted.
pub(crate) fn interrupted() -> Value {
    line("result", json!({ "ok": false, "code": exit::CANCELLED, "cancelled": true }))
}

/// The last line of a command that was interrupted, and whose session goes on.
pub(crate) fn detached(session: SessionId, handed_off: bool) -> Value {
    line(
        "result",
        json!({ "ok": false, "code": exit::CANCELLED, "session": session.to_string(), "detached": true,
            "handed_off": handed_off }),
    )
}

/// The last line of a command that did what it was asked.
pub(crate) fn done(body: Value) -> Value {
    let mut value = line("result", json!({ "ok": true, "code": 0 }));
    if let (Value::Object(map), Value::Object(body)) = (&mut value, body) {
        map.extend(body);
    }
    value
}

/// The last line of a command that followed a session.
pub(crate) fn session_result(view: &SessionView, matched: Option<&str>, quarantined: bool) -> Value {
    let code = exit::of_session(view);
    line(
        "result",
        json!({ "ok": code == 0, "code": code, "session": view.id.to_string(),
            "device": view.device.as_ref().map(|device| device.as_str()), "verdict": view.verdict.map(verdict_word),
            "quarantined": quarantined, "matched": matched, "problem": view.problem.as_ref().map(problem) }),
    )
}

pub(crate) fn session(view: &SessionView) -> Value {
    json!({ "id": view.id.to_string(), "title": view.title, "project": view.project, "board": view.board,
        "device": view.device.as_ref().map(|device| device.as_str()), "phase": view.phase, "detail": view.detail,
        "attempt": view.attempt, "epoch": view.epoch.map(|epoch| epoch.0), "verdict": view.verdict.map(verdict_word),
        "problem": view.problem.as_ref().map(problem), "created_unix_ms": view.created_unix_ms,
        "finished_unix_ms": view.finished_unix_ms })
}

pub(crate) fn device(view: &DeviceView) -> Value {
    json!({ "name": view.name.as_ref().map(|name| name.as_str()), "board": view.board, "driver": view.driver,
        "state": view.state, "holder": view.holder.map(|session| session.to_string()),
        "since_unix_ms": view.since_unix_ms, "port": view.port, "serial": view.serial, "seen_unix_ms": view.seen_unix_ms,
        "virtual": view.virtual_, "epoch": view.epoch.map(|epoch| epoch.0), "note": view.note })
}

/// A device came, changed or went.
pub(crate) fn device_event(what: &str, view: &DeviceView, unix_ms: u64) -> Value {
    let mut value = line(&format!("device.{what}"), device(view));
    if let Value::Object(map) = &mut value {
        map.insert("ts".into(), unix_ms.into());
    }
    value
}

pub(crate) fn status(view: &StatusView) -> Value {
    let actors: Vec<_> = view
        .actors
        .iter()
        .map(|actor| json!({ "name": actor.name, "incarnation": actor.incarnation.0 }))
        .collect();
    json!({ "running": true, "version": view.version, "pid": view.pid, "home": view.home,
        "incarnation": view.incarnation.0, "uptime_ms": view.uptime_ms, "sessions": view.sessions,
        "devices": view.devices, "actors": actors, "store_notes": view.store_notes })
}
