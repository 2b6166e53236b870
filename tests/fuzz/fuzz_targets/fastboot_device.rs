//! Any bytes from a host: no panic, what is understood says the same again, and data is counted to the byte.
#![no_main]

use farmhand_wire::fastboot::device::{Dialogue, DialogueError, Heard};
use farmhand_wire::fastboot::{Command, CommandLimit, DataPhase, Effect, Reply};
use libfuzzer_sys::fuzz_target;

// Each line is a piece; one that begins with `-` goes on in the next.
fuzz_target!(|bytes: &[u8]| {
    let mut device = Dialogue::new(CommandLimit::Classic);
    for line in bytes.split(|byte| *byte == b'\n') {
        let (piece, last) = match line.strip_prefix(b"-") {
            Some(piece) => (piece, false),
            None => (line, true),
        };
        let before = device.receiving();
        match device.received(piece, last) {
            Ok(Heard::Need) => {}
            Ok(Heard::Command(command)) => answer(&mut device, &command),
            Ok(Heard::Bad { error, packet }) => {
                assert!(packet.len() <= 65);
                assert!(!error.to_string().is_empty());
                device.reply(&Reply::Fail("no".into())).unwrap();
            }
            Ok(Heard::Data { bytes, remaining }) => {
                assert_eq!(before, Some(remaining + bytes.len() as u64));
                if remaining == 0 {
                    device.reply(&Reply::Okay(String::new())).unwrap();
                }
            }
            Err(DialogueError::DataTooLong { excess }) => {
                assert_eq!(before, Some(piece.len() as u64 - excess));
                device.reset();
            }
            Err(error) => panic!("{error}"),
        }
    }
});

/// As a device that does what it is told.
fn answer(device: &mut Dialogue, command: &Command) {
    let again = command.encode(CommandLimit::Long).unwrap();
    assert_eq!(Command::parse(&again).as_ref(), Ok(command));
    if matches!(command, Command::Flash(_) | Command::Erase(_) | Command::Oem(_) | Command::Raw(_)) {
        assert!(matches!(command.effect(), Effect::Writes(_)));
    }
    match command.data_phase() {
        DataPhase::None => {
            device.reply(&Reply::Okay(String::new())).unwrap();
        }
        DataPhase::ToDevice { len } => {
            device.reply(&Reply::Data(len)).unwrap();
            if len == 0 {
                device.reply(&Reply::Okay(String::new())).unwrap();
            }
        }
        DataPhase::FromDevice { .. } => {
            device.reply(&Reply::Data(3)).unwrap();
            device.sent(3).unwrap();
            device.reply(&Reply::Okay(String::new())).unwrap();
        }
    }
}
