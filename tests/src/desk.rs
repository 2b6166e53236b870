//! A desk: a farm's folder, projects beside it, and `farmhand` as a person types it.

use std::ffi::OsStr;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::binaries::binary;
use crate::home::Home;
use crate::processes::{TAG, tagged};
use crate::wait::{or_hang, until};

/// A farm's folder, and a folder for projects. Dropped, the farms that commands started there end, then the boards.
#[derive(Debug)]
pub struct Desk {
    home: Home,
    work: TempDir,
}

/// How a command ended, and what it said.
#[derive(Debug, Clone)]
pub struct Said {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// The answer.
    pub stdout: String,
    /// What is for people.
    pub stderr: String,
}

impl Desk {
    /// With that folder.
    #[must_use]
    pub fn new(home: Home) -> Self {
        // Built before anything waits for it.
        let _built = binary("farmhand");
        let work = tempfile::Builder::new().prefix("farmhand-desk-").tempdir().unwrap();
        Self { home, work }
    }

    /// With the toolchain installed.
    #[must_use]
    pub fn ready() -> Self {
        Self::new(Home::ready())
    }

    /// The farm's folder.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Where projects lie, and where commands run.
    #[must_use]
    pub fn work(&self) -> &Path {
        self.work.path()
    }

    /// A file in it; the folder is made.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.work().join(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A copy of `examples/blink` by another name.
    pub fn blink(&self, name: &str) -> PathBuf {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/blink");
        let read = |file: &str| fs::read_to_string(example.join(file)).unwrap();
        self.write(&format!("{name}/farmhand.toml"), &read("farmhand.toml"));
        self.write(&format!("{name}/{name}.ino"), &read("blink.ino"));
        self.work().join(name)
    }

    /// Replaces text in a file; it must be there.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let path = self.work().join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name} has no {from:?}");
        fs::write(path, text.replace(from, to)).unwrap();
    }

    /// `farmhand` with these words, not started. It leads a process group, as from a shell with job control.
    pub fn farmhand<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Command {
        let mut command = Command::new(binary("farmhand"));
        command.args(words).current_dir(self.work());
        // What is set where the tests run is not what is tested.
        for (name, _) in std::env::vars_os() {
            let ours = name
                .to_str()
                .is_some_and(|name| name.starts_with("FARMHAND_") && name != "FARMHAND_APT_SOURCES");
            if ours || name == "CI" {
                command.env_remove(name);
            }
        }
        command
            .env("FARMHAND_HOME", self.home.path())
            .env(TAG, self.home.tag())
            .env("FARMHAND_LOG", "debug,ractor=warn,sled=warn");
        command.env("XDG_CONFIG_HOME", self.work().join("config"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        command
    }

    /// `farmhandd` for this folder, not started: `with` words of a shell before it (`exec "$0" "$@"` ends them).
    pub fn farmhandd(&self, with: &str) -> Command {
        let like = self.farmhand(["status"]);
        let mut command = Command::new("sh");
        command.arg("-c").arg(with).arg(binary("farmhandd")).arg("--home").arg(self.home.path());
        for (name, value) in like.as_std().get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(self.work()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs `farmhand` with these words to its end.
    pub async fn run<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Said {
        said(self.farmhand(words)).await
    }

    /// The farm's process, where one runs.
    pub async fn farm_pid(&self) -> Option<u32> {
        let said = self.run(["status", "--json"]).await;
        said.json()["pid"].as_u64().and_then(|pid| pid.try_into().ok())
    }

    /// Ends the farm in order.
    pub async fn stop(&self) {
        self.run(["stop"]).await.expect(0);
    }

    /// Kills the farms of this folder (`kill -9`); how many there were.
    pub fn kill_farms(&self) -> usize {
        let farms =
            tagged(&self.home.tag()).into_iter().filter(|process| process.command.contains("farmhandd"));
        farms.filter(|farm| signal(farm.process.pid, Some(farm.process.start), Signal::KILL)).count()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.home.paths().log()).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- the farm said last:\n{}\n---", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        self.kill_farms();
    }
}

/// Sends a process a signal; with `start`, only if it is still that process.
fn signal(pid: u32, start: Option<u64>, signal: Signal) -> bool {
    let pid_ = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(held) = pid_.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { return false };
    if start.is_some() && farmhand_runtime::process_start(pid) != start {
        return false;
    }
    pidfd_send_signal(&held, signal).is_ok()
}

/// Runs a command to its end.
pub async fn said(mut command: Command) -> Said {
    let child = command.spawn().unwrap();
    or_hang("a command ends", child.wait_with_output()).await.unwrap().into()
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Said {
    /// It ended so.
    #[track_caller]
    pub fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// It said all of these to people.
    #[track_caller]
    pub fn mentions(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in: {}", self.stderr);
        }
        self
    }

    /// Its answer is one JSON document.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }

    /// Its answer is one JSON document a line, the last one the result.
    #[track_caller]
    #[must_use]
    pub fn json_lines(&self) -> Vec<Value> {
        let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let lines: Vec<Value> = self.stdout.lines().map(line).collect();
        assert_eq!(
            lines.last().map(|line| &line["event"]),
            Some(&Value::from("result")),
            "{}\n{}",
            self.stdout,
            self.stderr
        );
        lines
    }
}

/// A command that runs, its output in files that can be looked at meanwhile.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    /// Starts it.
    #[must_use]
    pub fn start(desk: &Desk, name: &str, mut command: Command) -> Self {
        let (out, err) = (desk.work().join(format!("{name}.out")), desk.work().join(format!("{name}.err")));
        let file = |path: &Path| fs::File::create(path).unwrap();
        command.stdout(file(&out)).stderr(file(&err));
        let child = command.spawn().unwrap();
        Self { child, out, err }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        pid.expect("it was not waited for")
    }

    /// Its answer so far.
    #[must_use]
    pub fn stdout(&self) -> Vec<u8> {
        fs::read(&self.out).unwrap()
    }

    /// What it has told people so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.err).unwrap()).into_owned()
    }

    /// Waits until its answer has these bytes.
    pub async fn prints(&mut self, text: &str) {
        let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let what = format!("a command prints {text:?}");
        let seen = until(&what, async || {
            let seen = has(&self.stdout());
            // It may have printed it and ended.
            let ended = !seen && self.child.try_wait().unwrap().is_some();
            (seen || ended).then(|| seen || has(&self.stdout()))
        })
        .await;
        assert!(seen, "it ended without {text:?}: {}\n{}", self.answer(), self.stderr());
    }

    fn answer(&self) -> String {
        String::from_utf8_lossy(&self.stdout()).into_owned()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Signals it alone.
    pub fn signal(&self, which: Signal) {
        assert!(signal(self.child.id().expect("it was not waited for"), None, which));
    }

    /// Signals it and all that it started and that did not leave its group, as a terminal does.
    pub fn signal_group(&self, which: Signal) {
        kill_process_group(self.pid(), which).unwrap();
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Said {
        let status = or_hang("a command ends", self.child.wait()).await.unwrap();
        Said { code: status.code(), stdout: self.answer(), stderr: self.stderr() }
    }
}

impl Deref for Desk {
    type Target = Home;

    fn deref(&self) -> &Home {
        &self.home
    }
}
