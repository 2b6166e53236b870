//! One guest, from its start to its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use farmhand_runtime::Helper;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::time::timeout;

use super::guest::{Guest, base64, tail};
use super::initrd::initrd;
use super::parts::{MissingParts, Parts};
use super::qmp::Qmp;
use crate::desk::Said;
use crate::wait::until;

/// Set to 1 where a test that cannot run must fail: in CI.
pub const MUST_NOT_SKIP: &str = "FARMHAND_TEST_MUST_NOT_SKIP";
/// Sockets into which a simulated device can be plugged.
pub const SLOTS: u8 = 4;
/// Ports of the guest's controller at each speed: the slots', and as many for QEMU's own devices.
const PORTS: u8 = 2 * SLOTS;
/// A guest is up within 7 s on an idle machine.
const BOOT: Duration = Duration::from_secs(180);
/// How much of a console is shown when something fails, in lines.
const TAIL_LINES: usize = 60;
/// In MiB: the file system is in memory, twice while the kernel unpacks it.
const MEMORY_MIB: u32 = 1024;

/// A guest that is up. Dropped, it ends at once.
#[derive(Debug)]
pub struct Bench {
    guest: Guest,
    qmp: Qmp,
    qemu: Helper,
    folder: TempDir,
}

impl Bench {
    /// Starts one; `None`, and one line, where this machine has not what it takes.
    pub async fn boot() -> Option<Self> {
        match Self::try_boot().await {
            Ok(bench) => Some(bench),
            Err(missing) if std::env::var_os(MUST_NOT_SKIP).is_some_and(|set| set == "1") => {
                panic!("the USB bench needs {missing}")
            }
            Err(missing) => {
                eprintln!("skipped: the USB bench needs {missing}");
                None
            }
        }
    }

    /// Starts one. A guest that does not come up is a panic, with its console.
    pub async fn try_boot() -> Result<Self, MissingParts> {
        Self::try_boot_with(&[]).await
    }

    /// So, with more programs of this machine's in the guest's `/bin`.
    pub async fn try_boot_with(programs: &[&Path]) -> Result<Self, MissingParts> {
        let parts = Parts::get().await?;
        let folder = tempfile::Builder::new().prefix("farmhand-bench-").tempdir().unwrap();
        let archive = initrd(&parts, folder.path(), programs)?;
        fs::write(folder.path().join("initrd"), archive).unwrap();
        let mut qemu = Helper::start(command(&parts, folder.path())).await.unwrap();
        let path = folder.path().join("agent");
        // It waits for us before it starts the machine.
        let socket = until("QEMU listens", async || match UnixStream::connect(&path).await {
            Ok(socket) => Some(Ok(socket)),
            Err(_) => qemu.child().try_wait().unwrap().map(Err),
        });
        let socket = match socket.await {
            Ok(socket) => socket,
            Err(ended) => {
                panic!("QEMU ended at its start ({ended}): {}", tail(&folder.path().join("qemu"), TAIL_LINES))
            }
        };
        let guest = match timeout(BOOT, Guest::ready(socket)).await {
            Ok(Some(guest)) => guest,
            outcome => panic!(
                "the guest {}; its console:\n{}\nQEMU: {}",
                if outcome.is_err() { "does not come up" } else { "ended before it was up" },
                tail(&folder.path().join("console"), TAIL_LINES),
                tail(&folder.path().join("qemu"), TAIL_LINES)
            ),
        };
        let qmp = Qmp::connect(&folder.path().join("qmp")).await.unwrap();
        Ok(Self { guest, qmp, qemu, folder })
    }

    /// Runs a line of shell in the guest to its end. What it leaves running in the background has its output in files.
    pub async fn run(&mut self, command: &str) -> Said {
        match self.guest.run(command).await {
            Ok(said) => said,
            Err(error) => panic!("{error}, to {command:?}; its console:\n{}", self.console()),
        }
    }

    /// Starts a program in the guest, and leaves it running; what it says is in `/tmp/NAME.out` and `/tmp/NAME.err`.
    pub async fn start(&mut self, command: &str, name: &str) {
        let line = format!("setsid {command} < /dev/null > /tmp/{name}.out 2> /tmp/{name}.err &");
        self.run(&line).await.expect(0);
    }

    /// Writes a file in the guest.
    pub async fn put(&mut self, path: &str, content: &[u8]) {
        let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
        let command = format!("mkdir -p {folder} && echo {} | base64 -d > {path}", base64(content));
        self.run(&command).await.expect(0);
    }

    /// Runs a line of shell again and again until its answer is what is waited for.
    pub async fn until<T>(&mut self, what: &str, command: &str, mut is: impl FnMut(&Said) -> Option<T>) -> T {
        let mut last = None;
        let end = tokio::time::Instant::now() + crate::wait::LONG;
        loop {
            let said = self.run(command).await;
            if let Some(seen) = is(&said) {
                return seen;
            }
            last = Some(said).or(last);
            assert!(
                tokio::time::Instant::now() < end,
                "waited for this: {what}; last: {last:?}\n{}",
                self.console()
            );
        }
    }

    /// Where a simulated device is plugged in: slot 0 to [`SLOTS`] - 1, the guest's port one higher.
    #[must_use]
    pub fn slot(&self, number: u8) -> PathBuf {
        assert!(number < SLOTS, "there are {SLOTS} slots");
        self.folder.path().join(format!("slot{number}"))
    }

    /// QEMU's monitor.
    pub fn qmp(&mut self) -> &mut Qmp {
        &mut self.qmp
    }

    /// The folder of its sockets.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The last lines of the guest's console.
    #[must_use]
    pub fn console(&self) -> String {
        let tail = |name: &str| tail(&self.folder.path().join(name), TAIL_LINES);
        format!("{}\n--- QEMU: {}", tail("console"), tail("qemu"))
    }

    /// QEMU's process.
    pub fn pid(&mut self) -> Option<u32> {
        self.qemu.child().id()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the guest's console:\n{}\n---", self.console());
        }
    }
}

fn command(parts: &Parts, folder: &Path) -> Command {
    let words = fs::File::create(folder.join("qemu")).unwrap();
    let at = |name: &str| folder.join(name).display().to_string();
    let mut command = Command::new(&parts.qemu);
    command.envs(&parts.environment).stdin(Stdio::null()).stdout(words.try_clone().unwrap()).stderr(words);
    for firmware in &parts.firmware {
        command.arg("-L").arg(firmware);
    }
    // sled reads the time stamp counter so (metrics.rs); every x86-64 of the last fifteen years can.
    command.args(["-cpu", "qemu64,+rdtscp"]);
    command.args(["-accel", "tcg", "-M", "q35", "-smp", "2", "-m", &MEMORY_MIB.to_string()]);
    command.args([
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
        "-name",
        "farmhand-bench",
    ]);
    command.arg("-kernel").arg(&parts.kernel).args(["-initrd", &at("initrd")]);
    command.args(["-append", "console=ttyS0 quiet panic=-1 rdinit=/init"]);
    command.args([
        "-chardev",
        &format!("file,id=console,path={}", at("console")),
        "-serial",
        "chardev:console",
    ]);
    command.args(["-qmp", &format!("unix:{},server=on,wait=off", at("qmp"))]);
    command.args(["-device", "virtio-serial-pci"]);
    command.args(["-chardev", &format!("socket,id=agent,path={},server=on,wait=on", at("agent"))]);
    command.args(["-device", "virtserialport,chardev=agent,name=farmhand.bench"]);
    command.args(["-device", &format!("qemu-xhci,id=xhci,p2={PORTS},p3={PORTS}")]);
    for slot in 0..SLOTS {
        let socket = at(&format!("slot{slot}"));
        command.args(["-chardev", &format!("socket,id=slot{slot},path={socket},server=on,wait=off")]);
        let port = slot + 1;
        command.args([
            "-device",
            &format!("usb-redir,id=redir{slot},chardev=slot{slot},bus=xhci.0,port={port}"),
        ]);
    }
    command
}
