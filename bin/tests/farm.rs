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

/// Root may write anywhere, and becomes somebody else for it.
#[test]
fn a_project_that_is_read_only_is_built_with_the_farm_and_that_is_said_once() {
    use std::os::unix::process::CommandExt as _;
    const NOBODY: u32 = 65_534;
    let place = tempfile::tempdir().unwrap();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(place.path(), 0o755);
    let (project, home) = (place.path().join("project"), place.path().join("home"));
    std::fs::create_dir(&project).unwrap();
    std::fs::create_dir(&home).unwrap();
    let program = place.path().join("farmhand");
    std::fs::copy(env!("CARGO_BIN_EXE_farmhand"), &program).unwrap();
    std::fs::write(project.join("in.hex"), ":0400000001020304F2\n:00000001FF\n").unwrap();
    let out = home.join("out.hex").display().to_string();
    let settings = format!(
        "board = 'arduino:avr:uno'\n[build]\ncommand = 'cp in.hex {out}'\nartifact = '{out}'\ninputs = '*.hex'\n"
    );
    std::fs::write(project.join("farmhand.toml"), settings).unwrap();
    mode(&home, 0o777);
    mode(&project, 0o555);
    let build = || {
        let mut command = Command::new(&program);
        command.args(["build", "--home"]).arg(&home).current_dir(&project);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", place.path());
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        text(&output.stderr)
    };
    let first = build();
    let notes = first.lines().filter(|line| line.contains("is read only")).count();
    assert_eq!(notes, 1, "{first}");
    assert!(first.contains(&home.join("builds").display().to_string()), "{first}");
    let second = build();
    assert!(second.contains("unchanged") && !second.contains("read only"), "{second}");
    mode(&project, 0o755);
    std::fs::write(project.join("in.hex"), ":0400000001020305F1\n:00000001FF\n").unwrap();
    mode(&project, 0o555);
    let third = build();
    assert!(!third.contains("unchanged") && !third.contains("read only"), "{third}");
    mode(&project, 0o755);
}

#[test]
fn what_is_answered_to_machines_is_all_that_is_on_stdout() {
    let home = Home::new();
    let folder = home.folder.path();
    std::fs::write(folder.join("in.hex"), ":0400000001020304F2\n:00000001FF\n").unwrap();
    let settings = "board = 'arduino:avr:uno'\n[build]\ncommand = 'echo making; cp in.hex out.hex'\nartifact = 'out.hex'\n";
    std::fs::write(folder.join("farmhand.toml"), settings).unwrap();
    let one = home.farmhand(&["build", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&one.stdout).unwrap();
    assert_eq!((&answer["ok"], &answer["image_bytes"]), (&true.into(), &4.into()), "{one:?}");
    assert!(text(&one.stderr).contains("making"), "{one:?}");
    let events = home.farmhand(&["build", "--message-format", "json"]);
    let lines: Vec<serde_json::Value> =
        text(&events.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["build.diagnostic", "build.done", "result"]);
    assert_eq!(text(&events.stderr), "");
    std::fs::write(folder.join("in.hex"), "no program").unwrap();
    let wrong = home.farmhand(&["build"]);
    assert_eq!(wrong.status.code(), Some(7));
    assert!(text(&wrong.stderr).contains("an ELF or an Intel HEX file"), "{wrong:?}");
}

#[test]
fn a_session_that_there_is_not_is_said() {
    let home = Home::new();
    let none = home.farmhand(&["logs", "s-9"]);
    assert_eq!(none.status.code(), Some(2), "{none:?}");
    assert!(text(&none.stderr).contains("there is no session s-9"), "{none:?}");
}

#[test]
fn failpoints_are_listed() {
    let output = Home::new().command(env!("CARGO_BIN_EXE_farmhandd")).arg("--failpoints").output().unwrap();
    let names: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    assert!(names.contains(&"intent-after-persist".to_owned()), "{names:?}");
    assert_eq!(names.len(), farmhand::Failpoint::ALL.len());
}

/// What lies beside it may be of another make: an older one would not understand it.
#[test]
fn a_farm_on_demand_is_of_the_same_make_as_who_asks_it() {
    let home = Home::new();
    let beside = home.folder.path().join("bin");
    std::fs::create_dir(&beside).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_farmhand"), beside.join("farmhand")).unwrap();
    std::os::unix::fs::symlink("/bin/false", beside.join("farmhandd")).unwrap();
    let output = home.command(beside.join("farmhand").to_str().unwrap()).args(["devices"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(home.pid() > 0);
}
