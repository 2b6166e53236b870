//! Phones on a real kernel's USB stack, as people have them: two of one model, cables that are pulled, bootloaders that
//! do wrong, and a farm that is killed.
//!
//! One guest for all of it: what is checked of it is one story, told in order.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use farmhand_sim::fastboot::{Counters, Phone, PhoneOptions, UsbPhone};
use farmhand_sim::usbredir::Plugged;
use farmhand_tests::usb_bench::Bench;
use farmhand_tests::{Said, until};

/// By what they are; where they are plugged in is nobody's business.
const FARM: &str = r#"
[[device]]
name = "one"
board = "bench-phone"
driver = "fastboot"
match = { serial = "P-1" }
allow = ["boot"]
console = { serial = "auto" }

[[device]]
name = "two"
board = "bench-phone"
driver = "fastboot"
match = { serial = "P-2" }
allow = ["boot"]
console = { serial = "auto" }
"#;
const PROFILE: &str = r#"
title = "The phone of the bench"
match = { usb = ["18d1:d00d"] }
next = { usb = ["0525:a4a7"] }

[[probe]]
getvar = "product"
equals = "farmhand-phone"
"#;
const PAGE_BYTES: usize = 2048;
/// Several of a kernel's transfers, and whole pages; of each phone's own bytes.
const KERNEL_BYTES: usize = 6 << 20;
/// Where the download stands when the plug is pulled.
const PULLED_AT: u64 = 2 << 20;

struct Story {
    bench: Bench,
    one: Plugged<UsbPhone>,
    two: Plugged<UsbPhone>,
    /// SHA-256 of what each is to be sent.
    images: [String; 2],
}

fn phone(serial: &str) -> UsbPhone {
    let options = PhoneOptions {
        serial: serial.to_owned(),
        banner: Some(format!("Linux runs on {serial}")),
        ..PhoneOptions::default()
    };
    UsbPhone::new(Phone::new(options).unwrap())
}

/// The header of a boot image of version 0 (AOSP, "Boot image header"), of a page of 2048 bytes.
fn header() -> Vec<u8> {
    let mut header = vec![0; PAGE_BYTES];
    header[..8].copy_from_slice(b"ANDROID!");
    header[8..12].copy_from_slice(&u32::try_from(KERNEL_BYTES).unwrap().to_le_bytes());
    header[36..40].copy_from_slice(&u32::try_from(PAGE_BYTES).unwrap().to_le_bytes());
    header
}

async fn told(phone: &Plugged<UsbPhone>, line: &'static str) {
    let told = phone.call(move |phone| phone.phone().told(line)).await.unwrap();
    assert!(matches!(told, farmhand_sim::fastboot::Told::Done(_)), "{line}: {told:?}");
}

async fn counters(phone: &Plugged<UsbPhone>) -> Counters {
    phone.call(|phone| phone.phone().counters()).await.unwrap()
}

/// What each `boot` that it heard was to start.
async fn booted(phone: &Plugged<UsbPhone>) -> Vec<String> {
    let look = phone.call(|phone| {
        let boots = phone.phone().asked().filter(|asked| asked.command == "boot");
        boots.map(|asked| asked.data.as_ref().map(|data| data.sha256.clone()).unwrap_or_default()).collect()
    });
    look.await.unwrap()
}

/// Waits until the farm sees a device so: at this port, in its bootloader (`usb:1-2`) or as something else (`1-2`).
async fn seen(bench: &mut Bench, device: &str, port: &str) {
    bench
        .until(&format!("{device} at {port}"), "farmhand devices --json", |said| {
            let all: serde_json::Value = serde_json::from_str(&said.stdout).ok()?;
            let is = all
                .as_array()?
                .iter()
                .any(|view| view["name"] == device && view["port"] == port && view["state"] == "free");
            is.then_some(())
        })
        .await;
}

async fn file(bench: &mut Bench, what: &str, path: &str, holds: impl Fn(&str) -> bool) -> String {
    let command = format!("cat {path}");
    bench.until(what, &command, |said| holds(&said.stdout).then(|| said.stdout.clone())).await
}

#[track_caller]
fn fails(said: &Said, exit: i32, code: &str) {
    assert_eq!(said.code, Some(exit), "{code}: {said:?}");
    assert!(said.stderr.contains(&format!("error[{code}]")), "{code}: {said:?}");
}

/// To whomever.
#[track_caller]
fn says(said: &Said, words: &[&str]) {
    for word in words {
        assert!(said.stdout.contains(word) || said.stderr.contains(word), "no {word:?} in: {said:?}");
    }
}

impl Story {
    async fn begin() -> Option<Self> {
        let mut bench = Bench::boot().await?;
        bench.put("/tmp/farm/farm.toml", FARM.as_bytes()).await;
        bench.put("/home/.config/farmhand/profiles/bench-phone.toml", PROFILE.as_bytes()).await;
        bench.put("/tmp/header", &header()).await;
        let mut images = [String::new(), String::new()];
        for (hash, name) in images.iter_mut().zip(["one", "two"]) {
            let make = format!(
                "{{ cat /tmp/header; head -c {KERNEL_BYTES} /dev/urandom; }} > /tmp/{name}.img; sha256sum /tmp/{name}.img"
            );
            let said = bench.run(&make).await;
            *hash = said.expect(0).stdout.split(' ').next().unwrap().to_owned();
        }
        bench.start("farmhandd", "farmhandd").await;
        bench.until("a farm", "farmhand devices", |said| (said.code == Some(0)).then_some(())).await;
        bench.start("farmhand devices --watch --json", "watch").await;
        file(&mut bench, "the watch watches", "/tmp/watch.out", |text| text.contains("\"one\"")).await;
        let one = Plugged::into_socket(&bench.slot(0), phone("P-1")).await.unwrap();
        let two = Plugged::into_socket(&bench.slot(1), phone("P-2")).await.unwrap();
        Some(Self { bench, one, two, images })
    }

    /// Told by udev as they come, and each by its own name.
    async fn enumerate(&mut self) {
        file(&mut self.bench, "both are watched as they come", "/tmp/watch.out", |text| {
            let came = |name: &str, port: &str| {
                text.lines()
                    .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
                    .any(|line| line["name"] == name && line["port"] == port && line["state"] == "free")
            };
            came("one", "usb:1-1") && came("two", "usb:1-2")
        })
        .await;
        let said = self.bench.run("farmhand fastboot -s P-2 getvar all").await;
        says(said.expect(0), &["serialno: P-2", "product: farmhand-phone", "partition-type:userdata: f2fs"]);
        let said = self.bench.run("farmhand profile probe --device one").await;
        says(said.expect(0), &["fits  bench-phone"]);
        // Who watches starts a farm where there is none, and farms are to end.
        self.bench.run("kill $(pidof farmhand)").await.expect(0);
        // Two speak it: none is chosen.
        fails(&self.bench.run("farmhand fastboot getvar product").await, 4, "F206");
    }

    /// Booted once, and what it becomes is its console.
    async fn boot(&mut self) {
        let said =
            self.bench.run("farmhand boot /tmp/one.img --device one --expect 'Linux runs on P-1'").await;
        says(said.expect(0), &["passed"]);
        assert_eq!(booted(&self.one).await, [self.images[0].clone()]);
        assert_eq!(counters(&self.two).await.boots, 0);
        let said = self.bench.run("farmhand logs one").await;
        says(said.expect(0), &["Linux runs on P-1"]);
        seen(&mut self.bench, "one", "1-1").await;
        fails(&self.bench.run("farmhand fastboot -s one getvar product").await, 4, "F251");
        told(&self.one, "mode bootloader").await;
        seen(&mut self.bench, "one", "usb:1-1").await;
    }

    /// Each in the other's place; then one is pulled out in the middle of the other's download.
    async fn twins(mut self) -> Self {
        let (one, two) = (self.one.pull().await.unwrap(), self.two.pull().await.unwrap());
        let two = Plugged::into_socket(&self.bench.slot(0), two).await.unwrap();
        let one = Plugged::into_socket(&self.bench.slot(1), one).await.unwrap();
        let bench = &mut self.bench;
        seen(bench, "one", "usb:1-2").await;
        seen(bench, "two", "usb:1-1").await;
        // Both are in the middle of it.
        for (phone, line) in [(&one, "fault stall-data 2M"), (&two, "fault stall-data 3M")] {
            told(phone, line).await;
        }
        for (name, serial) in [("one", "P-1"), ("two", "P-2")] {
            let boot =
                format!("farmhand boot /tmp/{name}.img --device {name} --expect 'Linux runs on {serial}'");
            bench.put(&format!("/tmp/boot-{name}"), format!("{boot}; echo ended $?\n").as_bytes()).await;
            bench.start(&format!("sh /tmp/boot-{name}"), name).await;
        }
        for phone in [&one, &two] {
            until("its download is on its way", async || {
                (counters(phone).await.download_bytes >= PULLED_AT).then_some(())
            })
            .await;
        }
        // The other one stands still as well, whichever of them was quicker, and goes on once its twin is gone.
        until("the other one is where it stalls", async || {
            two.call(|phone| phone.phone().stalled()).await.unwrap().then_some(())
        })
        .await;
        let mut one_phone = one.pull().await.unwrap();
        told(&two, "fault clear").await;
        let said =
            file(bench, "the other's session ends", "/tmp/two.out", |text| text.contains("ended")).await;
        let why = bench.run("cat /tmp/two.err; farmhand logs two").await;
        assert!(said.contains("passed") && said.contains("ended 0"), "{said}{why:?}");
        assert_eq!(booted(&two).await, [self.images[1].clone()]);
        let said = file(bench, "its own session ends", "/tmp/one.out", |text| text.contains("ended")).await;
        assert!(said.contains("infra") && said.contains("ended 8"), "{said}");
        let said = bench.run("cat /tmp/one.err").await;
        says(&said, &["error[F2"]);
        assert_eq!(booted(&two).await.len(), 1);

        // It is tried again, at the other's place.
        one_phone.phone().told("fault clear");
        let two = two.pull().await.unwrap();
        let one = Plugged::into_socket(&bench.slot(0), one_phone).await.unwrap();
        let two = Plugged::into_socket(&bench.slot(2), two).await.unwrap();
        seen(bench, "one", "usb:1-1").await;
        let said = bench.run("farmhand boot /tmp/one.img --device one --expect 'Linux runs on P-1'").await;
        says(said.expect(0), &["passed"]);
        assert_eq!(booted(&one).await, vec![self.images[0].clone(); 2]);
        for (phone, name, port) in [(&one, "one", "usb:1-1"), (&two, "two", "usb:1-3")] {
            told(phone, "mode bootloader").await;
            seen(bench, name, port).await;
        }
        Self { bench: self.bench, one, two, images: self.images }
    }

    /// Each its own error, and the next command is understood.
    async fn bootloaders_that_do_wrong(&mut self) {
        let bench = &mut self.bench;
        let getvar = "farmhand fastboot -s one getvar secure";
        let stage = "farmhand fastboot -s one stage /tmp/header";
        let wrongs = [
            ("fault fail getvar:secure it is a secret", getvar, 2, "F266"),
            ("fault fail download no room", stage, 8, "F259"),
            ("fault nonsense unknown-tag getvar:secure", getvar, 8, "F261"),
            ("fault nonsense short getvar:secure", getvar, 8, "F261"),
            ("fault data-length 5", stage, 8, "F261"),
            ("fault data-length -5", stage, 8, "F261"),
            ("fault cut 1000", stage, 8, "F263"),
            ("fault stall getvar:secure", getvar, 8, "F263"),
        ];
        for (fault, command, exit, code) in wrongs {
            told(&self.one, fault).await;
            fails(&bench.run(command).await, exit, code);
            told(&self.one, "fault clear").await;
            seen(bench, "one", "usb:1-1").await;
            let said = bench.run("farmhand fastboot -s one getvar product").await;
            assert_eq!(said.code, Some(0), "after {fault}: {said:?}");
            says(&said, &["product: farmhand-phone"]);
        }
    }

    /// No permission, or somebody else's: said of that one, with what to do; the other one is as it was.
    async fn nodes_that_cannot_be_had(&mut self) {
        let bench = &mut self.bench;
        bench.run("farmhand stop").await.expect(0);
        let ended = |said: &Said| (said.code == Some(1)).then_some(());
        bench.until("the farm has ended", "pidof farmhandd", ended).await;
        // A farm of somebody's who may use the second phone, and not the first.
        let nodes = "for n in 1 2 3; do p=/sys/bus/usb/devices/1-$n; [ -e $p/devnum ] && \\
            printf '%s /dev/bus/usb/001/%03d\\n' $(cat $p/serial) $(cat $p/devnum); done";
        let said = bench.run(nodes).await;
        let node = |serial: &str| {
            let line = said.stdout.lines().find_map(|line| line.strip_prefix(serial));
            line.unwrap_or_else(|| panic!("{serial}: {said:?}")).trim().to_owned()
        };
        let (one, two) = (node("P-1"), node("P-2"));
        bench.run(&format!("chmod 000 {one}; chmod 666 {two}")).await.expect(0);
        bench.run("mkdir -p /tmp/theirs && cp /tmp/farm/farm.toml /tmp/theirs/ && chown -R 65534:65534 /tmp/theirs").await.expect(0);
        let theirs = |command: &str| {
            format!(
                "su -s /bin/sh nobody -c 'export FARMHAND_HOME=/tmp/theirs PATH=/bin HOME=/tmp/theirs; {command}'"
            )
        };
        let said = bench.run(&theirs("farmhand fastboot -s one getvar product")).await;
        fails(&said, 5, "F253");
        says(&said, &[&one, "18d1", "uaccess", "farmhand doctor --write-rules"]);
        let said = bench.run(&theirs("farmhand fastboot -s two getvar serialno")).await;
        says(said.expect(0), &["serialno: P-2"]);
        let said = bench.run(&theirs("farmhand devices --json")).await;
        says(said.expect(0), &["one", "two", "usb:1-1", "usb:1-3"]);
        let said = bench.run(&theirs("farmhand doctor")).await;
        says(&said, &[&one]);
        bench.run(&theirs("farmhand stop")).await.expect(0);
        bench.run(&format!("chmod 664 {one} {two}")).await.expect(0);

        // Debian's client keeps it, and waits for what does not come.
        told(&self.one, "fault stall getvar:secure").await;
        bench.start("fastboot -s P-1 getvar secure", "holder").await;
        let held = format!("ls -l /proc/$(pidof fastboot)/fd | grep -q {one}");
        bench.until("it is held", &held, |said| (said.code == Some(0)).then_some(())).await;
        let said = bench.run("farmhand fastboot -s one getvar product").await;
        fails(&said, 6, "F254");
        says(&said, &[&one, "fastboot (pid "]);
        let said = bench.run("farmhand fastboot -s two getvar serialno").await;
        says(said.expect(0), &["serialno: P-2"]);
        bench.run("kill -9 $(pidof fastboot)").await.expect(0);
        told(&self.one, "fault clear").await;
        let said = bench.run("farmhand fastboot -s one getvar product").await;
        says(said.expect(0), &["product: farmhand-phone"]);
    }

    async fn a_farm_that_is_killed(&mut self) {
        let bench = &mut self.bench;
        // What was printed while no farm was there earns no verdict: after the boot nothing is waited for.
        let expect = " --expect 'Linux runs on P-2'";
        let points = [
            ("intent-after-persist", expect, "it was not handed off: its bootloader answers"),
            ("handoff-before", expect, "it was not handed off: its bootloader answers"),
            ("handoff-after", "", "it was handed off: it shows itself as 0525:a4a7"),
        ];
        for (number, (point, expect, evidence)) in (1..).zip(points) {
            bench.run("farmhand stop").await.expect(0);
            let ended = |said: &Said| (said.code == Some(1)).then_some(());
            bench.until("the farm has ended", "pidof farmhandd", ended).await;
            bench.start(&format!("env FARMHAND_FAILPOINT={point} farmhandd"), "armed").await;
            bench.until("a farm", "farmhand devices", |said| (said.code == Some(0)).then_some(())).await;
            seen(bench, "two", "usb:1-3").await;
            let said = bench.run(&format!("farmhand boot /tmp/two.img --device two{expect}")).await;
            says(said.expect(0), &["passed", evidence]);
            let said = bench.run("cat /tmp/armed.err").await;
            says(&said, &[&format!("failpoint {point}")]);
            let heard = booted(&self.two).await;
            assert_eq!(heard.len() as u64, 1 + number, "{point}: {heard:?}");
            assert_eq!(heard.last(), Some(&self.images[1]));
            assert_eq!(counters(&self.two).await.boots, 1 + number);
            told(&self.two, "mode bootloader").await;
            seen(bench, "two", "usb:1-3").await;
        }
    }

    async fn doctor(&mut self) {
        let said = self.bench.run("farmhand doctor").await;
        says(said.expect(0), &["udev runs", "18d1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_are_told_apart_and_booted_once_whatever_happens_to_their_cables() {
    let Some(mut story) = Story::begin().await else { return };
    story.enumerate().await;
    story.boot().await;
    let mut story = story.twins().await;
    story.a_farm_that_is_killed().await;
    story.bootloaders_that_do_wrong().await;
    story.nodes_that_cannot_be_had().await;
    story.doctor().await;
}
