//! The same work, the same commands: `farmhand fastboot`, by a farm, beside what Debian's client was recorded to send
//! (`tests/sim/tests/expected`). Where they differ, it is said here, and why.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

#[path = "../sim/tests/work/mod.rs"]
mod work;

use std::fs;
use std::net::SocketAddr;

use farmhand_device::fastboot::{ImageFile, Pieces as _, connect};
use farmhand_messages::fastboot::UsbIdentity;
use farmhand_sim::fastboot::{Mode, ServeOptions, SimPhone};
use farmhand_tests::{Desk, Home, listens, or_hang};
use work::{WORK, sha256, write_files};

const EXPECTED: &str = include_str!("../sim/tests/expected/fastboot-29.0.6.txt");
/// What `-S 300K` allows a piece to have, in bytes.
const SMALL_PIECE: u64 = 300 << 10;

/// Reads of ours that they do not make. None of them changes anything on a device.
const OURS: [&str; 4] = [
    // Whether it is the device that is meant: before each session, and where a farm meets it.
    "getvar:serialno",
    "getvar:product",
    // An image that does not fit is told before anything is sent.
    "getvar:max-download-size",
    "getvar:partition-size:",
];
/// Reads of theirs that we do not make.
const THEIRS: [(&str, &str); 3] = [
    ("getvar:max-download-size", "they ask before each file, we once and before the first"),
    ("getvar:partition-type:", "they warn that `format` may have been meant, which we have not"),
    (
        "getvar:is-userspace",
        "they wait for a device to come back from `reboot fastboot`; `devices --watch` shows it",
    ),
];

/// What they send for each piece of work, in the order of [`WORK`].
fn theirs() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in EXPECTED.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("$ fastboot ") {
            Some(work) => sections.push((work, Vec::new())),
            None => sections.last_mut().expect("a command belongs to some work").1.push(line),
        }
    }
    assert!(sections.iter().map(|(work, _)| *work).eq(WORK.iter().map(|(work, _)| *work)));
    sections
}

/// A farm with one device, which is a phone.
struct Bench {
    desk: Desk,
    phone: SimPhone,
    address: String,
    heard: u64,
}

impl Bench {
    async fn new(over: &str) -> Self {
        let loopback = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let options =
            ServeOptions { phone: work::phone(), tcp: loopback, udp: loopback, ..ServeOptions::default() };
        let phone = SimPhone::start(options, |_| ()).await.unwrap();
        let address = if over == "tcp" { phone.tcp() } else { phone.udp() }.unwrap();
        let home = Home::empty();
        home.configure(&format!(
            "[[device]]\nname = \"phone-1\"\nboard = \"fastboot\"\ndriver = \"fastboot\"\n\
             match = {{ {over} = \"{address}\", serial = \"farmhand-sim\" }}\n\
             allow = [\"boot\", \"flash\", \"erase\", \"set-active\", \"oem\", \"flashing\"]\n"
        ));
        let desk = Desk::new(home);
        write_files(desk.work());
        Self { desk, phone, address: format!("{over}:{address}"), heard: 0 }
    }

    /// What the phone heard since the last look.
    async fn heard(&mut self) -> Vec<String> {
        let number = self.heard;
        let look = self.phone.handle().call(move |phone| {
            let new: Vec<_> = phone.asked().filter(|asked| asked.number > number).collect();
            let last = new.last().map_or(number, |asked| asked.number);
            (new.iter().map(|asked| asked.command.clone()).collect(), last)
        });
        let (new, last) = look.await.unwrap();
        self.heard = last;
        new
    }

    async fn becomes(&self, mode: Mode) {
        let mut presence = self.phone.handle().presence();
        or_hang("the phone becomes something else", presence.wait_for(|now| now.mode == mode)).await.unwrap();
        if matches!(mode, Mode::Loader | Mode::Userspace) {
            listens(&self.phone).await;
        }
    }

    async fn holds(&self, partition: &'static str, file: &str) {
        let bytes = fs::read(self.desk.work().join(file)).unwrap();
        let len = bytes.len() as u64;
        let look = self.phone.handle().call(move |phone| phone.partition_sha256(partition, Some(len)));
        assert_eq!(look.await.unwrap().unwrap().unwrap(), sha256(&bytes), "{partition}");
    }

    /// Does it as a person types it; whether it says that it went well.
    async fn does(&self, work: &str) -> bool {
        let words = ["fastboot", "-s", "phone-1"].into_iter().chain(work.split(' '));
        let said = self.desk.run(words).await;
        assert!(said.code.is_some_and(|code| code < 100), "{work}: {said:?}");
        said.code == Some(0)
    }

    /// `-S 300K` has no word of ours: the pieces are those of the library.
    async fn flashes_in_small_pieces(&self) -> bool {
        let image = ImageFile::open(&self.desk.work().join("large.img"), Some(SMALL_PIECE)).await.unwrap();
        let mut client = connect(&self.address.parse().unwrap(), &UsbIdentity::default()).await.unwrap();
        let partition = client.in_active_slot(&"userdata".parse().unwrap()).await.unwrap();
        client.make_room(&partition, image.writes(), &mut ()).await.unwrap();
        assert!(image.count() > 1);
        client.flash_pieces(&partition, &image, 0, &mut |_| {}, &mut ()).await.is_ok()
    }
}

/// Bytes of each download, and the commands without them.
fn apart(commands: &[String]) -> (Vec<u64>, Vec<&str>) {
    let bytes =
        |command: &String| command.strip_prefix("download:").map(|hex| u64::from_str_radix(hex, 16).unwrap());
    let names = commands.iter().map(|command| match bytes(command) {
        Some(_) => "download",
        None => command.as_str(),
    });
    (commands.iter().filter_map(bytes).collect(), names.collect())
}

/// What is left of ours where the reads are left out that only we make: those that stand where theirs have none.
fn without_ours(ours: Vec<String>, theirs: &[&str]) -> Vec<String> {
    let mut left = theirs.iter().peekable();
    let mut kept = Vec::new();
    for command in ours {
        match left.peek() {
            Some(next)
                if **next == command || next.starts_with("download:") && command.starts_with("download:") =>
            {
                left.next();
                kept.push(command);
            }
            _ if OURS.iter().any(|read| command.starts_with(read)) => {}
            _ => kept.push(command),
        }
    }
    kept
}

async fn same_commands(over: &str) {
    let mut bench = Bench::new(over).await;
    for ((work, theirs), (_, well)) in theirs().into_iter().zip(WORK) {
        let went_well = match work {
            "-S 300K flash userdata large.img" => bench.flashes_in_small_pieces().await,
            work => bench.does(work).await,
        };
        // Theirs calls it a success that a variable does not exist.
        assert_eq!(went_well, well && work != "getvar nothing", "{work} over {over}");
        match work {
            "flash misc small.img" => bench.holds("misc", "small.img").await,
            "flash boot boot.img" => bench.holds("boot_a", "boot.img").await,
            "flash userdata large.img" | "-S 300K flash userdata large.img" => {
                bench.holds("userdata", "large.img").await;
            }
            "get_staged staged.img" => {
                let [there, back] =
                    ["small.img", "staged.img"].map(|name| fs::read(bench.desk.work().join(name)).unwrap());
                assert_eq!(there, back);
            }
            "reboot-bootloader" => bench.becomes(Mode::Loader).await,
            "boot boot.img" if well => {
                bench.becomes(Mode::Booted).await;
                bench.phone.handle().call(|phone| phone.enter(Mode::Loader)).await.unwrap();
                listens(&bench.phone).await;
            }
            "reboot fastboot" => bench.becomes(Mode::Userspace).await,
            "flash system small.img" => bench.holds("system_b", "small.img").await,
            "reboot" => bench.becomes(Mode::System).await,
            _ => {}
        }
        let theirs: Vec<_> = theirs
            .into_iter()
            .filter(|command| !THEIRS.iter().any(|(read, _why)| command.starts_with(read)))
            .collect();
        let ours = without_ours(bench.heard().await, &theirs);
        let theirs: Vec<String> = theirs.into_iter().map(str::to_owned).collect();
        let ((our_bytes, our_commands), (their_bytes, their_commands)) = (apart(&ours), apart(&theirs));
        if their_bytes.len() > 1 {
            // Split: ours in no more pieces, none larger than may be, and of no more bytes in all but for a chunk's header
            // a piece: a run of blocks that does not fit is cut, theirs is put off.
            let headers = 12 * our_bytes.len() as u64;
            let [ours, theirs] = [&our_bytes, &their_bytes].map(|bytes| bytes.iter().sum::<u64>());
            let largest =
                if work.starts_with("-S") { SMALL_PIECE } else { work::phone().max_download.into() };
            assert!(
                our_bytes.len() <= their_bytes.len() && ours <= theirs + headers,
                "{work}: {our_bytes:?} {their_bytes:?}"
            );
            assert!(our_bytes.iter().all(|bytes| *bytes <= largest), "{work}: {our_bytes:?}");
            let (before, pieces) = our_commands.split_at(our_commands.len() - 2 * our_bytes.len());
            assert_eq!(before, &their_commands[..before.len()], "{work} over {over}");
            assert_eq!(before.len(), their_commands.len() - 2 * their_bytes.len(), "{work} over {over}");
            assert!(pieces.chunks(2).all(|piece| piece == ["download", "flash:userdata"]), "{pieces:?}");
        } else {
            assert_eq!(our_commands, their_commands, "{work} over {over}");
            assert_eq!(our_bytes, their_bytes, "{work} over {over}");
        }
    }
    let counters = bench.phone.handle().call(|phone| phone.counters()).await.unwrap();
    assert_eq!((counters.boots, counters.boot_commands, counters.out_of_turn), (1, 2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp() {
    same_commands("tcp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_udp() {
    same_commands("udp").await;
}
