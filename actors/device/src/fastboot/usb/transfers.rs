//! What is asked of an endpoint next, and taking back what is under way without losing a byte.

use std::collections::VecDeque;

use nusb::Endpoint;
use nusb::transfer::{Buffer, Bulk, BulkOrInterrupt, Completion, EndpointDirection, In, Out};
use tokio::time::timeout;

use crate::fastboot::deadlines::CANCEL;
use crate::fastboot::pipe::PipeError;

/// Bytes of a transfer, the largest of which the kernel gives memory for is taken: the larger, the fewer interruptions.
const TRANSFER_LENS: [usize; 3] = [1 << 20, 256 << 10, 64 << 10];
/// Transfers in flight on one endpoint: while one is filled and one is being completed, two keep the bus busy.
pub(super) const IN_FLIGHT: usize = 4;
/// Where the kernel lends no memory: what it copies itself in one piece (devio.c, `MAX_USBFS_BUFFER_SIZE`). One at a
/// time, so that one which is refused leaves no hole before the next.
const COPIED_LEN: usize = 16 << 10;

/// Buffers of an endpoint. Memory that the kernel lends is counted against `usbfs_memory_mb` as it is lent, 16 MB for all
/// devices together: a transfer in it cannot be refused in the middle.
pub(super) fn buffers<D: EndpointDirection>(endpoint: &Endpoint<Bulk, D>) -> Vec<Buffer> {
    for len in TRANSFER_LENS {
        let lent: Vec<_> =
            (0..IN_FLIGHT).map(|_| endpoint.allocate(len)).take_while(Buffer::is_zero_copy).collect();
        if lent.len() >= 2 {
            return lent;
        }
    }
    vec![Buffer::new(COPIED_LEN)]
}

/// What the next transfer from the device asks for, where `pending` bytes have been asked for of the `remaining`; `None`
/// for no further one yet.
///
/// More than remains is never asked for, or the reply that follows the data would end up in it. A request is a multiple
/// of the packet: so a rest that is none is asked for last and alone, and ends with its short packet.
pub(super) fn next_request(remaining: u64, pending: u64, packet: usize, len_max: usize) -> Option<usize> {
    let packet_len = packet as u64;
    let whole = remaining.saturating_sub(pending) / packet_len * packet_len;
    if whole > 0 {
        let len_max = (len_max / packet).max(1) * packet;
        return Some(usize::try_from(whole).unwrap_or(len_max).min(len_max));
    }
    (pending == 0 && remaining > 0).then_some(packet)
}

/// Takes back all that is under way, and gives what had come to its end.
pub(super) async fn take_back<T: BulkOrInterrupt, D: EndpointDirection>(
    endpoint: &mut Endpoint<T, D>,
) -> Result<VecDeque<Completion>, PipeError> {
    let mut done = VecDeque::new();
    if endpoint.pending() == 0 {
        return Ok(done);
    }
    endpoint.cancel_all();
    while endpoint.pending() > 0 {
        match timeout(CANCEL, endpoint.next_complete()).await {
            Ok(completion) => done.push_back(completion),
            Err(_) => return Err(PipeError::Link("transfers are not given back by the kernel".to_owned())),
        }
    }
    Ok(done)
}

/// Lifts a halt. Nothing may be under way.
pub(super) async fn clear_halt<D: EndpointDirection>(
    endpoint: &mut Endpoint<Bulk, D>,
) -> Result<(), PipeError> {
    use std::future::IntoFuture;
    match timeout(CANCEL, endpoint.clear_halt().into_future()).await {
        Ok(done) => done.map_err(|error| PipeError::Link(error.to_string())),
        Err(_) => Err(PipeError::Link("the kernel does not clear the halt".to_owned())),
    }
}

/// The endpoints, by their direction.
pub(super) type BulkIn = Endpoint<Bulk, In>;
pub(super) type BulkOut = Endpoint<Bulk, Out>;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A device may end any packet early; whatever it does, what was asked for never reaches behind the data.
        #[test]
        fn the_reply_behind_the_data_is_never_asked_for(
            len in 1_u64..20_000,
            packet in prop::sample::select(vec![64_usize, 512, 1024]),
            shorts in prop::collection::vec(0_usize..9000, 0..64),
        ) {
            let mut remaining = len;
            let mut pending: VecDeque<usize> = VecDeque::new();
            let mut shorts = shorts.into_iter();
            while remaining > 0 {
                while pending.len() < IN_FLIGHT {
                    let asked = pending.iter().sum::<usize>() as u64;
                    let Some(next) = next_request(remaining, asked, packet, 4096) else { break };
                    prop_assert_eq!(next % packet, 0);
                    prop_assert!(next <= 4096);
                    pending.push_back(next);
                }
                let asked = pending.iter().sum::<usize>() as u64;
                prop_assert!(asked <= remaining || pending.len() == 1 && remaining < packet as u64);
                let first = pending.pop_front().expect("something is always asked for");
                let full = (first as u64).min(remaining);
                let came = shorts.next().map_or(full, |short| (short as u64).min(full));
                remaining -= came;
            }
            prop_assert!(pending.is_empty());
        }
    }

    #[test]
    fn a_rest_waits_until_it_is_alone() {
        assert_eq!(next_request(1 << 20, 0, 512, 1 << 18), Some(1 << 18));
        assert_eq!(next_request(1000, 0, 512, 1 << 18), Some(512));
        assert_eq!(next_request(1000, 512, 512, 1 << 18), None);
        assert_eq!(next_request(488, 0, 512, 1 << 18), Some(512));
        assert_eq!(next_request(0, 0, 512, 1 << 18), None);
    }
}
