//! An emulated machine: a real QEMU, a real program in it, a real terminal.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

#[path = "machine/between.rs"]
mod between;
#[path = "machine/guest.rs"]
mod guest;
#[path = "machine/guest_damage.rs"]
mod guest_damage;
#[path = "machine/guest_middle.rs"]
mod guest_middle;
#[path = "machine/owner.rs"]
mod owner;
#[path = "machine/shelf.rs"]
mod shelf;
#[path = "machine/snapshot_hazards.rs"]
mod snapshot_hazards;
#[path = "machine/snapshot_points.rs"]
mod snapshot_points;
#[path = "machine/snapshots.rs"]
mod snapshots;

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use farmhand_machine::{
    Emulator, Ended, Kind, Loaded, Machine, MachineError, MonitorError, News, Now, Program,
};
use farmhand_tests::{Home, echo_program, or_hang, package};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

/// What every program here says first.
const GREETING: &str = "here I am\n";

struct Bench {
    home: Home,
    kind: &'static Kind,
    emulator: Emulator,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self::of(kind()).await
    }

    async fn of(kind: &'static Kind) -> Self {
        let home = Home::ready();
        let package = package(&home, kind.package).await;
        let program = package.prefix.join("usr/bin").join(kind.program);
        let firmware =
            ["qemu", "seabios"].map(|folder| package.prefix.join("usr/share").join(folder)).to_vec();
        let emulator = Emulator { program, environment: package.environment, firmware };
        Self { home, kind, emulator, folder: tempfile::tempdir().unwrap() }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    async fn load(&self) -> Loaded {
        let image = echo_program(self.home.path(), GREETING);
        let program = Program::elf(kind(), image, "a-test".into());
        or_hang("a machine is loaded", Machine::load(self.folder(), &self.emulator, &program)).await.unwrap()
    }

    async fn adopt(&self) -> Option<Loaded> {
        or_hang("a machine is adopted", Machine::adopt(self.folder())).await.unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        end_machine(self.folder());
    }
}

/// A machine outlives whoever started it, a test that failed among them.
fn end_machine(folder: &Path) {
    if let Some(process) = farmhand_runtime::find_process(&folder.join("qemu.pid")) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(process.pid).unwrap()).unwrap();
        let _ended_meanwhile = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

fn kind() -> &'static Kind {
    Kind::named("riscv32-virt").unwrap()
}

/// The console, raw, as the recorder would have it.
async fn console(machine: &Machine) -> File {
    let flags = i32::try_from(rustix::fs::OFlags::NOCTTY.bits()).unwrap();
    let file =
        std::fs::File::options().read(true).write(true).custom_flags(flags).open(machine.console()).unwrap();
    let mut mode = rustix::termios::tcgetattr(&file).unwrap();
    mode.make_raw();
    rustix::termios::tcsetattr(&file, rustix::termios::OptionalActions::Now, &mode).unwrap();
    File::from_std(file)
}

async fn says(console: &mut File, text: &str) {
    let mut said = vec![0; text.len()];
    or_hang("it says something", console.read_exact(&mut said)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&said), text);
}

async fn ended(news: &mut mpsc::Receiver<News>) -> Ended {
    loop {
        match or_hang("it tells of its end", news.recv()).await {
            Some(News::Event(event)) => {
                if let Some(ended) = Ended::of(&event) {
                    return ended;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn over(news: &mut mpsc::Receiver<News>) {
    loop {
        match or_hang("its end is told", news.recv()).await {
            Some(News::Over(_)) => return,
            Some(News::Event(_)) => {}
            None => panic!("it ended without a word"),
        }
    }
}

#[tokio::test]
async fn held_until_it_is_sent_on_its_way_and_says_so_to_whoever_asks() {
    let bench = Bench::new().await;
    let Loaded { machine, news } = bench.load().await;
    assert_eq!(machine.now().await, Ok(Now::Held));
    let process = machine.process();
    assert!(process.is_alive());
    // The farm dies before the handoff: its successor learns that nothing was issued.
    drop((machine, news));
    let Loaded { machine, news } = bench.adopt().await.unwrap();
    assert_eq!((machine.process(), machine.now().await), (process, Ok(Now::Held)));
    let mut line = console(&machine).await;
    machine.go().await.unwrap();
    says(&mut line, GREETING).await;
    line.write_all(b"ping").await.unwrap();
    says(&mut line, "ping").await;
    // And after it: that it was.
    drop((machine, news));
    let Loaded { machine, .. } = bench.adopt().await.unwrap();
    assert_eq!(machine.now().await, Ok(Now::Runs));
    machine.quit().await.unwrap();
    assert!(!process.is_alive());
    assert!(bench.adopt().await.is_none());
}

#[tokio::test]
async fn a_guest_that_resets_or_powers_off_is_stopped_until_its_owner_lets_it_go_on() {
    let bench = Bench::new().await;
    let Loaded { machine, mut news } = bench.load().await;
    let mut line = console(&machine).await;
    machine.go().await.unwrap();
    says(&mut line, GREETING).await;
    line.write_all(b"r").await.unwrap();
    assert_eq!(ended(&mut news).await, Ended::Reset);
    // Nobody looks: it does not go on by itself.
    drop((machine, news));
    let Loaded { machine, mut news } = bench.adopt().await.unwrap();
    assert!(matches!(machine.now().await, Ok(Now::Stopped(_))), "{:?}", machine.now().await);
    machine.reset(bench.kind).await.unwrap();
    says(&mut line, GREETING).await;
    // This machine's switch ends QEMU (7.2) at once.
    line.write_all(b"o").await.unwrap();
    over(&mut news).await;
    assert!(bench.adopt().await.is_none());
}

#[tokio::test]
async fn what_is_loaded_replaces_what_ran_and_there_are_never_two() {
    let bench = Bench::new().await;
    let first = bench.load().await;
    first.machine.go().await.unwrap();
    let second = bench.load().await;
    assert!(!first.machine.process().is_alive());
    assert_eq!(second.machine.now().await, Ok(Now::Held));
    let error = first.machine.go().await.unwrap_err();
    assert!(matches!(error, MonitorError::Gone(_)), "{error}");
    // Wedged: it is stopped by the system, and answers nobody.
    let process = second.machine.process();
    let pid = rustix::process::Pid::from_raw(i32::try_from(process.pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let third = bench.load().await;
    assert!(!process.is_alive() && third.machine.process().is_alive());
    third.machine.quit().await.unwrap();
}

#[tokio::test]
async fn one_that_is_killed_is_told_of_and_leaves_nothing_to_adopt() {
    let bench = Bench::new().await;
    let Loaded { machine, mut news } = bench.load().await;
    machine.go().await.unwrap();
    farmhand_runtime::end_process(machine.process(), Duration::from_secs(60)).await.unwrap();
    over(&mut news).await;
    assert!(matches!(machine.now().await, Err(MachineError::Monitor(MonitorError::Gone(_)))));
    assert!(bench.adopt().await.is_none());
}

#[tokio::test]
async fn what_qemu_does_not_take_is_said_in_its_words() {
    let bench = Bench::new().await;
    let image = bench.folder().join("nowhere.elf");
    let program = Program::elf(kind(), image, "a-test".into());
    let error = Machine::load(bench.folder(), &bench.emulator, &program).await.unwrap_err();
    assert!(matches!(&error, MachineError::Start { why, .. } if why.contains("nowhere.elf")), "{error}");
    let image = echo_program(bench.home.path(), GREETING);
    let program = Program::elf(kind(), image, "a-test,nonsense=on".into());
    let error = Machine::load(bench.folder(), &bench.emulator, &program).await.unwrap_err();
    assert!(matches!(&error, MachineError::Start { why, .. } if why.contains("nonsense")), "{error}");
    let emulator = Emulator { program: "/nowhere/qemu".into(), ..bench.emulator.clone() };
    let error = Machine::load(bench.folder(), &emulator, &program).await.unwrap_err();
    assert!(matches!(&error, MachineError::Start { why, .. } if why.contains("/nowhere/qemu")), "{error}");
    let deep = bench.folder().join("d".repeat(200));
    let error = Machine::load(&deep, &bench.emulator, &program).await.unwrap_err();
    assert!(matches!(error, MachineError::Path { .. }), "{error}");
    assert!(bench.adopt().await.is_none());
}
