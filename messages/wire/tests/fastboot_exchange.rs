//! Both sides of one command, each against the documents' sequences and against what must not be.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use farmhand_wire::fastboot::device::{Dialogue, DialogueError, Heard};
use farmhand_wire::fastboot::{
    Command, CommandError, CommandLimit, Event, Exchange, ExchangeError, Limits, Outcome, Reply, ReplyError,
    Wants,
};

fn exchange(command: &str) -> Exchange {
    Exchange::new(&command.parse().unwrap(), Limits::default())
}

fn okay(value: &str) -> Event<'static> {
    Event::Done(Outcome::Okay(value.into()))
}

/// The last of these packets, each whole.
fn last(command: &str, packets: &[&'static [u8]]) -> Result<Event<'static>, ExchangeError> {
    let mut exchange = exchange(command);
    let (end, before) = packets.split_last().unwrap();
    for packet in before {
        exchange.received(packet, true).unwrap();
    }
    let result = exchange.received(end, true);
    if !matches!(result, Ok(Event::SendData { .. } | Event::ReceiveData { .. } | Event::Data { .. })) {
        assert_eq!(exchange.wants(), Wants::Nothing);
        assert_eq!(exchange.received(b"OKAY", true), Err(ExchangeError::Misused));
    }
    result
}

#[test]
fn a_variable_is_read() {
    assert_eq!(last("getvar:version", &[b"OKAY0.4"]), Ok(okay("0.4")));
    let fail = Event::Done(Outcome::Fail("Unknown variable".into()));
    assert_eq!(last("getvar:none", &[b"FAILUnknown variable"]), Ok(fail));
}

#[test]
fn messages_come_before_the_end() {
    let mut exchange = exchange("flash:boot");
    assert_eq!(exchange.received(b"INFOerasing", true), Ok(Event::Info("erasing".into())));
    assert_eq!(exchange.received(b"TEXT50 %", true), Ok(Event::Text("50 %".into())));
    assert_eq!(exchange.received(b"", true), Ok(Event::Need));
    assert_eq!(exchange.received(b"INFOwri", false), Ok(Event::Need));
    assert_eq!(exchange.received(b"ting", true), Ok(Event::Info("writing".into())));
    assert_eq!(exchange.received(b"OKAY", true), Ok(okay("")));
}

#[test]
fn data_goes_to_the_device() {
    let mut exchange = exchange("download:00001234");
    assert_eq!(exchange.received(b"INFOwait", true), Ok(Event::Info("wait".into())));
    assert_eq!(exchange.received(b"DATA00001234", true), Ok(Event::SendData { len: 0x1234 }));
    exchange.sent(0x1000).unwrap();
    assert_eq!(exchange.wants(), Wants::SendData { remaining: 0x234 });
    exchange.sent(0x234).unwrap();
    assert_eq!(exchange.wants(), Wants::Reply { len_max: 4096 });
    assert_eq!(exchange.received(b"INFOchecking", true), Ok(Event::Info("checking".into())));
    assert_eq!(exchange.received(b"OKAY", true), Ok(okay("")));
}

#[test]
fn data_comes_from_the_device() {
    let mut exchange = exchange("fetch:boot:0x00000000:0x00000008");
    assert_eq!(exchange.received(b"DATA00000008", true), Ok(Event::ReceiveData { len: 8 }));
    assert_eq!(exchange.wants(), Wants::Data { remaining: 8 });
    // Data may look like a reply.
    assert_eq!(exchange.received(b"FAIL", false), Ok(Event::Data { bytes: b"FAIL", remaining: 4 }));
    assert_eq!(exchange.received(b"", true), Ok(Event::Need));
    assert_eq!(exchange.received(b"OKAY", true), Ok(Event::Data { bytes: b"OKAY", remaining: 0 }));
    assert_eq!(exchange.received(b"OKAY", true), Ok(okay("")));
}

#[test]
fn a_data_phase_of_nothing_is_over_as_it_begins() {
    let mut exchange = exchange("download:00000000");
    assert_eq!(exchange.received(b"DATA00000000", true), Ok(Event::SendData { len: 0 }));
    assert_eq!(exchange.received(b"OKAY", true), Ok(okay("")));
}

#[test]
fn a_device_that_lies_is_told_so() {
    use ExchangeError as E;
    let table: Vec<(&str, &[&'static [u8]], E)> = vec![
        ("download:00000010", &[b"DATA00000011"], E::DataLength { asked: 0x10, offered: 0x11 }),
        ("download:00000010", &[b"DATA0000000f"], E::DataLength { asked: 0x10, offered: 0xf }),
        ("download:00000010", &[b"OKAY"], E::MissingData),
        ("upload", &[b"OKAY"], E::MissingData),
        ("boot", &[b"DATA00000001"], E::UnexpectedData { len: 1 }),
        ("upload", &[b"DATA00000001", b"x", b"DATA00000001"], E::UnexpectedData { len: 1 }),
        ("upload", &[b"DATAffffffff"], E::UploadTooLong { offered: u32::MAX, len_max: 1 << 30 }),
        ("fetch:a:0:4", &[b"DATA00000005"], E::UploadTooLong { offered: 5, len_max: 4 }),
        ("upload", &[b"DATA00000002", b"xyz"], E::DataTooLong { excess: 1 }),
        ("upload", &[b"DATA00000002", b"xy", b"z"], ReplyError::TooShort(b"z".to_vec()).into()),
        ("boot", &[b"WAIT"], ReplyError::UnknownTag { excerpt: b"WAIT".to_vec() }.into()),
        ("boot", &[&[b'I'; 4097]], ReplyError::TooLong.into()),
        (
            "download:00000001",
            &[b"DATA00000001", b"FAIL\x1b"],
            E::Interrupted { heard: "FAIL\\u{1b}".into() },
        ),
    ];
    for (command, packets, error) in table {
        assert_eq!(last(command, packets), Err(error), "{command} {packets:?}");
    }
}

#[test]
fn a_reply_without_end_is_cut_off() {
    let mut exchange = exchange("boot");
    assert_eq!(exchange.received(&[b'I'; 4096], false), Ok(Event::Need));
    assert_eq!(exchange.received(b"I", false), Err(ReplyError::TooLong.into()));
}

#[test]
fn a_flood_of_messages_ends() {
    let limits = Limits { messages_max: 3, ..Limits::default() };
    let mut exchange = Exchange::new(&Command::Boot, limits);
    for _ in 0..3 {
        exchange.received(b"INFOx", true).unwrap();
    }
    assert_eq!(exchange.received(b"TEXTx", true), Err(ExchangeError::TooManyMessages { max: 3 }));
    let mut exchange = Exchange::new(&Command::Boot, limits);
    for _ in 0..3 {
        exchange.received(b"TEXTx", true).unwrap();
    }
    assert_eq!(exchange.received(b"OKAY", true), Ok(okay("")));
}

#[test]
fn no_more_is_sent_than_was_agreed() {
    let mut ours = exchange("download:00000004");
    assert_eq!(ours.sent(1), Err(ExchangeError::Misused));
    let mut ours = exchange("download:00000004");
    ours.received(b"DATA00000004", true).unwrap();
    assert_eq!(ours.sent(5), Err(ExchangeError::SentTooMuch { excess: 1 }));
    assert_eq!(ours.wants(), Wants::Nothing);
}

#[test]
fn a_device_hears_commands_and_data() {
    let mut device = Dialogue::new(CommandLimit::Classic);
    assert_eq!(device.received(b"getvar:", false), Ok(Heard::Need));
    let command = "getvar:version".parse().unwrap();
    assert_eq!(device.received(b"version", true), Ok(Heard::Command(command)));
    assert_eq!(device.reply(&Reply::Data(4)), Err(DialogueError::NoDataHere));
    assert_eq!(device.received(b"boot", true), Err(DialogueError::OutOfTurn));
    assert_eq!(device.reply(&Reply::Okay("0.4".into())).unwrap(), b"OKAY0.4");
    assert_eq!(device.reply(&Reply::Okay("0.4".into())), Err(DialogueError::NoReplyHere));

    assert_eq!(device.received(b"download:00000008", true), Ok(Heard::Command(Command::Download(8))));
    assert_eq!(device.reply(&Reply::Info("a".into())).unwrap(), b"INFOa");
    assert_eq!(device.reply(&Reply::Data(8)).unwrap(), b"DATA00000008");
    assert_eq!(device.receiving(), Some(8));
    assert_eq!(device.received(b"12345", true), Ok(Heard::Data { bytes: b"12345", remaining: 3 }));
    assert_eq!(device.received(b"6789", true), Err(DialogueError::DataTooLong { excess: 1 }));
    assert_eq!(device.reply(&Reply::Okay(String::new())), Err(DialogueError::NoReplyHere));
    assert_eq!(device.received(b"", true), Ok(Heard::Need));
    assert_eq!(device.received(b"678", true), Ok(Heard::Data { bytes: b"678", remaining: 0 }));
    assert_eq!(device.reply(&Reply::Data(8)), Err(DialogueError::NoDataHere));
    assert_eq!(device.reply(&Reply::Okay(String::new())).unwrap(), b"OKAY");

    assert_eq!(device.received(b"upload", true), Ok(Heard::Command(Command::Upload)));
    device.reply(&Reply::Data(4)).unwrap();
    assert_eq!(device.sent(5), Err(DialogueError::SentTooMuch { excess: 1 }));
    assert_eq!(device.sent(3), Ok(()));
    assert_eq!(device.sending(), Some(1));
    assert_eq!(device.sent(1), Ok(()));
    device.reply(&Reply::Fail("late".into())).unwrap();
}

#[test]
fn a_device_survives_what_is_no_command() {
    let mut device = Dialogue::new(CommandLimit::Classic);
    let long = [b'x'; 200];
    let error = CommandError::TooLong { len: 65, len_max: 64 };
    let bad = Heard::Bad { error, packet: vec![b'x'; 65] };
    assert_eq!(device.received(&long, false), Ok(Heard::Need));
    assert_eq!(device.received(&long, true), Ok(bad));
    device.reply(&Reply::Fail("no".into())).unwrap();
    assert!(matches!(device.received(b"\xff", true), Ok(Heard::Bad { .. })));
    device.reset();
    assert_eq!(device.received(b"boot", true), Ok(Heard::Command(Command::Boot)));
}
