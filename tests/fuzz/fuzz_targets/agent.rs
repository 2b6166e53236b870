//! Any stream from a guest's agent, or to it: no panic, the same in one chunk and byte by byte, what is held is bounded; and what is
//! well framed is read, and written as it was.
#![no_main]

use farmhand_agent_messages::{Decoder, FRAME_LEN_MAX, FrameError, FromAgent, ToAgent, encode};
use libfuzzer_sys::fuzz_target;
use serde::de::DeserializeOwned;
use serde::ser::SerializeTuple;
use serde::{Serialize, Serializer};

/// Bytes that are written as they are.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| bytes.serialize_element(byte))?;
        bytes.end()
    }
}

fn hear<'a, M: DeserializeOwned>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<Result<M, FrameError>> {
    let (mut decoder, mut all) = (Decoder::default(), Vec::new());
    for mut chunk in chunks {
        while let Some(heard) = decoder.next(&mut chunk) {
            all.push(heard);
        }
        assert!(decoder.kept() < FRAME_LEN_MAX);
    }
    all
}

fn either_way<M: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let whole = hear::<M>(std::iter::once(data));
    assert_eq!(hear::<M>(data.chunks(1)), whole);
    // As a message's bytes, which no chance would frame.
    let Ok(frame) = encode(&Raw(data)) else { return };
    if let [Ok(message)] = hear::<M>(std::iter::once(frame.as_slice())).as_slice() {
        let again = encode(message).expect("it was a frame");
        assert_eq!(hear::<M>(std::iter::once(again.as_slice())), [Ok(hear_one(&again))]);
    }
}

fn hear_one<M: DeserializeOwned>(frame: &[u8]) -> M {
    hear(std::iter::once(frame)).remove(0).expect("it was written by us")
}

fuzz_target!(|data: &[u8]| {
    either_way::<ToAgent>(data);
    either_way::<FromAgent>(data);
});
