//! `vm`: Linux guests.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use farmhand::protocol::{
    Answer, DeviceName, DeviceView, GuestCommand, GuestEnded, GuestHealth, INPUT_LEN_MAX, Item, ProblemClass,
    Request, SnapshotCommand,
};
use farmhand::transport::{ClientError, Reply};
use serde_json::json;

use super::bootloader::{absolute, converse, readable};
use super::{devices, monitor, with_farm};
use crate::answer;
use crate::args::{Cli, Eol, From, VmVerb};
use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::reach::Reach;
use crate::screen::step;
use crate::signals::Signals;
use crate::term::Term;
use crate::units::{bytes, now_unix_ms, took};

/// The driver of emulated machines.
const QEMU: &str = "qemu";
/// What could not be read or written in a guest, in its words.
const NOT_COPIED: &str = "F841";
/// As timeout(1) has it.
const TIMED_OUT: u8 = 124;
/// As shells have it, of what is not found.
const NOT_STARTED: u8 = 127;
/// As shells have it: this, and the signal's number.
const SIGNALLED: i32 = 128;

pub(crate) fn run(cli: &Cli, term: &Term, what: &VmVerb) -> Result<u8, Failed> {
    with_farm(cli, async |reach| match what {
        VmVerb::Run { name, board } => boot(reach, term, name, board).await,
        VmVerb::List => list(reach, term).await,
        VmVerb::Exec { name, input, timeout, env, cwd, command } => {
            let command = GuestCommand::Exec {
                device: name.clone(),
                argv: command.clone(),
                env: env.clone(),
                cwd: cwd.clone(),
                timeout_ms: timeout.map(milliseconds),
                input: if *input { piped()? } else { Vec::new() },
            };
            exec(reach, term, command).await
        }
        VmVerb::Health { name } => health(reach, term, name).await,
        VmVerb::Copy { from, to } => copy(reach, term, from, to).await,
        VmVerb::Console { name } => {
            let wish = monitor::Wish {
                name: Some(name.clone()),
                from: From::Now,
                timestamp: false,
                input: true,
                eol: Eol::Lf,
                take: false,
            };
            monitor::run(reach, &cli.global, term, &wish).await
        }
        VmVerb::Stop { name } => {
            let command = SnapshotCommand::End { device: name.clone() };
            converse(reach, term, Request::Snapshot(command), |_| false).await?;
            match term.json {
                true => term.answer(&json::done(json!({ "ended": name.as_str() }))),
                false => term.say(&step("ended", name.as_str(), "", "")),
            }
            Ok(exit::PASSED)
        }
    })
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

async fn boot(reach: &mut Reach, term: &Term, name: &DeviceName, board: &str) -> Result<u8, Failed> {
    let began = Instant::now();
    let command = GuestCommand::Run { device: name.clone(), board: board.to_owned() };
    converse(reach, term, Request::Guest(command), |_| false).await?;
    let took_ms = milliseconds(began.elapsed());
    match term.json {
        true => term.answer(&json::done(json!({ "healthy": name.as_str(), "took_ms": took_ms }))),
        false => term.say(&step("healthy", name.as_str(), "", &took(took_ms))),
    }
    Ok(exit::PASSED)
}

async fn list(reach: &mut Reach, term: &Term) -> Result<u8, Failed> {
    let Answer::Devices(all) = reach.ask(Request::Devices).await? else { return Err(otherwise()) };
    let machines: Vec<DeviceView> = all.into_iter().filter(|view| view.driver == QEMU).collect();
    if term.json {
        term.answer(&json!(machines.iter().map(json::device).collect::<Vec<_>>()));
    } else if machines.is_empty() {
        term.say("there is no emulated machine; `farmhand vm run` boots a Linux guest");
    } else {
        term.text(&devices::shown(&machines, now_unix_ms()));
    }
    Ok(exit::PASSED)
}

/// What is piped in, to its end.
fn piped() -> Result<Vec<u8>, Failed> {
    let mut input = Vec::new();
    let read = io::stdin().lock().take(INPUT_LEN_MAX as u64 + 1).read_to_end(&mut input);
    read.map_err(|error| Failed::io("stdin", &error))?;
    if input.len() > INPUT_LEN_MAX {
        let message = format!("more than {INPUT_LEN_MAX} bytes of input");
        return Err(Failed::usage(message, &["copy a file in: farmhand vm copy FILE NAME:/tmp/FILE"]));
    }
    Ok(input)
}

async fn exec(reach: &mut Reach, term: &Term, command: GuestCommand) -> Result<u8, Failed> {
    let mut signals = Signals::new().map_err(|error| Failed::io("hear signals", &error))?;
    let client = reach.client().await?;
    let mut replies = client.stream(Request::Guest(command)).await?;
    loop {
        let reply = tokio::select! {
            reply = replies.next() => reply?,
            // The farm ends the command once nobody is there any more.
            _ = signals.next() => return Ok(exit::CANCELLED),
        };
        match reply {
            Some(Reply::Item(Item::Guest { err, bytes })) => {
                let written = match err {
                    true => io::stderr().lock().write_all(&bytes),
                    false => answer::put(&bytes),
                };
                if written.is_err() {
                    // Nobody reads it.
                    return Ok(exit::CANCELLED);
                }
            }
            Some(Reply::Item(_)) => {}
            Some(Reply::Done(Answer::Ended(ended))) => return Ok(code(term, &ended)),
            Some(Reply::Done(_)) => return Err(otherwise()),
            None => return Err(ClientError::Lost.into()),
        }
    }
}

/// The command's exit code, as a shell would have it.
fn code(term: &Term, ended: &GuestEnded) -> u8 {
    let (code, why) = match ended {
        GuestEnded::Exit(code) => return u8::try_from(*code & 0xff).unwrap_or(u8::MAX),
        GuestEnded::Signal(number) => {
            let code = u8::try_from(SIGNALLED + number).unwrap_or(u8::MAX);
            (code, format!("ended by signal {number}"))
        }
        GuestEnded::TimedOut => (TIMED_OUT, "it took longer than it had, and was ended".to_owned()),
        GuestEnded::Aborted => {
            (exit::of(ProblemClass::Infra), "the guest was restored meanwhile: it was ended".to_owned())
        }
        GuestEnded::Not(why) => (NOT_STARTED, why.clone()),
    };
    term.say(&step("ended", &why, "", ""));
    code
}

async fn health(reach: &mut Reach, term: &Term, name: &DeviceName) -> Result<u8, Failed> {
    let command = GuestCommand::Health { device: name.clone() };
    let Answer::Health(health) = reach.ask(Request::Guest(command)).await? else { return Err(otherwise()) };
    if term.json {
        term.answer(&json!(health));
        return Ok(exit::PASSED);
    }
    let GuestHealth { uptime_ms, load_1_hundredths, memory_available_bytes, commands, .. } = health;
    let load = f64::from(load_1_hundredths) / 100.0;
    term.say(&step("healthy", name.as_str(), "", &format!("up {}", took(uptime_ms))));
    term.say(&step("load", &format!("{load:.2} in the last minute; {commands} commands"), "", ""));
    term.say(&step("memory", &format!("{} available", bytes(memory_available_bytes)), "", ""));
    let GuestHealth { restores_ignored, restores_repeated, frames_torn, answers_ignored, .. } = health;
    let in_vain = [
        (restores_repeated, "restores that it had already"),
        (restores_ignored, "older restores"),
        (frames_torn, "frames that were torn"),
        (answers_ignored, "answers that nobody had asked for"),
    ];
    for (count, what) in in_vain.into_iter().filter(|(count, _)| *count > 0) {
        term.say(&step("ignored", &format!("{count} {what}"), "", ""));
    }
    Ok(exit::PASSED)
}

async fn copy(reach: &mut Reach, term: &Term, from: &Path, to: &Path) -> Result<u8, Failed> {
    let began = Instant::now();
    let command = match (in_guest(from)?, in_guest(to)?) {
        (None, Some((device, path))) => {
            GuestCommand::Put { device, from: readable(from)?.0, to: below(path, from)? }
        }
        (Some((device, path)), None) => {
            let to = if to.is_dir() {
                to.join(Path::new(&path).file_name().unwrap_or_default())
            } else {
                to.into()
            };
            GuestCommand::Get { device, from: path, to: absolute(&to)? }
        }
        (None, None) => {
            let help = ["into one: farmhand vm copy FILE NAME:/tmp/FILE"];
            return Err(Failed::usage("neither of these is in a guest (NAME:PATH)", &help));
        }
        (Some(_), Some(_)) => {
            let help = ["by way of a file here"];
            return Err(Failed::usage("both of these are in guests; one of them must be here", &help));
        }
    };
    let copied = converse(reach, term, Request::Guest(command), |_| false).await?;
    let Answer::Ended(ended) = copied else { return Err(otherwise()) };
    match ended {
        GuestEnded::Exit(0) => {}
        GuestEnded::Not(why) => {
            let message = format!("copy {} to {}: in the guest: {why}", from.display(), to.display());
            return Err(Failed::new(ProblemClass::Infra, NOT_COPIED, message, &[]));
        }
        ended => return Ok(code(term, &ended)),
    }
    let (from, to) = (from.display().to_string(), to.display().to_string());
    match term.json {
        true => term.answer(&json::done(json!({ "from": from, "to": to }))),
        false => {
            term.say(&step("copied", &format!("{from} to {to}"), "", &took(milliseconds(began.elapsed()))))
        }
    }
    Ok(exit::PASSED)
}

/// `NAME:PATH`. What has a `/` before the colon is a file here.
fn in_guest(said: &Path) -> Result<Option<(DeviceName, String)>, Failed> {
    let Some(text) = said.to_str() else { return Ok(None) };
    let Some((name, path)) = text.split_once(':').filter(|(name, _)| !name.contains('/')) else {
        return Ok(None);
    };
    let name =
        DeviceName::new(name).map_err(|error| Failed::usage(error.to_string(), &["farmhand vm list"]))?;
    match path {
        "" => Err(Failed::usage(format!("{text} names no file in {name}"), &["NAME:/tmp/FILE"])),
        path => Ok(Some((name, path.to_owned()))),
    }
}

/// A folder there takes the file's own name.
fn below(path: String, from: &Path) -> Result<String, Failed> {
    if !path.ends_with('/') {
        return Ok(path);
    }
    match from.file_name().and_then(|name| name.to_str()) {
        Some(name) => Ok(format!("{path}{name}")),
        None => Err(Failed::usage(format!("{} has no name", from.display()), &[])),
    }
}

fn otherwise() -> Failed {
    Failed::usage("the farm answered something else", &["farmhand status"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_guest_has_its_name_in_front() {
        let of = |said: &str| in_guest(Path::new(said)).unwrap().map(|(name, path)| (name.to_string(), path));
        assert_eq!(of("vm:/tmp/x"), Some(("vm".into(), "/tmp/x".into())));
        assert_eq!((of("./vm:x"), of("test.sh")), (None, None));
        assert!(in_guest(Path::new("vm:")).is_err());
        assert_eq!(below("/tmp/".into(), Path::new("a/b.sh")).unwrap(), "/tmp/b.sh");
        assert_eq!(below("/tmp/c".into(), Path::new("a/b.sh")).unwrap(), "/tmp/c");
    }
}
