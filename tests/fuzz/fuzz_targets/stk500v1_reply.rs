//! Any bytes from a device: no panic, the same results in one chunk and byte by byte, nothing lost.
#![no_main]

use farmhand_wire::stk500v1::{Command, Fed, Memory, Parameter, ReplyParser};
use libfuzzer_sys::fuzz_target;

/// Each result, and how many bytes had gone by.
fn results(
    mut parser: ReplyParser,
    chunks: impl Iterator<Item = Vec<u8>>,
) -> (Vec<(String, usize)>, Vec<u8>) {
    let mut results = Vec::new();
    let mut gone = 0;
    for chunk in chunks {
        let mut rest = &chunk[..];
        loop {
            let (result, unused) = match parser.feed(rest) {
                Fed::Need => break,
                Fed::Reply { reply, unused } => (format!("{reply:?}"), unused),
                Fed::Error { error, unused } => (format!("{error} {error:?}"), unused),
            };
            assert!(rest.ends_with(unused) && unused.len() < rest.len());
            results.push((result, gone + chunk.len() - unused.len()));
            rest = unused;
        }
        gone += chunk.len();
    }
    (results, parser.heard())
}

fuzz_target!(|input: (u8, u8, Vec<u8>)| {
    let (which, garbage_max, bytes) = input;
    let command = match which % 4 {
        0 => Command::GetSync,
        1 => Command::GetParameter(Parameter::SW_MAJOR),
        2 => Command::ReadSignature,
        _ => Command::ReadPage { memory: Memory::Flash, len: u16::from(which) },
    };
    let parser = ReplyParser::new(&command).allowing_garbage(usize::from(garbage_max));
    let whole = results(parser.clone(), std::iter::once(bytes.clone()));
    assert_eq!(whole, results(parser, bytes.iter().map(|byte| vec![*byte])));
});
