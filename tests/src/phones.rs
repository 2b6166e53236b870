//! Simulated phones in their bootloaders. They belong to the test, outlive every farm of it, and count what reached them.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use farmhand_api::{
    BootSource, Build, DeviceSelect, Goal, Job, Leave, OnGap, PartitionStep, Source, Toolchain,
};
use farmhand_records::DeviceName;
use farmhand_sim::fastboot::{Asked, Counters, Fault, Mode, Phone, PhoneOptions, ServeOptions, SimPhone};
use sha2::{Digest, Sha256};

use crate::dice::Dice;
use crate::wait::until;

/// The board of a phone of which no profile says more.
pub const PHONE: &str = "fastboot";
/// Of the boot images that are made here, in bytes.
const PAGE: usize = 2048;
/// Longer than any observation here takes.
const TIMEOUT_MS: u64 = 100_000;
/// Any port that is free.
const ANYWHERE: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// How a phone is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Over {
    /// Over TCP.
    Tcp,
    /// Over UDP.
    Udp,
}

/// A phone that has come back into its bootloader listens a moment later: until then.
pub async fn listens(phone: &SimPhone) {
    let Some(at) = phone.tcp() else { return };
    until("the phone listens", async || tokio::net::TcpStream::connect(at).await.ok()).await;
}

/// A phone that has left its bootloader takes a last host until it has noticed: until then.
async fn refuses(phone: &SimPhone) {
    let Some(at) = phone.tcp() else { return };
    until("the phone refuses", async || tokio::net::TcpStream::connect(at).await.err()).await;
}

/// A phone, with what reached it.
#[derive(Debug)]
pub struct TestPhone {
    name: String,
    over: Over,
    phone: SimPhone,
}

impl TestPhone {
    /// Sets one up within the current runtime, in its bootloader.
    pub async fn start(name: &str, over: Over, options: PhoneOptions) -> Self {
        let at = Some(SocketAddr::from(ANYWHERE));
        let (tcp, udp) = match over {
            Over::Tcp => (at, None),
            Over::Udp => (None, at),
        };
        Self::at((name, over), (tcp, udp), options).await
    }

    /// One that is reached over both; as it is called here, over TCP.
    pub async fn on_both(name: &str, options: PhoneOptions) -> Self {
        let at = Some(SocketAddr::from(ANYWHERE));
        Self::at((name, Over::Tcp), (at, at), options).await
    }

    async fn at(
        (name, over): (&str, Over),
        (tcp, udp): (Option<SocketAddr>, Option<SocketAddr>),
        options: PhoneOptions,
    ) -> Self {
        let options = ServeOptions { phone: options, tcp, udp, ..ServeOptions::default() };
        let phone = SimPhone::start(options, |_: &str| ()).await.unwrap();
        Self { name: name.to_owned(), over, phone }
    }

    /// Unplugs it, and puts another one at its place.
    pub async fn replaced(self, options: PhoneOptions) -> Self {
        let Self { name, over, phone } = self;
        let (tcp, udp) = (phone.tcp(), phone.udp());
        drop(phone);
        let start = async || {
            let options = ServeOptions { phone: options.clone(), tcp, udp, ..ServeOptions::default() };
            SimPhone::start(options, |_: &str| ()).await.ok()
        };
        let phone = until("its place is free", start).await;
        Self { name, over, phone }
    }

    /// Where it is, as it is said on the command line.
    #[must_use]
    pub fn place(&self) -> String {
        match (self.phone.tcp(), self.phone.udp()) {
            (Some(at), _) => format!("tcp:{at}"),
            (None, Some(at)) => format!("udp:{at}"),
            (None, None) => unreachable!("it listens there"),
        }
    }

    /// Its name in the farm.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is reached.
    #[must_use]
    pub fn over(&self) -> Over {
        self.over
    }

    /// Its `[[device]]`, as any phone. `more`: further lines, such as what is allowed.
    #[must_use]
    pub fn entry(&self, more: &str) -> String {
        self.entry_as(PHONE, "", more)
    }

    /// Its `[[device]]`, as a device of `board`, told by `matching` too.
    #[must_use]
    pub fn entry_as(&self, board: &str, matching: &str, more: &str) -> String {
        self.entry_over(self.over, &self.name, (board, matching), more)
    }

    /// The `[[device]]` of one of its addresses, by that name.
    #[must_use]
    pub fn entry_over(&self, over: Over, name: &str, (board, matching): (&str, &str), more: &str) -> String {
        let (kind, at) = match over {
            Over::Tcp => ("tcp", self.phone.tcp()),
            Over::Udp => ("udp", self.phone.udp()),
        };
        let at = at.expect("it listens there");
        let mut entry =
            format!("[[device]]\nname = \"{name}\"\nboard = \"{board}\"\ndriver = \"fastboot\"\n");
        let written = writeln!(entry, "match = {{ {kind} = \"{at}\"{matching} }}\n{more}");
        written.expect("text takes all");
        entry
    }

    /// Looks at it, or changes it, between two packets.
    pub async fn look<R: Send + 'static>(&self, look: impl FnOnce(&mut Phone) -> R + Send + 'static) -> R {
        self.phone.handle().call(look).await.unwrap()
    }

    /// What it has counted.
    pub async fn counters(&self) -> Counters {
        self.look(|phone| phone.counters()).await
    }

    /// What it was asked, the oldest first.
    pub async fn asked(&self) -> Vec<Asked> {
        self.look(|phone| phone.asked().cloned().collect()).await
    }

    /// How often it was asked what begins so.
    pub async fn times(&self, command: &str) -> usize {
        self.asked().await.iter().filter(|asked| asked.command.starts_with(command)).count()
    }

    /// Has it do something wrong.
    pub async fn fault(&self, text: &str) {
        let fault: Fault = text.parse().unwrap();
        self.look(move |phone| phone.fault(fault)).await;
    }

    /// As with its keys.
    pub async fn enter(&self, mode: Mode) {
        self.look(move |phone| phone.enter(mode)).await;
        if matches!(mode, Mode::Loader | Mode::Userspace) {
            listens(&self.phone).await;
        } else {
            refuses(&self.phone).await;
        }
    }

    /// What it is at.
    pub async fn mode(&self) -> Mode {
        self.look(|phone| phone.presence().mode).await
    }

    /// Once it runs an image that it was sent.
    pub async fn boots(&self) {
        let mut presence = self.phone.handle().presence();
        let booted = presence.wait_for(|presence| presence.mode == Mode::Booted);
        crate::or_hang("the phone runs its image", booted).await.unwrap();
    }

    /// The hash of a partition's first bytes.
    pub async fn partition(&self, name: &str, bytes: u64) -> String {
        let name = name.to_owned();
        let hash = self.look(move |phone| phone.partition_sha256(&name, Some(bytes))).await;
        hash.expect("there is such a partition").unwrap()
    }
}

/// SHA-256, as a phone writes it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that compress badly and repeat nowhere.
#[must_use]
pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    (0..bytes).map(|_| u8::try_from(dice.below(256)).expect("below 256")).collect()
}

/// A boot image (AOSP, "Boot image header", version 0) with a kernel of noise.
#[must_use]
pub fn boot_image(seed: u64, kernel_bytes: usize) -> Vec<u8> {
    let mut image = vec![0; PAGE];
    let number = |value: usize| u32::try_from(value).expect("a small image").to_le_bytes();
    image[..8].copy_from_slice(b"ANDROID!");
    image[8..12].copy_from_slice(&number(kernel_bytes));
    image[36..40].copy_from_slice(&number(PAGE));
    image.extend(noise(seed, kernel_bytes));
    image.resize(image.len().next_multiple_of(PAGE), 0);
    image
}

/// A file in a folder.
#[must_use]
pub fn put_file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Boots a file from a phone's memory; passed when the phone has acknowledged it.
#[must_use]
pub fn boot(image: &Path, device: &str) -> Job {
    let source = BootSource { image: image.display().to_string(), ramdisk: None, dtb: None, cmdline: None };
    job(Source::Boot(source), device, true)
}

/// Boots a file, and waits for these words on the phone's console.
#[must_use]
pub fn boot_and_watch(image: &Path, device: &str, expect: &str, timeout_ms: Option<u64>) -> Job {
    let timeout_ms = timeout_ms.unwrap_or(TIMEOUT_MS);
    Job { goal: Goal::Run, expect: vec![expect.to_owned()], timeout_ms, ..boot(image, device) }
}

/// Does that to a phone's partitions.
#[must_use]
pub fn partitions(steps: Vec<PartitionStep>, leave: Leave, device: &str, once: bool) -> Job {
    job(Source::Partitions(steps, leave), device, once)
}

/// A file into a partition.
#[must_use]
pub fn step(partition: &str, file: &Path) -> PartitionStep {
    PartitionStep::Flash(partition.to_owned(), file.display().to_string())
}

fn job(source: Source, device: &str, once: bool) -> Job {
    Job {
        title: "phone".into(),
        project: "/".into(),
        goal: Goal::Flash,
        board: PHONE.into(),
        build: Build {
            source,
            toolchain: Toolchain::Managed,
            flags: Vec::new(),
            cxx_flags: Vec::new(),
            link_flags: Vec::new(),
            jobs: 0,
        },
        device: DeviceSelect::Named(DeviceName::new(device).unwrap()),
        once,
        expect: Vec::new(),
        expect_places: Vec::new(),
        fail_on: Vec::new(),
        timeout_ms: TIMEOUT_MS,
        on_gap: if once { OnGap::Unknown } else { OnGap::Reset },
        baud: 115_200,
        infra_retries: 0,
    }
}
