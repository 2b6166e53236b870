//! Whatever arrives, however it is cut.

use farmhand_agent_messages::{
    Command, Data, Decoder, FRAME_LEN_MAX, FrameError, MESSAGE_LEN_MAX, ToAgent, encode,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn message() -> impl Strategy<Value = ToAgent> {
    prop_oneof![
        (any::<u32>(), any::<u64>()).prop_map(|(version, nonce)| ToAgent::Hello { version, nonce }),
        (any::<u64>(), vec(any::<u8>(), 0..2000))
            .prop_map(|(id, bytes)| ToAgent::Input { id, bytes: Data(bytes) }),
        (any::<u64>(), vec(".{0,20}", 0..8), vec((".{0,9}", ".{0,9}"), 0..4)).prop_map(|(id, argv, env)| {
            ToAgent::Run { id, command: Command { argv, env, cwd: None, timeout_ms: Some(id) } }
        }),
        (any::<u64>(), any::<i32>()).prop_map(|(id, number)| ToAgent::Signal { id, number }),
    ]
}

/// What comes of `bytes`, cut as `cuts` says.
fn heard(bytes: &[u8], cuts: &[usize]) -> Vec<Result<ToAgent, FrameError>> {
    let mut decoder = Decoder::default();
    let (mut all, mut rest, mut cuts) = (Vec::new(), bytes, cuts.iter().cycle());
    while !rest.is_empty() {
        let (mut chunk, behind) =
            rest.split_at((*cuts.next().expect("one cut at least")).clamp(1, rest.len()));
        while let Some(next) = decoder.next(&mut chunk) {
            all.push(next);
        }
        assert!(chunk.is_empty());
        assert!(decoder.kept() < FRAME_LEN_MAX);
        rest = behind;
    }
    all
}

proptest! {
    #[test]
    fn any_cut_is_the_same(messages in vec(message(), 1..6), cuts in vec(1..700usize, 1..20)) {
        let bytes: Vec<u8> = messages.iter().flat_map(|message| encode(message).unwrap()).collect();
        let expect: Vec<_> = messages.into_iter().map(Ok).collect();
        prop_assert_eq!(heard(&bytes, &cuts), expect);
    }

    #[test]
    fn garbage_before_costs_nothing(
        garbage in vec(any::<u8>(), 0..3000),
        messages in vec(message(), 1..4),
        cuts in vec(1..700usize, 1..20),
    ) {
        let mut bytes = garbage;
        bytes.push(0);
        bytes.extend(messages.iter().flat_map(|message| encode(message).unwrap()));
        let all = heard(&bytes, &cuts);
        let expect: Vec<_> = messages.into_iter().map(Ok).collect();
        prop_assert_eq!(&all[all.len() - expect.len()..], &expect[..]);
        // What is no frame has a CRC that does not fit: the chance of another outcome is 1 in 2^32 a frame.
        prop_assert!(all[..all.len() - expect.len()].iter().all(Result::is_err));
    }

    #[test]
    fn a_torn_frame_costs_itself(
        first in message(), torn in message(), last in message(), at in any::<prop::sample::Index>(),
        zero in any::<bool>(),
    ) {
        let torn = encode(&torn).unwrap();
        let cut = at.index(torn.len() - 1);
        let mut bytes = encode(&first).unwrap();
        bytes.extend(&torn[..cut]);
        bytes.extend(zero.then_some(0));
        bytes.extend(encode(&last).unwrap());
        let all = heard(&bytes, &[97]);
        prop_assert_eq!(&all[0], &Ok(first));
        // Without the zero it takes the next one with it.
        if zero || cut == 0 {
            prop_assert_eq!(all.last().unwrap(), &Ok(last));
            prop_assert_eq!(all.len(), 2 + usize::from(cut > 0));
        } else {
            prop_assert_eq!(all.len(), 2);
            prop_assert_eq!(&all[1], &Err(FrameError::Torn));
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed(message in message(), at in any::<prop::sample::Index>(), bit in 0..8u32) {
        let mut bytes = encode(&message).unwrap();
        let at = at.index(bytes.len() - 1);
        bytes[at] ^= 1 << bit;
        prop_assert!(heard(&bytes, &[64]).iter().all(Result::is_err));
    }

    #[test]
    fn noise_is_never_kept(noise in vec(1..=255u8, 0..4000), times in 1..60usize) {
        let bytes = noise.repeat(times);
        let after = encode(&ToAgent::Taken { id: 1 }).unwrap();
        let all = heard(&[&bytes[..], &[0], &after].concat(), &[4096]);
        prop_assert_eq!(all.last(), Some(&Ok(ToAgent::Taken { id: 1 })));
        prop_assert!(all.len() <= 2);
    }
}

#[test]
fn the_longest_message_passes_and_one_more_byte_does_not() {
    let of = |len| ToAgent::Input { id: 0, bytes: Data(vec![1; len]) };
    // A byte for the variant, one for the id, three for the length, four for the CRC.
    let longest = MESSAGE_LEN_MAX - 9;
    let frame = encode(&of(longest)).unwrap();
    assert!(frame.len() <= FRAME_LEN_MAX);
    assert_eq!(heard(&frame, &[1000]), [Ok(of(longest))]);
    assert_eq!(encode(&of(longest + 1)), Err(FrameError::TooLong));
}

#[test]
fn what_is_known_to_nobody_is_told_apart_from_what_is_torn() {
    let frame = encode(&(200u8, 5u8)).unwrap();
    assert_eq!(heard(&frame, &[100]), [Err(FrameError::Unknown)]);
    let longer = encode(&(ToAgent::InputEnd { id: 1 }, 5u8)).unwrap();
    assert_eq!(heard(&longer, &[100]), [Err(FrameError::Unknown)]);
}
