//! Any bytes from a device: no panic, what it may hold is bounded, an exchange that ended stays ended, and a reply that can
//! be said again is the same.
#![no_main]

use farmhand_wire::fastboot::variable::{Bare, number, split_line};
use farmhand_wire::fastboot::{
    Command, Event, Exchange, ExchangeError, Limits, Outcome, REPLY_ACCEPTED_LEN_MAX, Reply, Wants, printable,
};
use libfuzzer_sys::fuzz_target;

const COMMANDS: [&str; 6] =
    ["getvar:all", "download:00000010", "upload", "fetch:boot:0x00000000:0x00000010", "flash:boot", "boot"];

// Each line: a byte that says how it comes, and the piece.
fuzz_target!(|bytes: &[u8]| {
    let Some((which, rest)) = bytes.split_first() else { return };
    let command: Command = COMMANDS[usize::from(*which) % COMMANDS.len()].parse().unwrap();
    let limits = Limits { messages_max: 8, upload_len_max: 64 };
    let mut exchange = Exchange::new(&command, limits);
    let mut messages = 0;
    let mut data_len = 0;
    for line in rest.split(|byte| *byte == b'\n') {
        let Some((how, piece)) = line.split_first() else { continue };
        if let Ok(reply) = Reply::parse(piece) {
            if let Ok(again) = reply.encode() {
                assert_eq!(Reply::parse(&again), Ok(reply));
            }
        }
        let wants = exchange.wants();
        if let (Wants::SendData { remaining }, b's') = (wants, how) {
            exchange.sent(remaining.min(piece.len() as u64)).unwrap();
            continue;
        }
        if let Wants::Reply { len_max } = wants {
            assert_eq!(len_max, REPLY_ACCEPTED_LEN_MAX);
        }
        match exchange.received(piece, *how != b'-') {
            Ok(Event::Need | Event::SendData { .. }) => {}
            Ok(Event::ReceiveData { len }) => assert!(len <= 64),
            Ok(Event::Data { bytes, remaining }) => {
                data_len += bytes.len();
                assert!(data_len as u64 + remaining <= 64);
            }
            Ok(Event::Info(text) | Event::Text(text)) => {
                messages += 1;
                assert!(messages <= 8);
                assert!(!printable(&text).contains('\u{1b}'));
                if let Some((name, value)) = split_line(&text) {
                    assert!(name.len() + value.len() < text.len());
                    let _ = number(value, Bare::of(name));
                }
            }
            Ok(Event::Done(Outcome::Okay(_) | Outcome::Fail(_))) => {
                assert_eq!(exchange.wants(), Wants::Nothing)
            }
            Err(error) => {
                assert_eq!(wants == Wants::Nothing, error == ExchangeError::Misused);
                assert!(!error.to_string().is_empty());
                assert_eq!(exchange.wants(), Wants::Nothing);
            }
        }
    }
});
