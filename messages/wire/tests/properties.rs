//! What holds for any bytes, in any chunks.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use farmhand_wire::stk500v1::device::{CommandParser, Heard, Told};
use farmhand_wire::stk500v1::{
    Command, Dialogue, Fed, Identify, Input, Leave, Machine, Memory, Output, Page, PageData, Parameter,
    ReplyParser, Synchronize, VerifyPages, WireOptions, WritePages,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn memory() -> impl Strategy<Value = Memory> {
    prop_oneof![Just(Memory::Flash), Just(Memory::Eeprom)]
}

fn command() -> impl Strategy<Value = Command> {
    let page = vec(any::<u8>(), 1..=256).prop_map(|bytes| PageData::new(bytes).unwrap());
    prop_oneof![
        Just(Command::GetSync),
        any::<u8>().prop_map(|which| Command::GetParameter(Parameter(which))),
        any::<[u8; 20]>().prop_map(Command::SetDevice),
        any::<[u8; 5]>().prop_map(Command::SetDeviceExt),
        Just(Command::EnterProgmode),
        Just(Command::LeaveProgmode),
        any::<u16>().prop_map(Command::LoadAddress),
        any::<[u8; 4]>().prop_map(Command::Universal),
        (memory(), page).prop_map(|(memory, data)| Command::ProgPage { memory, data }),
        (memory(), any::<u16>()).prop_map(|(memory, len)| Command::ReadPage { memory, len }),
        Just(Command::ReadSignature),
    ]
}

/// Commands whose replies are short enough that random bytes reach their end.
fn short_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(Command::GetSync),
        Just(Command::GetParameter(Parameter::SW_MAJOR)),
        Just(Command::ReadSignature),
        (memory(), 0u16..6).prop_map(|(memory, len)| Command::ReadPage { memory, len }),
    ]
}

/// Mostly bytes that mean something to the protocol.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(0x14u8),
        4 => Just(0x10u8),
        1 => 0x11u8..=0x15,
        1 => Just(0x20u8),
        2 => any::<u8>(),
    ];
    vec(byte, 0..80)
}

/// `bytes` cut where `cuts` say.
fn chunks<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Every result that a parser takes from the chunks: what it is, and how many bytes had gone by.
fn replies(mut parser: ReplyParser, chunks: &[&[u8]]) -> (Vec<(String, usize)>, Vec<u8>) {
    let mut results = Vec::new();
    let mut gone = 0;
    for chunk in chunks {
        let mut rest = *chunk;
        loop {
            let (result, unused) = match parser.feed(rest) {
                Fed::Need => break,
                Fed::Reply { reply, unused } => (format!("{reply:?}"), unused),
                Fed::Error { error, unused } => (format!("{error:?}"), unused),
            };
            assert!(
                rest.ends_with(unused) && unused.len() < rest.len(),
                "takes at least one byte, gives a tail back"
            );
            results.push((result, gone + chunk.len() - unused.len()));
            rest = unused;
        }
        gone += chunk.len();
    }
    (results, parser.heard())
}

proptest! {
    #[test]
    fn a_loader_hears_what_a_host_says(commands in vec(command(), 0..5), cuts in vec(any::<prop::sample::Index>(), 0..8)) {
        let mut bytes = Vec::new();
        commands.iter().for_each(|command| command.encode(&mut bytes));
        let mut parser = CommandParser::new();
        let mut heard = Vec::new();
        for mut rest in chunks(&bytes, &cuts) {
            while let Heard::Told { told, unused } = parser.feed(rest) {
                heard.push(told);
                rest = unused;
            }
        }
        prop_assert_eq!(heard, commands.into_iter().map(Told::Command).collect::<Vec<_>>());
    }

    #[test]
    fn chunks_do_not_matter_to_a_reply(
        command in short_command(),
        bytes in stream(),
        garbage_max in prop_oneof![Just(0usize), 0usize..100],
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let parser = ReplyParser::new(&command).allowing_garbage(garbage_max);
        let whole = replies(parser.clone(), &[&bytes]);
        prop_assert_eq!(&whole, &replies(parser.clone(), &chunks(&bytes, &cuts)));
        prop_assert_eq!(&whole, &replies(parser, &bytes.chunks(1).collect::<Vec<_>>()));
    }

    #[test]
    fn a_reply_is_found_behind_garbage_and_nothing_is_lost(
        command in command(),
        garbage in vec(any::<u8>().prop_filter("not INSYNC", |byte| *byte != 0x14), 0..100),
        behind in vec(any::<u8>(), 0..50),
        fill in any::<u8>(),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let data = vec![fill; command.reply_len()];
        let stream = [&garbage[..], &[0x14], &data, &[0x10], &behind].concat();
        let mut parser = ReplyParser::new(&command).allowing_garbage(100);
        let mut got = None;
        let mut tail = Vec::new();
        for chunk in chunks(&stream, &cuts) {
            if got.is_some() {
                tail.extend_from_slice(chunk);
                continue;
            }
            match parser.feed(chunk) {
                Fed::Need => {}
                Fed::Reply { reply, unused } => {
                    got = Some(reply);
                    tail.extend_from_slice(unused);
                }
                Fed::Error { error, .. } => prop_assert!(false, "{}", error),
            }
        }
        let got = got.expect("the reply is in the stream");
        prop_assert_eq!(got.data, data);
        prop_assert_eq!(got.garbage, garbage);
        prop_assert_eq!(tail, behind);
    }

    #[test]
    fn any_bytes_to_a_loader_end_in_a_result_or_a_bounded_wait(bytes in vec(any::<u8>(), 0..2000)) {
        let mut parser = CommandParser::new();
        let mut since = 0;
        let mut rest = &bytes[..];
        while let Heard::Told { unused, .. } = parser.feed(rest) {
            prop_assert!(unused.len() < rest.len());
            rest = unused;
            since = rest.len();
        }
        prop_assert!(since == rest.len() || rest.len() == bytes.len());
        prop_assert!(rest.len() <= 4 + 256 + 1, "waits for more than a page");
    }

    #[test]
    fn no_input_confuses_a_machine(inputs in vec(prop_oneof![
        6 => stream().prop_map(Some),
        2 => Just(Some(vec![0x14, 0x10])),
        1 => Just(None),
    ], 0..20)) {
        let pages = || vec![Page::new(0, vec![1; 4]).unwrap(), Page::new(128, vec![2; 4]).unwrap()];
        let options = WireOptions { coalesce: inputs.len().is_multiple_of(2) };
        exercise(Synchronize::new(3), &inputs)?;
        exercise(Dialogue::new(Identify::new()), &inputs)?;
        exercise(Dialogue::new(WritePages::new(pages(), options)), &inputs)?;
        exercise(Dialogue::new(VerifyPages::new(pages(), options)), &inputs)?;
        exercise(Dialogue::new(Leave), &inputs)?;
    }
}

/// Whatever comes, a machine that has ended says so, its progress only grows, and its tail is the input's.
fn exercise<M: Machine>(mut machine: M, inputs: &[Option<Vec<u8>>]) -> Result<(), TestCaseError> {
    prop_assert!(matches!(machine.step(Input::Start), Output::Send(_)));
    let mut done = 0;
    let mut ended = false;
    for input in inputs {
        let input = input.as_deref().map_or(Input::TimedOut, Input::Bytes);
        let output = machine.step(input);
        prop_assert!(!ended || matches!(output, Output::Failed { .. }), "goes on behind its end");
        if let (Output::Done { unused, .. } | Output::Failed { unused, .. }, Input::Bytes(bytes)) =
            (&output, input)
        {
            prop_assert!(bytes.ends_with(unused));
        }
        ended |= matches!(output, Output::Done { .. } | Output::Failed { .. });
        let progress = machine.progress();
        prop_assert!(done <= progress.bytes_done && progress.bytes_done <= progress.bytes_total);
        done = progress.bytes_done;
    }
    Ok(())
}
