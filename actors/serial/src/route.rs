//! Whose bytes these are: the borrower's, or the console's. Pure.
//!
//! While the port is lent, bytes are a protocol's, until the driver begins an epoch: from there they are console
//! output, beginning with what the driver gives back and what it has not taken.

use std::collections::VecDeque;

use bytes::Bytes;

/// Where a chunk goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Recorder,
    Borrower,
}

/// Where the port's bytes go.
#[derive(Debug, Default)]
pub(crate) struct Route {
    loan: Option<Loan>,
}

#[derive(Debug, Default)]
struct Loan {
    /// Sent to the borrower and not known to be taken, oldest first.
    untaken: VecDeque<Bytes>,
    /// Chunks sent in this loan that are no longer in `untaken`.
    taken: u64,
    /// An epoch was begun: what comes is console output, though the borrower still holds the port.
    begun: bool,
}

impl Route {
    /// The port is lent.
    pub(crate) fn is_lent(&self) -> bool {
        self.loan.is_some()
    }

    /// Bytes are console output: the port is not lent, or the borrower has begun an epoch.
    pub(crate) fn is_console(&self) -> bool {
        self.loan.as_ref().is_none_or(|loan| loan.begun)
    }

    /// Chunks that the borrower was sent and may not have taken.
    pub(crate) fn untaken(&self) -> usize {
        self.loan.as_ref().map_or(0, |loan| loan.untaken.len())
    }

    /// Lends the port.
    pub(crate) fn lend(&mut self) {
        debug_assert!(self.loan.is_none(), "lent once at a time");
        self.loan = Some(Loan::default());
    }

    /// Takes a chunk of the device; `taken` is how many the borrower took in this loan.
    pub(crate) fn chunk(&mut self, chunk: &Bytes, taken: u64) -> To {
        match &mut self.loan {
            Some(loan) if !loan.begun => {
                loan.forget(taken);
                loan.untaken.push_back(chunk.clone());
                To::Borrower
            }
            _ => To::Recorder,
        }
    }

    /// The borrower begins an epoch: what opens it, in order.
    pub(crate) fn begin(&mut self, unread: Bytes, taken: u64) -> Vec<Bytes> {
        let mut first = vec![unread];
        if let Some(loan) = &mut self.loan {
            first.extend(loan.rest(taken));
            loan.begun = true;
        }
        first.retain(|bytes| !bytes.is_empty());
        first
    }

    /// The port comes back: what the borrower has not taken, in order.
    pub(crate) fn give_back(&mut self, taken: u64) -> Vec<Bytes> {
        self.loan.take().map(|mut loan| loan.rest(taken)).unwrap_or_default()
    }
}

impl Loan {
    fn forget(&mut self, taken: u64) {
        while self.taken < taken && self.untaken.pop_front().is_some() {
            self.taken += 1;
        }
    }

    fn rest(&mut self, taken: u64) -> Vec<Bytes> {
        self.forget(taken);
        self.untaken.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What happens at a lent port.
    #[derive(Debug, Clone)]
    enum Step {
        /// The device says so many bytes.
        Device(usize),
        /// The borrower takes a chunk from its channel.
        Take,
        Lend,
        /// The borrower begins an epoch, and gives back so many of the bytes that it took last.
        Begin(usize),
        Return,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (1_usize..9).prop_map(Step::Device),
            4 => Just(Step::Take),
            1 => Just(Step::Lend),
            1 => (0_usize..20).prop_map(Step::Begin),
            1 => Just(Step::Return),
        ];
        prop::collection::vec(step, 0..120)
    }

    proptest! {
        /// Every byte is counted once: it was kept by a borrower or is recorded, in order; what is recorded in an
        /// epoch is exactly what came from its boundary on.
        #[test]
        fn no_byte_is_lost_or_doubled(steps in steps()) {
            let mut route = Route::default();
            let mut said = 0_u32;
            let mut channel: VecDeque<Bytes> = VecDeque::new();
            let mut count = 0;
            // What the borrower holds of this loan, as numbers of bytes.
            let mut held: Vec<u32> = Vec::new();
            let mut kept: Vec<u32> = Vec::new();
            let mut recorded: Vec<u32> = Vec::new();
            let mut boundaries = Vec::new();
            let number = |bytes: &Bytes| -> Vec<u32> {
                bytes.chunks(4).map(|four| u32::from_le_bytes(four.try_into().unwrap())).collect()
            };
            let bytes = |numbers: &[u32]| -> Bytes { numbers.iter().flat_map(|n| n.to_le_bytes()).collect() };
            for step in steps {
                match step {
                    Step::Device(len) => {
                        let numbers: Vec<u32> = (said..said + u32::try_from(len).unwrap()).collect();
                        said = numbers.last().unwrap() + 1;
                        let chunk = bytes(&numbers);
                        match route.chunk(&chunk, count) {
                            To::Borrower => channel.push_back(chunk),
                            To::Recorder => recorded.extend(numbers),
                        }
                    }
                    Step::Take if !route.is_console() => {
                        if let Some(chunk) = channel.pop_front() {
                            count += 1;
                            held.extend(number(&chunk));
                        }
                    }
                    Step::Lend if !route.is_lent() => {
                        route.lend();
                        (count, channel) = (0, VecDeque::new());
                    }
                    Step::Begin(back) if !route.is_console() => {
                        let unread = held.split_off(held.len().saturating_sub(back));
                        let untaken: Vec<u32> = channel.iter().flat_map(&number).collect();
                        let boundary = unread.first().or(untaken.first()).copied().unwrap_or(said);
                        boundaries.push((boundary, recorded.len()));
                        recorded.extend(route.begin(bytes(&unread), count).iter().flat_map(&number));
                        channel.clear();
                    }
                    Step::Return if route.is_lent() => {
                        recorded.extend(route.give_back(count).iter().flat_map(&number));
                        kept.append(&mut held);
                        channel.clear();
                    }
                    _ => {}
                }
            }
            recorded.extend(route.give_back(count).iter().flat_map(&number));
            kept.append(&mut held);
            prop_assert!(recorded.is_sorted());
            for (boundary, at) in boundaries {
                prop_assert!(recorded[..at].iter().all(|n| *n < boundary));
                prop_assert!(recorded[at..].iter().all(|n| *n >= boundary));
                prop_assert!(kept.iter().all(|n| *n < boundary || !recorded.contains(n)));
            }
            let mut all = [recorded, kept].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..said).collect::<Vec<_>>());
        }
    }
}
