//! Each command, each reply and each frame, as the documents have them (AOSP, `system/core/fastboot/README.md`).
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use farmhand_wire::fastboot::variable::{Bare, number, split_line};
use farmhand_wire::fastboot::{
    Arguments, Command, CommandError, CommandLimit, Effect, Extent, Partition, RebootTarget, Reply,
    ReplyEncodeError, ReplyError, Slot, Touched, Variable, printable,
};

fn partition(name: &str) -> Partition {
    Partition::new(name).unwrap()
}

fn arguments(words: &str) -> Arguments {
    Arguments::new(words).unwrap()
}

fn table() -> Vec<(Command, &'static str)> {
    vec![
        (Command::GetVar(Variable::new("version").unwrap()), "getvar:version"),
        (Command::GetVar(Variable::new("partition-size:boot").unwrap()), "getvar:partition-size:boot"),
        (Command::Download(0x1234), "download:00001234"),
        (Command::Download(u32::MAX), "download:ffffffff"),
        (Command::Upload, "upload"),
        (Command::Fetch { partition: partition("vendor_boot"), extent: Extent::All }, "fetch:vendor_boot"),
        (
            Command::Fetch { partition: partition("vendor_boot"), extent: Extent::From { offset: 0x1000 } },
            "fetch:vendor_boot:0x00001000",
        ),
        (
            Command::Fetch {
                partition: partition("vendor_boot"),
                extent: Extent::Part { offset: 0x1_2345_6789, len: 0x400 },
            },
            "fetch:vendor_boot:0x123456789:0x00000400",
        ),
        (Command::Flash(partition("bootloader")), "flash:bootloader"),
        (Command::Erase(partition("userdata")), "erase:userdata"),
        (Command::Boot, "boot"),
        (Command::Continue, "continue"),
        (Command::Reboot(RebootTarget::System), "reboot"),
        (Command::Reboot(RebootTarget::Bootloader), "reboot-bootloader"),
        (Command::Reboot(RebootTarget::Fastboot), "reboot-fastboot"),
        (Command::Reboot(RebootTarget::Recovery), "reboot-recovery"),
        (Command::SetActive(Slot::new("a").unwrap()), "set_active:a"),
        (Command::Oem(arguments("device-info a:b")), "oem device-info a:b"),
        (Command::Flashing(arguments("unlock")), "flashing unlock"),
        (Command::Flashing(arguments("get_unlock_ability")), "flashing get_unlock_ability"),
        (Command::PowerDown, "powerdown"),
        (Command::UpdateSuper { partition: partition("super"), wipe: false }, "update-super:super"),
        (Command::UpdateSuper { partition: partition("super"), wipe: true }, "update-super:super:wipe"),
        (
            Command::CreateLogical { partition: partition("system_a"), len: 4096 },
            "create-logical-partition:system_a:4096",
        ),
        (Command::DeleteLogical(partition("system_a")), "delete-logical-partition:system_a"),
        (
            Command::ResizeLogical { partition: partition("system_a"), len: 0 },
            "resize-logical-partition:system_a:0",
        ),
    ]
}

#[test]
fn commands_are_the_documents_bytes_both_ways() {
    for (command, text) in table() {
        assert_eq!(command.encode(CommandLimit::Classic).unwrap(), text.as_bytes());
        assert_eq!(Command::parse(text.as_bytes()), Ok(command));
    }
}

#[test]
fn what_a_command_touches() {
    let effect = |text: &str| format!("{:?}", text.parse::<Command>().unwrap().effect());
    for text in ["getvar:all", "upload", "fetch:boot", "flashing get_unlock_ability"] {
        assert_eq!(effect(text), "Reads", "{text}");
    }
    assert_eq!(effect("download:00000001"), "Stages");
    for text in ["boot", "continue"] {
        assert_eq!(effect(text), "Boots", "{text}");
    }
    for text in ["reboot", "reboot-recovery", "powerdown"] {
        assert_eq!(effect(text), "Restarts", "{text}");
    }
    for text in ["oem x", "flash:partition:0", "erase:a:b", "verify:00000001", "snapshot-update:merge", "OEM"]
    {
        assert_eq!(effect(text), "Writes(Anything)", "{text}");
    }
    let boot = partition("boot");
    assert_eq!(Command::Flash(boot.clone()).effect(), Effect::Writes(Touched::Partition(&boot)));
    assert_eq!(Command::Erase(boot.clone()).effect(), Effect::Writes(Touched::Partition(&boot)));
    assert_eq!(
        Command::DeleteLogical(boot.clone()).effect(),
        Effect::Writes(Touched::LogicalPartitions(&boot))
    );
    assert_eq!(effect("set_active:b"), "Writes(ActiveSlot(Slot(\"b\")))");
    assert_eq!(effect("flashing unlock"), "Writes(Lock(Arguments(\"unlock\")))");
}

#[test]
fn what_is_in_no_table_is_raw_and_says_the_same_bytes() {
    for text in ["verify:00000001", "snapshot-update:merge", "flash:partition:0", "oem", "Download", " boot"]
    {
        let command = Command::parse(text.as_bytes()).unwrap();
        assert!(matches!(command, Command::Raw(_)), "{text}");
        assert_eq!(command.encode(CommandLimit::Classic).unwrap(), text.as_bytes());
    }
}

#[test]
fn words_that_would_say_more_than_they_should_are_refused() {
    assert_eq!(Partition::new("boot:wipe"), Err(CommandError::Separator { at: 4 }));
    assert_eq!(Partition::new(""), Err(CommandError::Empty));
    assert_eq!(Partition::new(" boot"), Err(CommandError::SpaceAround));
    assert_eq!(Partition::new("boot\n"), Err(CommandError::Character { at: 4, byte: b'\n' }));
    assert_eq!(Slot::new("a:b"), Err(CommandError::Separator { at: 1 }));
    assert_eq!(Variable::new("a\0b"), Err(CommandError::Character { at: 1, byte: 0 }));
    assert_eq!(Arguments::new("löschen"), Err(CommandError::Character { at: 1, byte: 0xc3 }));
    assert_eq!(Arguments::new("x\u{7f}"), Err(CommandError::Character { at: 1, byte: 0x7f }));
}

#[test]
fn what_a_device_does_not_understand_is_refused() {
    let argument =
        |command, argument: &str| CommandError::Argument { command, argument: argument.to_owned() };
    let table = [
        ("", CommandError::Empty),
        ("boot\0", CommandError::Character { at: 4, byte: 0 }),
        ("getvar:", CommandError::Empty),
        ("download:1234", argument("download", "1234")),
        ("download:0x001234", argument("download", "0x001234")),
        ("download:+0001234", argument("download", "+0001234")),
        ("download:000012345", argument("download", "000012345")),
        ("fetch:boot:x", argument("fetch", "boot:x")),
        ("fetch:boot:1:2:3", argument("fetch", "boot:1:2:3")),
        ("fetch:boot:+1", argument("fetch", "boot:+1")),
        ("set_active:a:b", CommandError::Separator { at: 1 }),
        ("update-super:super:wype", argument("update-super", "super:wype")),
        ("resize-logical-partition:a", argument("resize-logical-partition", "a")),
        ("resize-logical-partition:a:0x", argument("resize-logical-partition", "a:0x")),
    ];
    for (text, error) in table {
        assert_eq!(Command::parse(text.as_bytes()), Err(error), "{text:?}");
    }
    assert_eq!(Command::parse(b"oem \xff"), Err(CommandError::Character { at: 4, byte: 0xff }));
    assert_eq!(Command::parse(b"oem \n\xff"), Err(CommandError::Character { at: 4, byte: b'\n' }));
    assert_eq!(Command::parse(&[b'x'; 4097]), Err(CommandError::TooLong { len: 4097, len_max: 4096 }));
}

#[test]
fn a_command_that_does_not_fit_is_not_sent() {
    let fits = Command::Oem(arguments(&"x".repeat(60)));
    assert_eq!(fits.encode(CommandLimit::Classic).unwrap().len(), 64);
    let long = Command::Oem(arguments(&"x".repeat(61)));
    assert_eq!(long.encode(CommandLimit::Classic), Err(CommandError::TooLong { len: 65, len_max: 64 }));
    assert_eq!(long.encode(CommandLimit::Long).unwrap().len(), 65);
}

#[test]
fn replies_are_the_documents_bytes_both_ways() {
    let table: [(Reply, &[u8]); 7] = [
        (Reply::Okay("0.4".into()), b"OKAY0.4"),
        (Reply::Okay(String::new()), b"OKAY"),
        (Reply::Fail("Unknown variable".into()), b"FAILUnknown variable"),
        (Reply::Info("erasing flash".into()), b"INFOerasing flash"),
        (Reply::Text("10 % ".into()), b"TEXT10 % "),
        (Reply::Data(0x1234), b"DATA00001234"),
        (Reply::Data(u32::MAX), b"DATAffffffff"),
    ];
    for (reply, packet) in table {
        assert_eq!(reply.encode().unwrap(), packet);
        assert_eq!(Reply::parse(packet), Ok(reply));
    }
}

#[test]
fn replies_as_they_are_met() {
    assert_eq!(Reply::parse(b"TEXThalf\0and more"), Ok(Reply::Text("half".into())));
    assert_eq!(Reply::parse(b"DATA0000ABCD\0"), Ok(Reply::Data(0xabcd)));
    assert_eq!(Reply::parse(b"INFO\xff\xfe ok"), Ok(Reply::Info("\\xff\\xfe ok".into())));
    assert_eq!(Reply::parse("INFOgrün".as_bytes()), Ok(Reply::Info("grün".into())));
    assert_eq!(printable("\u{1b}[2Jline\n\tnext\r"), "\\u{1b}[2Jline\n\tnext\\r");
}

#[test]
fn what_is_no_reply() {
    assert_eq!(Reply::parse(b"OKA"), Err(ReplyError::TooShort(b"OKA".to_vec())));
    assert_eq!(Reply::parse(b"okay"), Err(ReplyError::UnknownTag { excerpt: b"okay".to_vec() }));
    assert_eq!(Reply::parse(&[b'I'; 4097]), Err(ReplyError::TooLong));
    for length in ["", "1234", "0x001234", "-0001234", "000012345", "0000123g"] {
        let packet = format!("DATA{length}");
        assert_eq!(Reply::parse(packet.as_bytes()), Err(ReplyError::BadDataLength(length.into())));
    }
}

#[test]
fn replies_that_cannot_be_sent() {
    assert!(Reply::Info("x".repeat(252)).encode().is_ok());
    assert_eq!(Reply::Info("x".repeat(253)).encode(), Err(ReplyEncodeError::TooLong { len: 257 }));
    assert_eq!(Reply::Fail("a\0b".into()).encode(), Err(ReplyEncodeError::Nul { at: 1 }));
}

#[test]
fn numbers_as_loaders_write_them() {
    let table = [
        ("0x4000000", Bare::Decimal, Some(0x400_0000)),
        (" 0X4000000 ", Bare::Hexadecimal, Some(0x400_0000)),
        ("4000000", Bare::of("partition-size:boot"), Some(0x400_0000)),
        ("4000000", Bare::of("max-download-size"), Some(4_000_000)),
        ("010", Bare::Decimal, Some(10)),
        ("ffffffffffffffff", Bare::Decimal, Some(u64::MAX)),
        ("18446744073709551616", Bare::Decimal, None),
        ("0x", Bare::Decimal, None),
        ("+1", Bare::Decimal, None),
        ("-1", Bare::Hexadecimal, None),
        ("4 MiB", Bare::Decimal, None),
        ("", Bare::Hexadecimal, None),
        ("  ", Bare::Decimal, None),
    ];
    for (text, bare, value) in table {
        assert_eq!(number(text, bare), value, "{text:?} {bare:?}");
    }
}

#[test]
fn lines_of_getvar_all() {
    let table = [
        ("version:0.4", Some(("version", "0.4"))),
        ("partition-size:userdata: 0x1000", Some(("partition-size:userdata", "0x1000"))),
        ("partition-type:boot:raw", Some(("partition-type:boot", "raw"))),
        ("has-slot:boot:yes", Some(("has-slot:boot", "yes"))),
        ("partition-type:raw", Some(("partition-type", "raw"))),
        ("mac: 02:00:00:00:00:01", Some(("mac", "02:00:00:00:00:01"))),
        ("product:", Some(("product", ""))),
        (":x", None),
        ("Done!!", None),
    ];
    for (line, split) in table {
        assert_eq!(split_line(line), split, "{line:?}");
    }
}
