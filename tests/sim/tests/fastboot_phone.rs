//! The simulated phone itself, command by command: no sockets, no clock.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use bytes::BytesMut;
use farmhand_sim::fastboot::{Fault, Mode, Out, PartitionSpec, Phone, PhoneOptions, Told, UsbId, UsbPhone};
use farmhand_sim::usbredir::{
    BulkPacket, Capabilities, Capability, Codec, Function, Hello, In, Out as Taken, Packet, Redirected,
    Status,
};
use sha2::{Digest, Sha256};

const PAGE: usize = 2048;
/// Every command, well formed, and what it is: `w` writes, `b` boots what was downloaded, `l` leaves, `u` needs user space.
const COMMANDS: [(&str, &str); 35] = [
    ("getvar:product", ""),
    ("getvar:nothing", ""),
    ("getvar:all", ""),
    ("download:00000010", ""),
    ("download:00000000", ""),
    ("download:00100001", ""),
    ("upload", ""),
    ("flash:boot", "w"),
    ("flash:misc", "w"),
    ("flash:nothing", "w"),
    ("erase:misc", "w"),
    ("erase:nothing", "w"),
    ("set_active:b", "w"),
    ("set_active:c", "w"),
    ("fetch:misc", ""),
    ("fetch:misc:0x10:0x20", ""),
    ("fetch:misc:0x1000:0x1", ""),
    ("fetch:boot", ""),
    ("oem log", ""),
    ("oem device-info", ""),
    ("oem stage-log", ""),
    ("oem nothing", ""),
    ("flashing get_unlock_ability", ""),
    ("flashing lock", ""),
    ("flashing unlock", ""),
    ("create-logical-partition:new:4096", "wu"),
    ("resize-logical-partition:system_a:8192", "wu"),
    ("delete-logical-partition:system_a", "wu"),
    ("boot", "b"),
    ("continue", "l"),
    ("reboot", "l"),
    ("reboot-bootloader", "l"),
    ("reboot-fastboot", "l"),
    ("powerdown", "l"),
    ("something else", ""),
];

fn options() -> PhoneOptions {
    PhoneOptions {
        max_download: 1 << 20,
        max_fetch: 4096,
        partitions: ["boot=8K,slotted", "misc=4K", "system=4K,slotted,logical", "userdata=4K,type=f2fs"]
            .map(|spec| spec.parse::<PartitionSpec>().unwrap())
            .to_vec(),
        ..PhoneOptions::default()
    }
}

fn phone() -> Phone {
    Phone::new(options()).unwrap()
}

fn image() -> Vec<u8> {
    let mut image = vec![0; PAGE + 100];
    image[..8].copy_from_slice(b"ANDROID!");
    image[8] = 100;
    image[36..40].copy_from_slice(&(PAGE as u32).to_le_bytes());
    image[PAGE..].fill(0x5a);
    image
}

/// All that comes out until it is silent: replies as text, data as its length; at most so many.
fn heard(phone: &mut Phone, most: usize) -> Vec<String> {
    let mut heard = Vec::new();
    while let Some(out) = phone.next_out(1000).filter(|_| heard.len() < most) {
        heard.push(match out {
            Out::Reply(bytes) => bytes.escape_ascii().to_string(),
            Out::Data(bytes) => format!("<{}>", bytes.len()),
            Out::Cut => "cut".to_owned(),
        });
        phone.sent();
    }
    heard
}

fn ask(phone: &mut Phone, command: &str) -> Vec<String> {
    phone.receive(command.as_bytes(), true);
    heard(phone, 1000)
}

fn download(phone: &mut Phone, data: &[u8]) -> Vec<String> {
    let mut heard = ask(phone, &format!("download:{:08x}", data.len()));
    for piece in data.chunks(777) {
        phone.receive(piece, false);
    }
    heard.extend(self::heard(phone, 100));
    heard
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn holds(phone: &Phone, partition: &str, bytes: &[u8]) {
    let found = phone.partition_sha256(partition, Some(bytes.len() as u64)).unwrap().unwrap();
    assert_eq!(found, sha256(bytes), "{partition}");
}

/// Every two commands after one another, locked and not, with and without a boot image in memory: each is answered once, by
/// OKAY or FAIL (or by DATA, which is then filled), what is locked is not written, and what leaves has left.
#[test]
fn every_pair_of_commands_is_answered() {
    for locked in [false, true] {
        for staged in [false, true] {
            for (first, _) in COMMANDS {
                for (second, what) in COMMANDS {
                    let mut phone = Phone::new(PhoneOptions { locked, ..options() }).unwrap();
                    if staged {
                        assert_eq!(download(&mut phone, &image()), ["DATA00000864", "OKAY"]);
                    }
                    one(&mut phone, first);
                    if !phone.presence().speaks_fastboot() {
                        assert_eq!(ask(&mut phone, second), [""; 0], "it is not there any more");
                        continue;
                    }
                    let is_locked = ask(&mut phone, "getvar:unlocked") == ["OKAYno"];
                    let userspace = phone.presence().mode == Mode::Userspace;
                    let before = (phone.presence(), phone.counters());
                    let said = one(&mut phone, second);
                    let okay = said.starts_with("OKAY");
                    let after = (phone.presence(), phone.counters());
                    let context = format!("{first}, {second}, locked {locked}, staged {staged}: {said}");
                    assert_eq!(after.1.commands, before.1.commands + 1, "{context}");
                    assert!(!(okay && what.contains('w') && is_locked), "{context}");
                    assert!(!(okay && what.contains('u') && !userspace), "{context}");
                    let leaves = okay && (what.contains('l') || what.contains('b'));
                    assert_eq!(after.0 != before.0, leaves, "{context}");
                    let booted = after.1.boots - before.1.boots;
                    assert_eq!(booted, u64::from(okay && what.contains('b')), "{context}");
                    assert!(booted == 0 || (staged && !is_locked), "{context}");
                }
            }
        }
    }
}

/// One command with its data phase; its last word.
fn one(phone: &mut Phone, command: &str) -> String {
    let mut said = ask(phone, command);
    if said.last().is_some_and(|last| last.starts_with("DATA")) {
        assert!(command.starts_with("download:"), "{command}: {said:?}");
        phone.receive(&[0; 16], true);
        said = heard(phone, 100);
    }
    let (last, rest) = said.split_last().unwrap_or_else(|| panic!("no answer to {command}"));
    assert!(last.starts_with("OKAY") || last.starts_with("FAIL"), "{command}: {said:?}");
    let more = ["INFO", "TEXT", "DATA", "<"];
    assert!(rest.iter().all(|line| more.iter().any(|word| line.starts_with(word))), "{command}: {said:?}");
    last.clone()
}

#[test]
fn what_is_flashed_is_there_and_what_is_erased_is_not() {
    let mut phone = phone();
    download(&mut phone, &image());
    assert_eq!(ask(&mut phone, "flash:boot"), ["INFOwriting boot_a", "OKAY"]);
    holds(&phone, "boot_a", &image());
    holds(&phone, "boot_b", &[0; 8192]);
    assert_eq!(ask(&mut phone, "set_active:b"), ["OKAY"]);
    assert_eq!(ask(&mut phone, "flash:boot"), ["INFOwriting boot_b", "OKAY"]);
    holds(&phone, "boot_b", &image());
    assert_eq!(ask(&mut phone, "erase:boot_a"), ["OKAY"]);
    holds(&phone, "boot_a", &[0; 8192]);
    assert_eq!(ask(&mut phone, "fetch:boot_b:0x7f0:0x20"), ["DATA00000020", "<32>", "OKAY"]);
    download(&mut phone, &[1; 4097]);
    assert_eq!(
        ask(&mut phone, "flash:misc"),
        ["FAILimage of 4097 bytes is larger than the partition of 4096"]
    );
    holds(&phone, "misc", &[0; 4096]);
    assert_eq!(
        ask(&mut phone, "upload"),
        ["DATA00001001", "<1000>", "<1000>", "<1000>", "<1000>", "<97>", "OKAY"]
    );
}

#[test]
fn partitions_in_a_folder_outlive_the_phone() {
    let folder = tempfile::tempdir().unwrap();
    let options = || PhoneOptions { folder: Some(folder.path().to_owned()), ..options() };
    let mut phone = Phone::new(options()).unwrap();
    download(&mut phone, &[7; 100]);
    ask(&mut phone, "flash:misc");
    drop(phone);
    let mut phone = Phone::new(options()).unwrap();
    holds(&phone, "misc", &[7; 100]);
    ask(&mut phone, "erase:misc");
    assert_eq!(std::fs::read(folder.path().join("misc.img")).unwrap(), [0; 4096]);
}

#[test]
fn a_boot_is_counted_once_and_only_where_it_happened() {
    let mut phone = phone();
    assert_eq!(ask(&mut phone, "boot"), ["FAILnothing was downloaded"]);
    download(&mut phone, b"no image");
    assert_eq!(ask(&mut phone, "boot"), ["FAILnot an Android boot image"]);
    download(&mut phone, &image()[..PAGE + 99]);
    assert_eq!(ask(&mut phone, "boot"), ["FAILboot image is truncated"]);
    assert_eq!((phone.counters().boots, phone.counters().boot_commands), (0, 3));
    download(&mut phone, &image());
    assert_eq!(ask(&mut phone, "boot"), ["OKAY"]);
    assert_eq!((phone.counters().boots, phone.counters().boot_commands), (1, 4));
    assert_eq!((phone.presence().mode, phone.presence().boot, phone.presence().plug), (Mode::Booted, 1, 2));
    let asked = phone.asked().last().unwrap();
    assert_eq!((asked.number, asked.boot, asked.command.as_str()), (7, 1, "boot"));
    let data = asked.data.as_ref().unwrap();
    assert_eq!((data.len, &data.sha256), (image().len() as u64, &sha256(&image())));
    // As with its keys.
    phone.enter(Mode::Loader);
    assert_eq!((phone.presence().boot, phone.presence().plug), (2, 3));
    assert_eq!(ask(&mut phone, "boot"), ["FAILnothing was downloaded"], "a restart forgets what it was sent");
}

#[test]
fn each_fault_does_what_it_says() {
    let fault = |text: &str| {
        let mut phone = phone();
        phone.fault(text.parse().unwrap());
        phone
    };
    let product = ["OKAYfarmhand-phone"];
    let nothing = [""; 0];

    let mut stalled = fault("stall flash:");
    assert_eq!(ask(&mut stalled, "getvar:product"), product);
    assert_eq!(ask(&mut stalled, "flash:misc"), nothing);
    assert_eq!(ask(&mut stalled, "getvar:product"), nothing);
    assert!(stalled.stalled());
    stalled.fault(Fault::Clear);
    stalled.host_arrived();
    assert_eq!(ask(&mut stalled, "getvar:product"), product);

    let mut stalled = fault("stall-data 1000");
    assert_eq!(download(&mut stalled, &image()), ["DATA00000864"]);
    assert_eq!(stalled.counters().download_bytes, 1000);
    assert_eq!(stalled.asked().last().unwrap().data.as_ref().unwrap().len, 1000);
    stalled.enter(Mode::Loader);
    assert_eq!(download(&mut stalled, &image()), ["DATA00000864", "OKAY"]);

    // One that goes on has lost nothing of what it was sent.
    let mut stalled = fault("stall-data 1000");
    ask(&mut stalled, "download:00000864");
    stalled.receive(&image(), false);
    assert!(stalled.stalled());
    stalled.fault(Fault::Clear);
    assert_eq!(heard(&mut stalled, 10), ["OKAY"]);
    let mut whole = phone();
    download(&mut whole, &image());
    let data = |phone: &Phone| phone.asked().last().unwrap().data.clone().unwrap();
    assert_eq!(data(&stalled), data(&whole));

    let mut cut = fault("cut 1000");
    ask(&mut cut, "download:00000864");
    cut.receive(&image(), true);
    assert!(cut.cuts());
    assert_eq!(heard(&mut cut, 10), ["cut"]);
    assert_eq!(cut.counters().download_bytes, 1000);
    cut.host_arrived();
    assert_eq!(ask(&mut cut, "boot"), ["FAILnothing was downloaded"], "half an image is none");
    assert_eq!(download(&mut cut, &image()), ["DATA00000864", "OKAY"], "it can be tried again");

    let mut cut_reading = phone();
    download(&mut cut_reading, &image());
    cut_reading.fault("cut 1500".parse().unwrap());
    assert_eq!(ask(&mut cut_reading, "upload"), ["DATA00000864", "<1000>", "<500>", "cut"]);

    let mut cut = fault("cut-at boot");
    download(&mut cut, &image());
    assert_eq!(ask(&mut cut, "boot"), ["cut"]);
    assert_eq!((cut.counters().boots, cut.counters().boot_commands), (0, 1));

    let mut lying = fault("data-length 5");
    assert_eq!(ask(&mut lying, "download:00000010"), ["DATA00000015"]);
    lying.receive(&[0; 16], true);
    assert_eq!(heard(&mut lying, 10), nothing, "it waits for the rest");
    let mut lying = fault("data-length -5");
    assert_eq!(ask(&mut lying, "download:00000010"), ["DATA0000000b"]);
    lying.receive(&[0; 16], true);
    assert_eq!(heard(&mut lying, 10), ["FAILmore data than the data phase holds"]);
    assert_eq!(ask(&mut lying, "getvar:product"), product);

    for (kind, packet) in [
        ("unknown-tag", "WHATis this".to_owned()),
        ("short", "OK".to_owned()),
        ("not-utf8", "OKAY\\xff\\xfe\\x80".to_owned()),
        ("long", format!("OKAY{}", "x".repeat(296))),
    ] {
        let mut phone = fault(&format!("nonsense {kind}"));
        assert_eq!(ask(&mut phone, "getvar:product"), [packet]);
        assert_eq!(ask(&mut phone, "getvar:product"), product, "once");
    }
    let mut endless = fault("nonsense endless-info getvar:");
    assert_eq!(ask(&mut endless, "getvar:product").len(), 1000);
    endless.host_arrived();
    assert_eq!(ask(&mut endless, "getvar:product"), product);

    let mut failing = fault("fail erase: no such luck");
    assert_eq!(ask(&mut failing, "erase:misc"), ["FAILno such luck"]);
    assert_eq!(ask(&mut failing, "erase:misc"), ["OKAY"]);

    let gone = fault("vanish");
    assert_eq!((gone.presence().mode, gone.presence().plug), (Mode::Away, 2));
    let other = fault("vanish 0525:a4a7");
    assert_eq!(other.presence().mode, Mode::Other(UsbId { vendor: 0x0525, product: 0xa4a7 }));

    let mut unanswered = fault("boot-unanswered");
    download(&mut unanswered, &image());
    assert_eq!(ask(&mut unanswered, "boot"), nothing);
    assert_eq!((unanswered.counters().boots, unanswered.presence().mode), (1, Mode::Booted));
    let mut ignored = fault("boot-ignored");
    download(&mut ignored, &image());
    assert_eq!(ask(&mut ignored, "boot"), ["OKAY"]);
    assert_eq!((ignored.counters().boots, ignored.presence().mode), (0, Mode::Loader));
    assert_eq!(fault("slow 5K").bytes_per_s(), Some(5120));
}

#[test]
fn a_host_that_talks_out_of_turn_is_counted_and_not_obeyed() {
    let mut phone = phone();
    phone.receive(b"upload", true);
    heard(&mut phone, 10);
    download(&mut phone, &image());
    phone.receive(b"upload", true);
    phone.receive(b"erase:misc", true);
    let counters = phone.counters();
    assert_eq!((counters.out_of_turn, counters.erases), (1, 0));
    for packet in [&b"\xff\xfe"[..], b"getvar:a\nb", &[b'x'; 5000]] {
        phone.host_arrived();
        phone.receive(packet, true);
        let said = heard(&mut phone, 10);
        assert!(said[0].starts_with("FAIL"), "{said:?}");
    }
    assert_eq!(phone.counters().commands, counters.commands + 3);
}

/// A host that dies with its last command on the way stops nothing.
#[test]
fn a_boot_happens_whether_or_not_its_answer_is_read() {
    for next_comes in [false, true] {
        let mut phone = phone();
        download(&mut phone, &image());
        phone.receive(b"boot", true);
        assert_eq!((phone.counters().boots, phone.presence().mode), (0, Mode::Loader));
        if next_comes {
            phone.host_arrived()
        } else {
            phone.host_left()
        }
        assert_eq!((phone.counters().boots, phone.presence().mode), (1, Mode::Booted));
        phone.host_left();
        assert_eq!(phone.counters().boots, 1);
    }
}

#[test]
fn it_can_be_told_things() {
    let mut phone = phone();
    let done = |phone: &mut Phone, line: &str| match phone.told(line) {
        Told::Done(lines) => lines,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(done(&mut phone, "presence"), ["plug=1 boot=1 mode=bootloader fastboot=yes"]);
    assert_eq!(done(&mut phone, "fault fail getvar: no"), [""; 0]);
    ask(&mut phone, "getvar:product");
    assert_eq!(done(&mut phone, "log"), ["#1 boot 1 getvar:product -> FAIL no"]);
    let counters = done(&mut phone, "counters");
    assert!(counters[0].starts_with("commands=1 downloads=0 "), "{counters:?}");
    assert_eq!(done(&mut phone, "partition misc sha256"), [sha256(&[0; 4096])]);
    assert_eq!(done(&mut phone, "partition misc sha256 1K"), [sha256(&[0; 1024])]);
    done(&mut phone, "replug");
    assert_eq!(done(&mut phone, "presence"), ["plug=2 boot=1 mode=bootloader fastboot=yes"]);
    done(&mut phone, "mode 1234:5678");
    assert_eq!(done(&mut phone, "presence"), ["plug=3 boot=1 mode=1234:5678 fastboot=no"]);
    assert!(done(&mut phone, "help").iter().any(|line| line.contains("boot-unanswered")));
    for wrong in ["", "nothing", "partition nothing sha256", "mode", "fault", "fault x", "counters all"] {
        assert!(matches!(phone.told(wrong), Told::Refused(_)), "{wrong}");
    }
    assert_eq!(phone.told("quit"), Told::Quit);
}

/// As a USB device: it answers, boots, leaves, and comes back as a serial port that says its banner.
#[test]
fn on_usb_it_leaves_and_comes_back_as_what_it_booted() {
    let options = PhoneOptions { banner: Some("Linux version 6.1".to_owned()), ..options() };
    let mut device = UsbPhone::new(Phone::new(options).unwrap());
    let reads = |device: &mut UsbPhone, wanted: &str| {
        assert_eq!(device.bulk_in(0x81, 512), In::Data(wanted.to_owned().into()));
    };
    let ids = |device: &UsbPhone| (device.descriptors().vendor, device.descriptors().product);
    assert_eq!((device.plugged_in(), ids(&device)), (Some(1), (0x18d1, 0xd00d)));
    assert_eq!(device.descriptors().interfaces[0].class, [0xff, 0x42, 0x03]);
    device.reset();
    assert_eq!(device.bulk_in(0x81, 512), In::Nak);
    assert_eq!(device.bulk_out(0x01, &format!("download:{:08x}", image().len()).into()), Taken::Taken);
    reads(&mut device, "DATA00000864");
    assert_eq!(device.bulk_out(0x01, &image().into()), Taken::Taken);
    reads(&mut device, "OKAY");
    assert_eq!(device.bulk_out(0x01, &"boot".into()), Taken::Taken);
    assert_eq!(device.plugged_in(), Some(1), "its answer comes first");
    reads(&mut device, "OKAY");
    assert_eq!((device.plugged_in(), ids(&device)), (Some(2), (0x0525, 0xa4a7)));
    assert_eq!(device.bulk_in(0x81, 512), In::Data("Linux version 6.1\r\n".into()));
    assert!(device.console().is_some());

    device.phone().enter(Mode::Away);
    assert_eq!(device.plugged_in(), None);
    device.phone().enter(Mode::Loader);
    assert_eq!((device.plugged_in(), ids(&device)), (Some(4), (0x18d1, 0xd00d)));
    device.phone().fault("stall".parse().unwrap());
    assert_eq!(device.bulk_out(0x01, &"getvar:product".into()), Taken::Taken);
    assert_eq!(device.bulk_in(0x81, 512), In::Nak);
    assert_eq!(device.bulk_out(0x01, &"getvar:product".into()), Taken::Nak);
    device.phone().fault(Fault::Clear);
    device.phone().fault("cut-at getvar:".parse().unwrap());
    device.reset();
    device.bulk_out(0x01, &"getvar:product".into());
    assert_eq!(device.plugged_in(), Some(5), "a cut is a plug that was pulled");
}

/// A host that already waits for the answer gets it, and then sees the phone leave and come back, without asking again.
#[test]
fn on_the_bus_the_answer_comes_before_the_plug_is_pulled() {
    let capabilities = || {
        Capabilities::of(&[
            Capability::ConnectDeviceVersion,
            Capability::EpInfoMaxPacketSize,
            Capability::Ids64,
            Capability::BulkLength32,
        ])
    };
    let mut guest = Codec::new(capabilities());
    let mut bus = Redirected::new(UsbPhone::new(phone()));
    let mut tell = |bus: &mut Redirected<UsbPhone>, packet: Packet| {
        let mut bytes = BytesMut::new();
        guest.encode(1, &packet, &mut bytes);
        bus.received(&bytes).unwrap();
        guest.feed(&bus.output().split());
        std::iter::from_fn(|| guest.next().unwrap()).map(|(_, packet)| packet).collect::<Vec<_>>()
    };
    let bulk = |endpoint, data: &[u8]| {
        let length = if data.is_empty() { 512 } else { data.len() as u32 };
        let data = data.to_vec().into();
        Packet::Bulk(BulkPacket { endpoint, status: Status::Success, length, stream: 0, data })
    };
    let said = tell(&mut bus, Packet::Hello(Hello { version: "guest".into(), capabilities: capabilities() }));
    assert!(matches!(said.last(), Some(Packet::DeviceConnect(_))), "{said:?}");
    tell(&mut bus, Packet::SetConfiguration(1));
    tell(&mut bus, bulk(0x81, &[]));
    tell(&mut bus, bulk(0x01, format!("download:{:08x}", image().len()).as_bytes()));
    tell(&mut bus, bulk(0x81, &[]));
    tell(&mut bus, bulk(0x01, &image()));
    tell(&mut bus, bulk(0x81, &[]));
    let said = tell(&mut bus, bulk(0x01, b"boot"));
    let at =
        |wanted: &dyn Fn(&Packet) -> bool| said.iter().position(wanted).unwrap_or_else(|| panic!("{said:?}"));
    let answer = at(&|packet| matches!(packet, Packet::Bulk(bulk) if bulk.data[..] == b"OKAY"[..]));
    let pulled = at(&|packet| *packet == Packet::DeviceDisconnect);
    let back = at(&|packet| matches!(packet, Packet::DeviceConnect(as_what) if as_what.vendor == 0x0525));
    assert!(answer < pulled && pulled < back, "{said:?}");
}
