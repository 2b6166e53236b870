//! What holds for any command, any reply, and any bytes; and both ends of an exchange against each other.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use farmhand_wire::fastboot::device::{Dialogue, Heard};
use farmhand_wire::fastboot::variable::{Bare, number, split_line};
use farmhand_wire::fastboot::{
    Arguments, Command, CommandLimit, DataPhase, Event, Exchange, Extent, Limits, Outcome, Partition,
    RebootTarget, Reply, Slot, Variable, Wants,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn partition() -> impl Strategy<Value = Partition> {
    "[!-9;-~]([ -9;-~]{0,10}[!-9;-~])?".prop_map(|name| Partition::new(name).unwrap())
}

fn arguments() -> impl Strategy<Value = Arguments> {
    "[ -~]{1,20}".prop_map(|words| Arguments::new(words).unwrap())
}

fn extent() -> impl Strategy<Value = Extent> {
    prop_oneof![
        Just(Extent::All),
        any::<u64>().prop_map(|offset| Extent::From { offset }),
        any::<(u64, u64)>().prop_map(|(offset, len)| Extent::Part { offset, len }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        "[ -~]{1,20}".prop_map(|name| Command::GetVar(Variable::new(name).unwrap())),
        any::<u32>().prop_map(Command::Download),
        Just(Command::Upload),
        (partition(), extent()).prop_map(|(partition, extent)| Command::Fetch { partition, extent }),
        partition().prop_map(Command::Flash),
        partition().prop_map(Command::Erase),
        Just(Command::Boot),
        Just(Command::Continue),
        prop_oneof![
            Just(RebootTarget::System),
            Just(RebootTarget::Bootloader),
            Just(RebootTarget::Fastboot),
            Just(RebootTarget::Recovery),
        ]
        .prop_map(Command::Reboot),
        "[!-9;-~]{1,3}".prop_map(|slot| Command::SetActive(Slot::new(slot).unwrap())),
        arguments().prop_map(Command::Oem),
        arguments().prop_map(Command::Flashing),
        Just(Command::PowerDown),
        (partition(), any::<bool>()).prop_map(|(partition, wipe)| Command::UpdateSuper { partition, wipe }),
        (partition(), any::<u64>()).prop_map(|(partition, len)| Command::CreateLogical { partition, len }),
        partition().prop_map(Command::DeleteLogical),
        (partition(), any::<u64>()).prop_map(|(partition, len)| Command::ResizeLogical { partition, len }),
    ]
}

fn message() -> impl Strategy<Value = Reply> {
    prop_oneof!["[^\0]{0,60}".prop_map(Reply::Info), "[^\0]{0,60}".prop_map(Reply::Text)]
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        message(),
        "[^\0]{0,60}".prop_map(Reply::Fail),
        "[^\0]{0,60}".prop_map(Reply::Okay),
        any::<u32>().prop_map(Reply::Data),
    ]
}

/// Mostly bytes that mean something.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "OKAY",
        "FAIL",
        "INFO",
        "TEXT",
        "DATA00000004",
        "DATA",
        "getvar:",
        "download:",
        "fetch:",
        "flash:",
        "oem ",
    ]);
    (proptest::option::of(known), vec(any::<u8>(), 0..12))
        .prop_map(|(tag, bytes)| [tag.unwrap_or_default().as_bytes(), &bytes].concat())
}

/// `bytes`, cut in pieces of which the last ends the packet.
fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<(&'a [u8], bool)> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    let count = at.len() - 1;
    at.windows(2).enumerate().map(|(n, pair)| (&bytes[pair[0]..pair[1]], n + 1 == count)).collect()
}

proptest! {
    #[test]
    fn a_device_hears_the_command_that_a_host_says(command in command(), cuts in vec(any::<prop::sample::Index>(), 0..4)) {
        let bytes = command.encode(CommandLimit::Long).unwrap();
        let mut device = Dialogue::new(CommandLimit::Long);
        let mut heard = Vec::new();
        for (piece, last) in pieces(&bytes, &cuts) {
            match device.received(piece, last).unwrap() {
                Heard::Need => prop_assert!(!last),
                Heard::Command(command) => heard.push(command),
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert_eq!(heard, vec![command]);
    }

    #[test]
    fn a_host_hears_the_reply_that_a_device_says(reply in reply()) {
        prop_assert_eq!(Reply::parse(&reply.encode().unwrap()), Ok(reply));
    }

    #[test]
    fn any_packet_is_a_command_that_says_itself_or_an_error(packet in packet()) {
        if let Ok(command) = Command::parse(&packet) {
            let again = command.encode(CommandLimit::Long).unwrap();
            prop_assert_eq!(Command::parse(&again), Ok(command));
        }
    }

    #[test]
    fn any_packets_end_or_go_on(command in command(), packets in vec((packet(), any::<bool>()), 0..12)) {
        let mut exchange = Exchange::new(&command, Limits::default());
        for (packet, last) in packets {
            let ended = exchange.wants() == Wants::Nothing;
            let result = exchange.received(&packet, last);
            prop_assert_eq!(ended, matches!(result, Err(farmhand_wire::fastboot::ExchangeError::Misused)));
            let done = matches!(result, Err(_) | Ok(Event::Done(_)));
            prop_assert_eq!(done, exchange.wants() == Wants::Nothing);
        }
    }

    #[test]
    fn both_ends_agree_on_a_whole_exchange(
        command in command(),
        before in vec(message(), 0..4),
        data in vec(any::<u8>(), 0..200),
        chunk_len in 1usize..50,
        after in vec(message(), 0..4),
        end in prop_oneof!["[^\0]{0,60}".prop_map(Reply::Okay), "[^\0]{0,60}".prop_map(Reply::Fail)],
    ) {
        let command = match command {
            Command::Download(_) => Command::Download(u32::try_from(data.len()).unwrap()),
            Command::Fetch { partition, extent: Extent::Part { offset, .. } } => {
                Command::Fetch { partition, extent: Extent::Part { offset, len: data.len() as u64 } }
            }
            other => other,
        };
        let phase = command.data_phase();
        let mut device = Dialogue::new(CommandLimit::Long);
        let mut host = Exchange::new(&command, Limits::default());
        device.received(&command.encode(CommandLimit::Long).unwrap(), true).unwrap();

        for message in before {
            let packet = device.reply(&message).unwrap();
            let event = host.received(&packet, true).unwrap();
            prop_assert_eq!(event, told(message));
        }
        if phase != DataPhase::None {
            let packet = device.reply(&Reply::Data(u32::try_from(data.len()).unwrap())).unwrap();
            host.received(&packet, true).unwrap();
            let mut arrived = Vec::new();
            for chunk in data.chunks(chunk_len) {
                if matches!(phase, DataPhase::ToDevice { .. }) {
                    host.sent(chunk.len() as u64).unwrap();
                    let Heard::Data { bytes, .. } = device.received(chunk, false).unwrap() else { panic!() };
                    arrived.extend_from_slice(bytes);
                } else {
                    device.sent(chunk.len() as u64).unwrap();
                    let Event::Data { bytes, .. } = host.received(chunk, false).unwrap() else { panic!() };
                    arrived.extend_from_slice(bytes);
                }
            }
            prop_assert_eq!(arrived, data);
            let closing = matches!(host.wants(), Wants::Reply { .. });
            prop_assert!(closing);
            for message in after {
                let packet = device.reply(&message).unwrap();
                prop_assert_eq!(host.received(&packet, true).unwrap(), told(message));
            }
        }
        let packet = device.reply(&end).unwrap();
        prop_assert_eq!(host.received(&packet, true).unwrap(), told(end));
    }

    #[test]
    fn numbers_survive_being_written(value in any::<u64>()) {
        for text in [format!("0x{value:x}"), format!(" {value:#018X}").replace("0X", "0x"), format!("{value}")] {
            prop_assert_eq!(number(&text, Bare::Decimal), Some(value));
        }
        prop_assert_eq!(number(&format!("{value:x}"), Bare::Hexadecimal), Some(value));
    }

    #[test]
    fn a_line_is_split_where_it_was_joined(
        name in "[a-z][a-z-]{0,10}x", value in "[!-9;-~]([ -~]{0,10}[!-9;-~])?", argument in "[a-z_]{1,9}",
    ) {
        let line = format!("{name}: {value}");
        prop_assert_eq!(split_line(&line), Some((&name[..], &value[..])));
        let keyed = format!("partition-size:{argument}");
        let line = format!("{keyed}:{value}");
        prop_assert_eq!(split_line(&line), Some((&keyed[..], &value[..])));
    }
}

/// What a host makes of a reply.
fn told(reply: Reply) -> Event<'static> {
    match reply {
        Reply::Info(text) => Event::Info(text),
        Reply::Text(text) => Event::Text(text),
        Reply::Okay(value) => Event::Done(Outcome::Okay(value)),
        Reply::Fail(text) => Event::Done(Outcome::Fail(text)),
        Reply::Data(_) => Event::Need,
    }
}
