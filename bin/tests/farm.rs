//! The two programs together: who starts a farm, who finds it, who leaves, and what a kill changes. No board is needed.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Long for a loaded machine; only a test that fails waits for it.
const SOON: Duration = Duration::from_secs(60);

struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).env("FARMHAND_HOME", self.path());
        command.env("XDG_CONFIG_HOME", self.folder.path());
        for unset in ["CI", "FARMHAND_HOST", "FARMHAND_LOG"] {
            command.env_remove(unset);
        }
        command
    }

    fn farmhand(&self, args: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_farmhand")).args(args).output().unwrap()
    }

    fn farmhandd(&self, args: &[&str]) -> Child {
        let mut command = self.command(env!("CARGO_BIN_EXE_farmhandd"));
        command.args(args).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn status(&self) -> serde_json::Value {
        let output = self.farmhand(&["status", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The farm's process, once it listens.
    fn pid(&self) -> i32 {
        let pid = until(|| self.status()["pid"].as_i64());
        i32::try_from(pid).unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _none_runs = self.farmhand(&["stop", "--drain", "0s"]);
    }
}

/// What `look` finds, as soon as it finds it.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "it did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ended(child: &mut Child) -> Option<i32> {
    until(|| child.try_wait().unwrap()).code()
}

fn signal(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn commands_at_once_in_a_fresh_home_find_one_farm() {
    let home = Home::new();
    let all: Vec<_> = (0..4)
        .map(|_| {
            let mut command = home.command(env!("CARGO_BIN_EXE_farmhand"));
            command
                .args(["sessions", "--json"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in all {
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "[]\n".into()), "{output:?}");
    }
    let pid = home.pid();
    home.farmhand(&["devices"]);
    assert_eq!(home.pid(), pid, "the farm is found again");
    let mode = std::fs::metadata(home.path().join("socket")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_second_farm_names_the_first() {
    let home = Home::new();
    let mut first = home.farmhandd(&[]);
    let pid = home.pid();
    assert_eq!(u32::try_from(pid).unwrap(), first.id());
    let second = home.farmhandd(&[]).wait_with_output().unwrap();
    assert_eq!(second.status.code(), Some(6));
    let said = text(&second.stderr);
    assert!(said.contains(&format!("is held by farmhandd (pid {pid})")), "{said}");
    let check = home.farmhand(&["store", "check"]);
    assert_eq!(check.status.code(), Some(6), "{check:?}");
    assert!(text(&check.stderr).contains(&format!("(pid {pid})")));

    signal(pid, rustix::process::Signal::TERM);
    assert_eq!(ended(&mut first), Some(0), "a graceful end");
    assert!(!home.path().join("socket").exists());
    assert_eq!(home.farmhand(&["store", "check"]).status.code(), Some(0));
}

#[test]
fn a_farm_that_was_killed_is_followed_by_another() {
    let home = Home::new();
    home.farmhand(&["devices"]);
    let first = home.pid();
    signal(first, rustix::process::Signal::KILL);
    // Its socket is still there, and nobody listens.
    let output = home.farmhand(&["sessions", "--all", "--json"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "[]\n".into()), "{output:?}");
    assert_ne!(home.pid(), first);
}

#[test]
fn a_farm_on_demand_leaves_when_nobody_needs_it() {
    let home = Home::new();
    let mut farm = home.farmhandd(&["--on-demand", "--idle", "50ms"]);
    assert_eq!(ended(&mut farm), Some(0));
    assert_eq!(home.status()["running"], false);
}

#[test]
fn within_a_command_it_ends_with_the_command() {
    let home = Home::new();
    let output =
        home.command(env!("CARGO_BIN_EXE_farmhand")).env("CI", "1").args(["sessions"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(home.status()["running"], false);
    assert!(!home.path().join("farmhandd.log").exists(), "no process of its own was started");
}

#[test]
fn stop_ends_it_and_says_when_there_is_none() {
    let home = Home::new();
    home.farmhand(&["devices"]);
    let pid = home.pid();
    assert_eq!(text(&home.farmhand(&["stop"]).stdout), "stopped\n");
    until(|| (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
    assert_eq!(text(&home.farmhand(&["stop"]).stdout), "no farm runs\n");
}

#[test]
fn a_farm_file_that_is_wrong_is_told_with_its_place() {
    let home = Home::new();
    std::fs::create_dir(home.path()).unwrap();
    std::fs::write(home.path().join("farm.toml"), "[[device]]\nname = 'u'\nbord = 'x'\n").unwrap();
    let output = home.farmhand(&["devices"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("farm.toml:3:1") && said.contains("did you mean board?"), "{said}");
}

#[test]
fn a_farm_on_another_machine_is_asked_through_ssh() {
    let home = Home::new();
    let bin = home.folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    // Stands for ssh and the other machine's shell: what comes behind the destination is run.
    let script =
        "#!/bin/sh\necho \"$@\" >>ssh.log\nwhile [ \"$1\" != -- ]; do shift; done\nshift 2\nexec \"$@\"\n";
    std::fs::write(bin.join("ssh"), script).unwrap();
    std::fs::set_permissions(bin.join("ssh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_farmhand"), bin.join("farmhand")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let remote = |args: &[&str]| {
        let mut command = home.command(env!("CARGO_BIN_EXE_farmhand"));
        command.env("PATH", &path).env("FARMHAND_HOST", "ssh://me@lab:2222").args(args).output().unwrap()
    };
    let output = remote(&["status", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["pid"].as_i64(), Some(i64::from(home.pid())), "the farm over there is the one here");
    let asked = std::fs::read_to_string(home.folder.path().join("ssh.log")).unwrap();
    assert_eq!(asked, "-T -p 2222 -- me@lab farmhand stdio\n");

    std::fs::write(bin.join("ssh"), "#!/bin/sh\necho Permission denied >&2\nexit 255\n").unwrap();
    let output = remote(&["status"]);
    assert_eq!(output.status.code(), Some(8), "{output:?}");
    assert!(text(&output.stderr).contains("Permission denied"), "{output:?}");
}

#[test]
fn failpoints_are_listed() {
    let output = Home::new().command(env!("CARGO_BIN_EXE_farmhandd")).arg("--failpoints").output().unwrap();
    let names: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    assert!(names.contains(&"intent-after-persist".to_owned()), "{names:?}");
    assert_eq!(names.len(), farmhand::Failpoint::ALL.len());
}
