//! A third party agrees: Debian's `fastboot` and the simulated phone, over TCP and UDP. What it sends, in which order, is
//! written down in `expected/`, for our own host to be compared with.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod work;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command as Blocking, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use farmhand_sim::fastboot::{Fault, Mode, ServeOptions, SimPhone};
use tokio::process::Command;

use work::{WORK, sha256, write_files};

/// What the expectation was recorded with. Others may send other commands.
const VERSION: &str = "29.0.6";
const EXPECTED: &str = include_str!("expected/fastboot-29.0.6.txt");
/// It, and what it is linked with.
const PACKAGES: [&str; 8] = [
    "fastboot",
    "android-libbase",
    "android-libboringssl",
    "android-libcutils",
    "android-liblog",
    "android-libsparse",
    "android-libziparchive",
    "libusb-1.0-0",
];
/// One command of it: it waits for ever for what it does not find.
const DEADLINE: Duration = Duration::from_secs(120);

/// The program, and the folder of its libraries where it is not the system's.
#[derive(Debug, Clone)]
struct Client {
    program: PathBuf,
    libraries: Vec<PathBuf>,
}

impl Client {
    fn version(&self) -> Result<String, String> {
        let mut command = Blocking::new(&self.program);
        command.arg("--version").env("LD_LIBRARY_PATH", self.library_path());
        let said = command.output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&said.stdout);
        let word = text.split_whitespace().nth(2).unwrap_or_default().to_owned();
        if said.status.success() { Ok(word) } else { Err(String::from_utf8_lossy(&said.stderr).into_owned()) }
    }

    fn library_path(&self) -> std::ffi::OsString {
        std::env::join_paths(&self.libraries).unwrap()
    }

    fn is_the_one(&self) -> Result<(), String> {
        match self.version()? {
            version if version.starts_with(VERSION) => Ok(()),
            version => Err(format!("it is {version}")),
        }
    }
}

/// The one on the path, or Debian's package, unpacked beside what the tests build.
fn find() -> Result<Client, String> {
    let installed = Client { program: "fastboot".into(), libraries: vec![] };
    if installed.is_the_one().is_ok() {
        return Ok(installed);
    }
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-fastboot");
    if !cache.is_dir() {
        fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).map_err(|error| error.to_string())?;
        let staging = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).map_err(|error| error.to_string())?;
        unpack(staging.path())?;
        // Another test may have been first.
        if fs::rename(staging.path().join("root"), &cache).is_err() && !cache.is_dir() {
            return Err("it cannot be put in place".to_owned());
        }
    }
    let mut libraries = Vec::new();
    for folder in fs::read_dir(cache.join("usr/lib")).map_err(|error| error.to_string())? {
        let folder = folder.map_err(|error| error.to_string())?.path();
        libraries.extend([folder.join("android"), folder]);
    }
    let client = Client { program: cache.join("usr/lib/android-sdk/platform-tools/fastboot"), libraries };
    client.is_the_one().map(|()| client)
}

fn unpack(staging: &Path) -> Result<(), String> {
    let run = |command: &mut Blocking| {
        let ended = command.current_dir(staging).output().map_err(|error| error.to_string())?;
        let last = String::from_utf8_lossy(&ended.stderr).lines().last().unwrap_or_default().to_owned();
        if ended.status.success() { Ok(()) } else { Err(last) }
    };
    run(Blocking::new("apt-get").arg("download").args(PACKAGES))?;
    for entry in fs::read_dir(staging).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(Blocking::new("dpkg").arg("-x").arg(&path).arg("root"))?;
        }
    }
    Ok(())
}

fn client() -> Option<Client> {
    static FOUND: OnceLock<Result<Client, String>> = OnceLock::new();
    match FOUND.get_or_init(find) {
        Ok(client) => Some(client.clone()),
        Err(why) => {
            assert!(
                std::env::var_os("FARMHAND_TEST_MUST_NOT_SKIP").is_none_or(|value| value != "1"),
                "Debian's fastboot {VERSION} cannot be had: {why}"
            );
            let line = format!("skipped: Debian's fastboot {VERSION} cannot be had: {why}\n");
            std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
            None
        }
    }
}

/// A phone, and files to send it.
struct Desk {
    client: Client,
    phone: SimPhone,
    work: tempfile::TempDir,
    serial: String,
}

impl Desk {
    async fn new(client: Client, over: &str) -> Self {
        let loopback = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let options =
            ServeOptions { phone: work::phone(), tcp: loopback, udp: loopback, ..ServeOptions::default() };
        let phone = SimPhone::start(options, |_| ()).await.unwrap();
        let work = tempfile::tempdir().unwrap();
        write_files(work.path());
        let address = if over == "tcp" { phone.tcp() } else { phone.udp() };
        let serial = format!("{over}:{}", address.unwrap());
        Self { client, phone, work, serial }
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.work.path().join(name)).unwrap()
    }

    /// One command of theirs: whether it says that it went well, and all that it said.
    async fn runs(&self, arguments: &str) -> (bool, String) {
        let mut command = Command::new(&self.client.program);
        command.arg("-s").arg(&self.serial).args(arguments.split(' ')).current_dir(self.work.path());
        command.env("LD_LIBRARY_PATH", self.client.library_path()).stdin(Stdio::null()).kill_on_drop(true);
        let ended = tokio::time::timeout(DEADLINE, command.output());
        let ended = ended.await.unwrap_or_else(|_| panic!("fastboot {arguments} hangs")).unwrap();
        let said = [ended.stdout, ended.stderr].concat();
        (ended.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    async fn succeeds(&self, arguments: &str) -> String {
        let (well, said) = self.runs(arguments).await;
        assert!(well, "fastboot {arguments}: {said}");
        said
    }

    /// Commands that the phone heard since the one with this number, and the newest's number.
    async fn heard_since(&self, number: u64) -> (Vec<String>, u64) {
        let look = self.phone.handle().call(move |phone| {
            let new: Vec<_> = phone.asked().filter(|asked| asked.number > number).collect();
            let last = new.last().map_or(number, |asked| asked.number);
            (new.iter().map(|asked| asked.command.clone()).collect(), last)
        });
        look.await.unwrap()
    }

    async fn holds(&self, partition: &'static str, bytes: &[u8]) {
        let len = bytes.len() as u64;
        let look = self.phone.handle().call(move |phone| phone.partition_sha256(partition, Some(len)));
        assert_eq!(look.await.unwrap().unwrap().unwrap(), sha256(bytes), "{partition}");
    }

    /// It leaves when its answer is on its way, so the client may have ended before.
    async fn becomes(&self, mode: Mode) {
        let mut presence = self.phone.handle().presence();
        let there = tokio::time::timeout(DEADLINE, presence.wait_for(|now| now.mode == mode));
        there.await.unwrap_or_else(|_| panic!("it is never {mode}")).unwrap();
    }

    /// As often has its bootloader started.
    async fn becomes_boot(&self, boot: u64) {
        let mut presence = self.phone.handle().presence();
        let there = tokio::time::timeout(DEADLINE, presence.wait_for(|now| now.boot == boot));
        there.await.unwrap_or_else(|_| panic!("it is never boot {boot}")).unwrap();
    }

    async fn enter(&self, mode: Mode) {
        self.phone.handle().call(move |phone| phone.enter(mode)).await.unwrap();
    }
}

/// All of it: what is on the phone afterwards, and each command that it heard, as it is written down.
async fn all_of_it(over: &str) {
    let Some(client) = client() else { return };
    let desk = Desk::new(client, over).await;
    let mut heard = String::new();
    let mut number = 0;
    for (work, well) in WORK {
        let (went_well, said) = desk.runs(work).await;
        assert_eq!(went_well, well, "fastboot {work}: {said}");
        match work {
            _ if !well => assert!(said.contains("FAILED") || said.contains("does not exist"), "{said}"),
            "getvar product" => assert!(said.contains("product: farmhand-phone"), "{said}"),
            "getvar nothing" => assert!(said.contains("unknown variable"), "{said}"),
            "getvar all" => {
                for line in
                    ["max-download-size:0x100000", "partition-size:misc:0x100000", "has-slot:boot:yes"]
                {
                    assert!(said.contains(&format!("(bootloader) {line}\n")), "{line}: {said}");
                }
            }
            "flash misc small.img" => desk.holds("misc", &desk.file("small.img")).await,
            "flash boot boot.img" => desk.holds("boot_a", &desk.file("boot.img")).await,
            "flash userdata large.img" => {
                assert!(said.contains("Sending sparse 'userdata' 1/"), "{said}");
                desk.holds("userdata", &desk.file("large.img")).await;
            }
            "-S 300K flash userdata large.img" => desk.holds("userdata", &desk.file("large.img")).await,
            "erase misc" => desk.holds("misc", &[0; 1 << 20]).await,
            "erase boot" => desk.holds("boot_a", &[0; 1 << 20]).await,
            "oem device-info" => assert!(said.contains("(bootloader) serial farmhand-sim\n"), "{said}"),
            "get_staged staged.img" => assert_eq!(desk.file("staged.img"), desk.file("small.img")),
            "reboot-bootloader" => desk.becomes_boot(2).await,
            "flashing get_unlock_ability" => assert!(said.contains("get_unlock_ability: 1"), "{said}"),
            "boot boot.img" => {
                desk.becomes(Mode::Booted).await;
                desk.enter(Mode::Loader).await;
            }
            "reboot fastboot" => desk.becomes(Mode::Userspace).await,
            "flash system small.img" => desk.holds("system_b", &desk.file("small.img")).await,
            "reboot" => desk.becomes(Mode::System).await,
            _ => {}
        }
        let (new, last) = desk.heard_since(number).await;
        number = last;
        heard.push_str(&format!("$ fastboot {work}\n"));
        new.iter().for_each(|command| heard.push_str(&format!("{command}\n")));
    }
    let counters = desk.phone.handle().call(|phone| phone.counters()).await.unwrap();
    assert_eq!((counters.boots, counters.boot_commands, counters.loader_starts), (1, 2, 3));
    assert_eq!(counters.out_of_turn, 0);
    let expected: String =
        EXPECTED.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    assert_eq!(heard, expected, "what was heard over {over}:\n{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp() {
    all_of_it("tcp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_udp() {
    all_of_it("udp").await;
}

/// A kernel that is no boot image is made one by the client, and the phone takes that for one.
#[tokio::test(flavor = "multi_thread")]
async fn what_it_makes_of_a_kernel_is_bootable() {
    let Some(client) = client() else { return };
    let desk = Desk::new(client, "tcp").await;
    desk.succeeds("boot small.img").await;
    desk.becomes(Mode::Booted).await;
}

/// One in ten datagrams comes to harm, and what is flashed is whole.
#[tokio::test(flavor = "multi_thread")]
async fn over_a_bad_line() {
    let Some(client) = client() else { return };
    let desk = Desk::new(client, "udp").await;
    let fault =
        |phone: &mut farmhand_sim::fastboot::Phone| phone.fault("datagrams 40 30 30 11".parse().unwrap());
    desk.phone.handle().call(fault).await.unwrap();
    desk.succeeds("flash misc small.img").await;
    desk.holds("misc", &desk.file("small.img")).await;
    let counters = desk.phone.handle().call(|phone| phone.counters()).await.unwrap();
    assert_eq!((counters.downloads, counters.flashes, counters.out_of_turn), (1, 1, 0));
}

/// What this client does not understand: TEXT (its version is older than that), and what no specification knows.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_seen() {
    let Some(client) = client() else { return };
    let desk = Desk::new(client, "tcp").await;
    let (well, said) = desk.runs("oem log").await;
    assert!(!well && said.contains("unknown status code"), "{said}");
    // Where DATA says more than was asked for, and where the connection is cut, it waits for ever: not for this test.
    for fault in ["nonsense unknown-tag flash", "fail flash no such luck", "data-length -4"] {
        let fault: Fault = fault.parse().unwrap();
        desk.phone.handle().call(move |phone| phone.fault(fault)).await.unwrap();
        let (well, said) = desk.runs("flash misc small.img").await;
        assert!(!well && said.contains("FAILED"), "{said}");
    }
    // And then all is well again.
    desk.succeeds("flash misc small.img").await;
    desk.holds("misc", &desk.file("small.img")).await;
}
