//! A process that owns a machine, to be killed: this test program once more, told by its environment what to do.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use farmhand_machine::{Emulator, Kind, Loaded, Machine, Place, Saved, SnapshotName, Snapshots, Wanted};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use super::or_hang;
use super::shelf::{DRAINED, Shelf};

const TASK: &str = "FARMHAND_TEST_OWNER";
/// What it says at its end.
const DONE: &str = "the owner is done:";

/// What it does with the snapshot `one`.
#[derive(Debug, Clone)]
pub(crate) enum Task {
    /// Adopts the source and saves it, over the one there.
    Save,
    /// Makes a machine of it there.
    Restore(Place),
}

/// A process that owns a machine. Dropped, it is killed.
pub(crate) struct Owner {
    child: Child,
    says: Lines<BufReader<ChildStderr>>,
}

impl Owner {
    /// Starts one that waits at this point.
    pub(crate) fn start(shelf: &Shelf, task: &Task, point: &str) -> Self {
        Self::start_by(shelf, task, Some(point), "exec \"$@\"")
    }

    /// Starts one by a line of the shell's, which is given its words.
    pub(crate) fn start_by(shelf: &Shelf, task: &Task, point: Option<&str>, line: &str) -> Self {
        let place = match task {
            Task::Save => shelf.source(),
            Task::Restore(place) => place.clone(),
        };
        let Emulator { program, environment, firmware } = &shelf.bench.emulator;
        let told = json!({
            "saves": matches!(task, Task::Save), "kind": shelf.bench.kind.name, "folder": place.folder, "called": place.called,
            "snapshots": shelf.folder(), "program": program, "environment": environment, "firmware": firmware,
        });
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line, "sh"]).arg(std::env::current_exe().unwrap());
        command.args(["owner::does_as_it_is_told", "--exact", "--nocapture"]).env(TASK, told.to_string());
        if let Some(point) = point {
            command.env("FARMHAND_FAILPOINT", format!("{point}:1:wait"));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let says = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        Self { child, says }
    }

    async fn line(&mut self, wanted: &str) -> String {
        let mut all = Vec::new();
        while let Some(line) = or_hang("the owner says something", self.says.next_line()).await.unwrap() {
            if line.starts_with(wanted) {
                return line;
            }
            all.push(line);
        }
        panic!("the owner never said {wanted:?}, but {all:#?}");
    }

    /// Waits until it is at its point.
    pub(crate) async fn is_at(&mut self, point: &str) {
        let line = self.line("failpoint ").await;
        assert_eq!(line, format!("failpoint {point}"));
    }

    /// As `kill -9` does.
    pub(crate) async fn kill(mut self) {
        or_hang("the owner is killed", self.child.kill()).await.unwrap();
    }

    /// Lets it go on from its point, and gives what came of it: nothing, or an error's words.
    pub(crate) async fn go_on(mut self) -> Option<String> {
        let mut stdin = self.child.stdin.take().expect("it is piped");
        stdin.write_all(b"\n").await.unwrap();
        let line = self.line(DONE).await;
        or_hang("the owner ends", self.child.wait()).await.unwrap();
        let outcome = line.trim_start_matches(DONE).trim().to_owned();
        (outcome != "well").then_some(outcome)
    }
}

#[test]
fn does_as_it_is_told() {
    let Ok(told) = std::env::var(TASK) else { return };
    let told: Value = serde_json::from_str(&told).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let outcome = runtime.block_on(work(&told)).map_or_else(|error| error, |()| "well".into());
    writeln!(std::io::stderr(), "{DONE} {}", outcome.replace('\n', " ")).unwrap();
    runtime.shutdown_timeout(Duration::from_secs(60));
}

async fn work(told: &Value) -> Result<(), String> {
    let text = |field: &str| told[field].as_str().unwrap().to_owned();
    let one = SnapshotName::new("one").unwrap();
    let all = Snapshots::open(text("snapshots").as_ref()).map_err(|error| error.to_string())?;
    let place = Place { folder: text("folder").into(), called: text("called") };
    if told["saves"].as_bool().unwrap() {
        let adopted = Machine::adopt(&place.folder).await.map_err(|error| error.to_string())?;
        let Loaded { machine, .. } = adopted.expect("the source runs");
        let saved = Saved {
            wanted: Wanted::User { name: one, replace: true },
            folder: place.folder,
            kind: Kind::named(&text("kind")).unwrap(),
            called: place.called,
            drained_within: DRAINED,
        };
        all.save(&machine, saved).await.map(drop).map_err(|error| error.to_string())
    } else {
        let emulator = Emulator {
            program: text("program").into(),
            environment: serde_json::from_value(told["environment"].clone()).unwrap(),
            firmware: serde_json::from_value(told["firmware"].clone()).unwrap(),
        };
        all.restore(&one, &place, &emulator).await.map(drop).map_err(|error| error.to_string())
    }
}
