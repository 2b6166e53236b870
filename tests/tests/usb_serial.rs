//! Serial ports on a real kernel's USB stack: recorded by farmhand across unplug and replug under another number.
//!
//! One guest for all of it: what is checked of it is one story, told in order.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use farmhand_sim::usbredir::{Acm, Plugged};
use farmhand_tests::usb_bench::{Bench, Ftdi};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

/// Neither by port nor by path: by what the devices are.
const FARM: &str = r#"
[[device]]
name = "acm"
board = "arduino:avr:uno"
driver = "stk500v1"
match = { usb = ["2341:0043"], serial = "ACM-1" }

[[device]]
name = "ftdi"
board = "arduino:avr:uno"
driver = "stk500v1"
match = { usb = ["0403:6001"], serial = "FT-1" }
"#;
/// Both devices, by name and by what their nodes begin with.
const DEVICES: [(&str, &str); 2] = [("acm", "ttyACM"), ("ftdi", "ttyUSB")];
/// Lines that a device says at once: some 20 KiB, several of its buffers.
const LINES: u32 = 1000;

/// So many lines, from this one on, each unlike all others.
fn lines(device: &str, from: u32) -> String {
    (from..from + LINES).map(|number| format!("{device} says line {number}\n")).collect()
}

/// Which node the adapter of that serial number has, as udev names it.
async fn node(bench: &mut Bench, serial: &str) -> String {
    let command = format!("readlink -f /dev/serial/by-id/*_{serial}-*");
    bench
        .until(&format!("{serial} has a node"), &command, |said| {
            let node = said.stdout.trim();
            (said.code == Some(0) && node.starts_with("/dev/tty")).then(|| node.to_owned())
        })
        .await
}

/// Waits until the farm, and nobody else, has it open.
async fn held(bench: &mut Bench, node: &str) {
    let command = format!("ls -l /proc/$(pidof farmhandd)/fd | grep -q {node}$");
    bench
        .until(&format!("the farm opens {node}"), &command, |said| (said.code == Some(0)).then_some(()))
        .await;
}

/// Waits until a device's recording ends so, and gives all of it.
async fn recorded(bench: &mut Bench, device: &str, end: &str) -> String {
    let what = format!("{device} is recorded up to {end:?}");
    bench
        .until(&what, &format!("farmhand logs {device}"), |said| {
            said.stdout.ends_with(end).then(|| said.stdout.clone())
        })
        .await
}

/// As the farm lists them, by name; those that it has no name for are unclaimed.
async fn listed(bench: &mut Bench, name: &str) -> Vec<Value> {
    let said = bench.run("farmhand devices --json").await;
    let all = said.expect(0).json();
    let all = all.as_array().unwrap().iter();
    all.filter(|device| device["name"] == name).cloned().collect()
}

#[track_caller]
fn same(what: &str, seen: &str, expected: &str) {
    let at = seen.bytes().zip(expected.bytes()).position(|(seen, expected)| seen != expected);
    assert_eq!(at, None, "{what}: the first byte that differs");
    assert_eq!(seen.len(), expected.len(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serial_port_is_one_device_whatever_its_number_is() {
    let Some(mut bench) = Bench::boot().await else { return };
    bench.put("/home/farm.toml", FARM.as_bytes()).await;
    let acm = Plugged::into_socket(&bench.slot(0), Acm::new("ACM-1")).await.unwrap();
    let mut ftdi = Ftdi::new(&mut bench, "FT-1").await.unwrap();
    ftdi.plug(&mut bench, 5).await.unwrap();
    assert_eq!(node(&mut bench, "ACM-1").await, "/dev/ttyACM0");
    assert_eq!(node(&mut bench, "FT-1").await, "/dev/ttyUSB0");

    bench.start("farmhandd --farm /home/farm.toml", "farmhandd").await;
    bench.until("a farm", "farmhand devices", |said| (said.code == Some(0)).then_some(())).await;
    for (device, _) in DEVICES {
        bench.start(&format!("farmhand monitor {device} --from start --no-input"), device).await;
    }
    held(&mut bench, "/dev/ttyACM0").await;
    held(&mut bench, "/dev/ttyUSB0").await;
    let (said_acm, said_ftdi) = (lines("acm", 0), lines("ftdi", 0));
    let print = said_acm.clone();
    acm.call(move |acm| acm.print(print.as_bytes())).await.unwrap();
    ftdi.line().write_all(said_ftdi.as_bytes()).await.unwrap();
    let last = format!("line {}\n", LINES - 1);
    same("acm, before", &recorded(&mut bench, "acm", &last).await, &said_acm);
    same("ftdi, before", &recorded(&mut bench, "ftdi", &last).await, &said_ftdi);

    // Both are pulled out, and others of their kind take their numbers.
    let mut device = acm.pull().await.unwrap();
    ftdi.pull(&mut bench).await.unwrap();
    for (name, node) in DEVICES {
        let none = format!("! ls /dev/{node}*");
        bench.until("its node goes", &none, |said| (said.code == Some(0)).then_some(())).await;
        // Until the farm has let go of it, the kernel gives its number to nobody.
        let gap = format!("grep gap: /tmp/{name}.err");
        bench.until("the gap is marked", &gap, |said| (said.code == Some(0)).then_some(())).await;
    }
    let _other_acm = Plugged::into_socket(&bench.slot(1), Acm::new("ACM-2")).await.unwrap();
    let other_ftdi = Ftdi::new(&mut bench, "FT-2").await.unwrap();
    other_ftdi.plug(&mut bench, 6).await.unwrap();
    let taken = [node(&mut bench, "ACM-2").await, node(&mut bench, "FT-2").await];
    assert_eq!(taken, ["/dev/ttyACM0", "/dev/ttyUSB0"]);

    // They come back elsewhere; one of them speaks before anybody listens.
    let after_acm = lines("acm", LINES);
    device.print(after_acm.as_bytes());
    let acm = Plugged::into_socket(&bench.slot(2), device).await.unwrap();
    ftdi.plug(&mut bench, 7).await.unwrap();
    let nodes = [node(&mut bench, "ACM-1").await, node(&mut bench, "FT-1").await];
    assert_eq!(nodes, ["/dev/ttyACM1", "/dev/ttyUSB1"]);
    for node in &nodes {
        // Nobody asks for it.
        held(&mut bench, node).await;
    }
    let after_ftdi = lines("ftdi", LINES);
    ftdi.line().write_all(after_ftdi.as_bytes()).await.unwrap();
    let last = format!("line {}\n", 2 * LINES - 1);
    same("acm, whole", &recorded(&mut bench, "acm", &last).await, &format!("{said_acm}{after_acm}"));
    same("ftdi, whole", &recorded(&mut bench, "ftdi", &last).await, &format!("{said_ftdi}{after_ftdi}"));
    assert_eq!(acm.call(|acm| acm.unread()).await.unwrap(), 0);

    // One device each, the gap where it was, and whoever watched saw all of it.
    for ((name, _), node) in DEVICES.into_iter().zip(&nodes) {
        let devices = listed(&mut bench, name).await;
        assert_eq!(devices.len(), 1, "{devices:?}");
        assert_eq!(devices[0]["port"], node.as_str());
        let marked = bench.run(&format!("farmhand logs {name} 2>&1")).await;
        let text = &marked.expect(0).stdout;
        let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what:?} in {text}"));
        let (old, new) = (format!("line {}\n", LINES - 1), format!("line {LINES}\n"));
        let gaps: Vec<_> = text.match_indices("--- gap: ").map(|(at, _)| at).collect();
        assert!(!gaps.is_empty(), "{text}");
        assert!(gaps.iter().all(|&gap| place(&old) < gap && gap < place(&new)), "{gaps:?}: {text}");
        let said =
            if name == "acm" { format!("{said_acm}{after_acm}") } else { format!("{said_ftdi}{after_ftdi}") };
        let monitor = format!("cat /tmp/{name}.out");
        let shown = bench.until("the monitor shows the end", &monitor, |shown| {
            shown.stdout.ends_with(&last).then(|| shown.stdout.clone())
        });
        same("the monitor", &shown.await, &said);
    }
}
