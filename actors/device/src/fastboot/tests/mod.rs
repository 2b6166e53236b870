//! The host against the simulated phone, over real sockets, and over a bus in memory that, as USB does, outlives its host.

mod bus;
mod commands;
mod crash;
mod faults;
mod pieces;

use farmhand_sim::fastboot::{
    Fault, PartitionSpec, Phone, PhoneHandle, PhoneOptions, ServeOptions, SimPhone,
};

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Client, Listener, OpenError, TcpPipe, UdpPipe};
use bus::BusPipe;

/// For a phone that was just started, or started anew, to listen.
const LISTENS: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(5);

/// A phone with small partitions.
fn options() -> PhoneOptions {
    let boot = PartitionSpec { slotted: true, ..PartitionSpec::new("boot", 8 << 20) };
    PhoneOptions {
        serial: "c0ffee".to_owned(),
        product: "fajita".to_owned(),
        partitions: vec![boot, PartitionSpec::new("misc", 8 << 20)],
        ..PhoneOptions::default()
    }
}

/// A phone on sockets of this machine.
async fn phone() -> SimPhone {
    let any = "127.0.0.1:0".parse().ok();
    let options = ServeOptions { phone: options(), tcp: any, udp: any, ..ServeOptions::default() };
    SimPhone::start(options, |_| {}).await.unwrap()
}

async fn over_tcp(phone: &SimPhone) -> Client {
    let address = phone.tcp().unwrap().to_string();
    let until = Instant::now() + LISTENS;
    loop {
        match TcpPipe::connect(&address).await {
            Ok(pipe) => return Client::new(Box::new(pipe)),
            // It listens only once it speaks fastboot.
            Err(OpenError::Connect { .. }) if Instant::now() < until => sleep(LOOK).await,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn over_udp(phone: &SimPhone) -> Client {
    let pipe = UdpPipe::connect(&phone.udp().unwrap().to_string()).await.unwrap();
    Client::new(Box::new(pipe))
}

/// The sockets over which a phone is reached; one host at a time.
const TRANSPORTS: [&str; 2] = ["tcp", "udp"];

async fn over(transport: &str, phone: &SimPhone) -> Client {
    if transport == "tcp" { over_tcp(phone).await } else { over_udp(phone).await }
}

/// A phone on a bus in memory.
fn plugged_in() -> PhoneHandle {
    PhoneHandle::start(Phone::new(options()).unwrap(), |_| {})
}

async fn over_bus(phone: &PhoneHandle) -> Client {
    Client::new(Box::new(BusPipe::open(phone).await))
}

async fn fault(phone: &PhoneHandle, line: &str) {
    let fault: Fault = line.parse().unwrap();
    phone.call(move |phone| phone.fault(fault)).await.unwrap();
}

/// What the phone was asked, the oldest first.
async fn asked(phone: &PhoneHandle) -> Vec<String> {
    phone.call(|phone| phone.asked().map(|asked| asked.command.clone()).collect()).await.unwrap()
}

/// The hash of what was downloaded last and whole, as the phone counted it.
async fn downloaded(phone: &PhoneHandle) -> Option<String> {
    let last = phone.call(|phone| {
        let mut downloads = phone.asked().filter(|asked| asked.command.starts_with("download:"));
        downloads.next_back().and_then(|asked| asked.data.clone())
    });
    last.await.unwrap().map(|data| data.sha256)
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that repeat nowhere soon.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// An image that the phone takes for one that can be booted (AOSP, "Boot image header", version 0).
fn boot_image() -> Vec<u8> {
    let mut image = vec![0; 3 * 2048];
    image[..8].copy_from_slice(b"ANDROID!");
    for (at, value) in [(8, 100_u32), (12, 0x1000_8000), (16, 100), (20, 0x1100_0000), (36, 2048)] {
        image[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    image
}

/// All that was heard.
#[derive(Debug, Default)]
struct Heard {
    said: Vec<String>,
    moved: Vec<(u64, u64)>,
}

impl Listener for Heard {
    fn info(&mut self, line: &str) {
        self.said.push(format!("info {line}"));
    }

    fn text(&mut self, text: &str) {
        self.said.push(format!("text {text}"));
    }

    fn progress(&mut self, moved: u64, len: u64) {
        self.moved.push((moved, len));
    }
}
