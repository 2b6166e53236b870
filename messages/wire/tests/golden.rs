//! Each command and each reply, as the documents have them (AVR061, "Command format"; optiboot, "How Optiboot Works").
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use farmhand_wire::stk500v1::device::{CommandParser, Heard, Status, Told, encode_reply};
use farmhand_wire::stk500v1::{Command, Fed, Memory, PageData, Parameter, ReplyParser};

/// Command, its bytes, a good reply to it, and that reply's data.
type Row = (Command, &'static [u8], &'static [u8], &'static [u8]);

fn table() -> Vec<Row> {
    let page = PageData::new(vec![0x0c, 0x94, 0x20, 0x00]).unwrap();
    vec![
        (Command::GetSync, b"\x30\x20", b"\x14\x10", b""),
        (Command::GetParameter(Parameter::SW_MAJOR), b"\x41\x81\x20", b"\x14\x04\x10", b"\x04"),
        (Command::GetParameter(Parameter::SW_MINOR), b"\x41\x82\x20", b"\x14\x04\x10", b"\x04"),
        (
            Command::SetDevice([
                0x86, 0x00, 0x00, 0x01, 0x01, 0x01, 0x01, 0x03, 0xff, 0xff, 0xff, 0xff, 0x00, 0x80, 0x04,
                0x00, 0x00, 0x00, 0x80, 0x00,
            ]),
            b"\x42\x86\x00\x00\x01\x01\x01\x01\x03\xff\xff\xff\xff\x00\x80\x04\x00\x00\x00\x80\x00\x20",
            b"\x14\x10",
            b"",
        ),
        (
            Command::SetDeviceExt([0x05, 0x04, 0xd7, 0xc2, 0x00]),
            b"\x45\x05\x04\xd7\xc2\x00\x20",
            b"\x14\x10",
            b"",
        ),
        (Command::EnterProgmode, b"\x50\x20", b"\x14\x10", b""),
        (Command::LeaveProgmode, b"\x51\x20", b"\x14\x10", b""),
        // Words, low byte first: byte address 0x7e00.
        (Command::LoadAddress(0x3f00), b"\x55\x00\x3f\x20", b"\x14\x10", b""),
        (Command::Universal([0x4d, 0x00, 0x01, 0x00]), b"\x56\x4d\x00\x01\x00\x20", b"\x14\x00\x10", b"\x00"),
        // Length, high byte first.
        (
            Command::ProgPage { memory: Memory::Flash, data: page.clone() },
            b"\x64\x00\x04F\x0c\x94\x20\x00\x20",
            b"\x14\x10",
            b"",
        ),
        (
            Command::ProgPage { memory: Memory::Eeprom, data: page },
            b"\x64\x00\x04E\x0c\x94\x20\x00\x20",
            b"\x14\x10",
            b"",
        ),
        (
            Command::ReadPage { memory: Memory::Flash, len: 4 },
            b"\x74\x00\x04F\x20",
            b"\x14\x0c\x94\x20\x00\x10",
            b"\x0c\x94\x20\x00",
        ),
        (Command::ReadSignature, b"\x75\x20", b"\x14\x1e\x95\x0f\x10", b"\x1e\x95\x0f"),
    ]
}

#[test]
fn commands_are_the_documents_bytes_both_ways() {
    for (command, bytes, ..) in table() {
        let mut encoded = Vec::new();
        command.encode(&mut encoded);
        assert_eq!(encoded, bytes, "{command:?}");
        let heard = CommandParser::new().feed(&encoded).clone_told();
        assert_eq!(heard, Some(Told::Command(command)));
    }
}

#[test]
fn replies_are_the_documents_bytes_both_ways() {
    for (command, _, bytes, data) in table() {
        let mut encoded = Vec::new();
        encode_reply(data, Status::Ok, &mut encoded);
        assert_eq!(encoded, bytes, "{command:?}");
        match ReplyParser::new(&command).feed(bytes) {
            Fed::Reply { reply, unused } => {
                assert_eq!(reply.data, data, "{command:?}");
                assert!(unused.is_empty() && reply.garbage.is_empty());
            }
            other => panic!("{command:?}: {other:?}"),
        }
    }
}

#[test]
fn every_status_has_its_number() {
    for (status, byte) in
        [(Status::Ok, 0x10), (Status::Failed, 0x11), (Status::Unknown, 0x12), (Status::NoDevice, 0x13)]
    {
        let mut encoded = Vec::new();
        encode_reply(&[7], status, &mut encoded);
        assert_eq!(encoded, [0x14, 7, byte]);
    }
}

#[test]
fn a_loader_names_what_is_no_command() {
    let told = |bytes: &[u8]| CommandParser::new().feed(bytes).clone_told();
    assert_eq!(told(b"\x99\x20"), Some(Told::Unknown(0x99)));
    assert_eq!(told(b"\x30\x30"), Some(Told::NoEop { opcode: 0x30, found: 0x30 }));
    assert_eq!(told(b"\x64\x00\x00F\x20"), Some(Told::BadLength(0)));
    assert_eq!(told(b"\x64\x01\x01F\x20"), Some(Told::BadLength(257)));
    assert_eq!(told(b"\x64\x00\x01X\xaa\x20"), Some(Told::BadMemory(b'X')));
    assert_eq!(told(b"\x74\x00\x01X\x20"), Some(Told::BadMemory(b'X')));
    assert_eq!(told(b"\x64\x00\x01F\xaa"), None);
}

trait CloneTold {
    fn clone_told(self) -> Option<Told>;
}

impl CloneTold for Heard<'_> {
    fn clone_told(self) -> Option<Told> {
        match self {
            Heard::Told { told, .. } => Some(told),
            Heard::Need => None,
        }
    }
}
