//! Any bytes from a host: no panic, the wait is bounded, and what is understood says the same bytes again.
#![no_main]

use farmhand_wire::stk500v1::device::{CommandParser, Heard, Told};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut parser = CommandParser::new();
    let mut rest = bytes;
    while let Heard::Told { told, unused } = parser.feed(rest) {
        let taken = &rest[..rest.len() - unused.len()];
        assert!(!taken.is_empty());
        if let Told::Command(command) = told {
            let mut again = Vec::new();
            command.encode(&mut again);
            assert_eq!(again, taken);
        }
        rest = unused;
    }
    assert!(rest.len() <= 4 + 256 + 1);
});
