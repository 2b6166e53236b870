//! The requests that every device answers (USB 2.0, 9.4).

use std::collections::BTreeSet;

use bytes::Bytes;

use super::descriptors::Descriptors;
use super::function::{Control, Setup};

const GET_STATUS: u8 = 0;
const CLEAR_FEATURE: u8 = 1;
const SET_FEATURE: u8 = 3;
const GET_DESCRIPTOR: u8 = 6;
/// The feature selector of an endpoint's halt.
const ENDPOINT_HALT: u16 = 0;

/// What a request that every device answers asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standard {
    /// It is answered with this.
    Answered(Control),
    /// An endpoint's halt is cleared.
    ClearHalt(u8),
    /// An endpoint is halted.
    Halt(u8),
    /// It is the function's own.
    NotOurs,
}

/// What becomes of a request. Those for the configuration and for settings are packets of their own.
pub(crate) fn standard(setup: Setup, descriptors: &Descriptors, halted: &BTreeSet<u8>) -> Standard {
    // Neither of the class nor of the vendor.
    if setup.request_type & 0x60 != 0 {
        return Standard::NotOurs;
    }
    let answer = |bytes: Option<Bytes>| Standard::Answered(bytes.map_or(Control::Stall, Control::Done));
    let [_, endpoint] = setup.index.to_be_bytes();
    match (setup.request_type, setup.request) {
        (0x80, GET_DESCRIPTOR) => {
            let [kind, index] = setup.value.to_be_bytes();
            answer(match (kind, index) {
                (1, _) => Some(descriptors.device()),
                (2, 0) => Some(descriptors.configuration()),
                (3, _) => descriptors.string(index),
                _ => None,
            })
        }
        (0x80 | 0x81, GET_STATUS) => answer(Some(Bytes::from_static(&[0, 0]))),
        (0x82, GET_STATUS) => {
            answer(Some(Bytes::copy_from_slice(&[u8::from(halted.contains(&endpoint)), 0])))
        }
        (0x02, CLEAR_FEATURE) if setup.value == ENDPOINT_HALT => Standard::ClearHalt(endpoint),
        (0x02, SET_FEATURE) if setup.value == ENDPOINT_HALT => Standard::Halt(endpoint),
        // Waking the host up, or test modes: no device of ours does.
        _ => answer(None),
    }
}
