//! Somebody between a machine's monitor and whoever asks it: answers are lost, commands fail, connections end.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use serde_json::{Value, json};

/// What becomes of a command.
#[derive(Debug, Clone)]
pub(crate) enum Do {
    /// QEMU has it, and its answer comes back.
    Pass,
    /// QEMU has it, and its answer is lost.
    Lose,
    /// QEMU does not have it, and it is answered with an error.
    Refuse,
    /// QEMU has it, and the connection ends.
    Close,
    /// QEMU has these arguments instead.
    With(Value),
}

/// Puts itself before the monitor of the machine in this folder: from now on each command goes by `rule`, by its name.
pub(crate) fn between(folder: &Path, rule: impl Fn(&str) -> Do + Send + Sync + 'static) {
    let (socket, real) = (folder.join("qmp"), folder.join("qmp.real"));
    fs::rename(&socket, &real).unwrap();
    let (listener, rule) = (UnixListener::bind(&socket).unwrap(), Arc::new(rule));
    // It ends with the test's process; what goes through it, with either end.
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, qemu, rule) = (client.unwrap(), UnixStream::connect(&real), Arc::clone(&rule));
            // A machine that has ended.
            let Ok(qemu) = qemu else { continue };
            let (lose, lost) = mpsc::channel();
            let (to_client, from_qemu) = (client.try_clone().unwrap(), qemu.try_clone().unwrap());
            thread::spawn(move || answers(from_qemu, to_client, &lost));
            thread::spawn(move || commands(client, qemu, &*rule, &lose));
        }
    });
}

fn commands(client: UnixStream, mut qemu: UnixStream, rule: &dyn Fn(&str) -> Do, lose: &mpsc::Sender<Value>) {
    let mut back = client.try_clone().unwrap();
    for line in BufReader::new(client).lines() {
        let Ok(line) = line else { break };
        let mut command: Value = serde_json::from_str(&line).unwrap();
        let id = command["id"].clone();
        let what = rule(command["execute"].as_str().unwrap());
        match &what {
            Do::Refuse => {
                let no = json!({"error": {"class": "GenericError", "desc": "not today"}, "id": id});
                if writeln!(back, "{no}").is_err() {
                    break;
                }
                continue;
            }
            Do::Lose => lose.send(id).unwrap(),
            Do::With(arguments) => command["arguments"] = arguments.clone(),
            Do::Pass | Do::Close => {}
        }
        if writeln!(qemu, "{command}").is_err() || matches!(what, Do::Close) {
            break;
        }
    }
    for end in [&back, &qemu] {
        let _closed_already = end.shutdown(Shutdown::Both);
    }
}

fn answers(qemu: UnixStream, mut client: UnixStream, lost: &mpsc::Receiver<Value>) {
    let mut gone = HashSet::new();
    for line in BufReader::new(&qemu).lines() {
        let Ok(line) = line else { break };
        gone.extend(lost.try_iter().map(|id| id.to_string()));
        let said: Value = serde_json::from_str(&line).unwrap();
        if said.get("id").is_some_and(|id| gone.contains(&id.to_string())) {
            continue;
        }
        if writeln!(client, "{line}").is_err() {
            break;
        }
    }
    for end in [&client, &qemu] {
        let _closed_already = end.shutdown(Shutdown::Both);
    }
}
