//! What is tried next, by how the last try ended. Pure: it reads no clock and opens nothing.

use std::collections::VecDeque;
use std::time::Duration;

/// Tries of one mirror that bring nothing new, before the next one's turn.
const FRUITLESS_MAX: u32 = 4;
/// Answers of one mirror that began again although there was something, before the next one's turn: each brings bytes
/// that were there already.
const AGAIN_MAX: u32 = 4;
/// Whole downloads of one mirror that were something else, before the next one's turn: bytes that come do not make up for that.
const WRONG_MAX: u32 = 3;
/// Tries of one mirror in all: one that cuts every 256 kB of the largest archive (400 MB) is still served.
const TRIES_MAX: u32 = 2000;
/// What tries must bring, together, to have brought something: many times what asking for it costs (1 kB).
const USEFUL_BYTES: u64 = 64 << 10;
/// Before a second try; it doubles with each that brings nothing.
const BACK_OFF: Duration = Duration::from_millis(200);
/// The most that a try waits for.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it is there, and its hash is right.
    Whole,
    /// The server says that this was all, and its hash is wrong.
    Wrong {
        /// Its bytes came in one piece, of one answer.
        one_piece: bool,
    },
    /// More came than the file may have.
    TooLong,
    /// It broke off, or the server is busy.
    Cut(Cut),
    /// The server has no such thing, or gives it to nobody.
    Refused,
    /// Nobody answers there.
    Unreachable {
        /// It took as long as a connection may take.
        timed_out: bool,
    },
}

/// How a try broke off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    /// How much is there now, of all tries.
    pub(crate) length: u64,
    /// What was there before was given up for it.
    pub(crate) again: bool,
    /// Nothing arrived for as long as a server may be silent.
    pub(crate) mute: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing.
    Done,
    /// Try that mirror.
    Try {
        /// Its number.
        mirror: usize,
        /// After that long.
        wait: Duration,
        /// From the first byte on, whatever is there.
        afresh: bool,
    },
    /// Tell why not.
    GiveUp {
        /// What is there is known to be of no use.
        afresh: bool,
    },
}

/// What a mirror has done so far.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    tries: u32,
    fruitless: u32,
    /// How often it began again.
    again: u32,
    /// How often its pieces made something else.
    wrong: u32,
    /// Whether it has answered with anything.
    answered: bool,
    /// Whether it was asked for more than it said there was.
    asked_for_more: bool,
}

/// The tries of one download.
#[derive(Debug)]
pub(crate) struct Tries {
    mirror: usize,
    record: Record,
    /// Those that were never asked.
    fresh: VecDeque<usize>,
    /// Those that were mute while others could be asked: their turn comes again after those, once.
    mute: VecDeque<usize>,
    second_turns: bool,
    /// The length that tries are to go beyond: bytes that were there before are nothing new.
    furthest: u64,
}

impl Tries {
    /// For that many mirrors, where there are `length` bytes already. The first mirror is tried first.
    pub(crate) fn new(mirrors: usize, length: u64) -> Self {
        let (fresh, mute) = ((1..mirrors).collect(), VecDeque::new());
        let record = Record::default();
        Self { mirror: 0, record, fresh, mute, second_turns: false, furthest: length }
    }

    /// Whether there are mirrors that were never asked: who is mute is not waited for as long, then.
    pub(crate) fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// One step.
    pub(crate) fn step(&mut self, end: End) -> Next {
        self.record.tries += 1;
        match end {
            End::Whole => Next::Done,
            End::Refused => self.next_mirror(false),
            End::TooLong => self.next_mirror(true),
            End::Cut(cut) => self.cut(cut),
            // One of the pieces was of something else, or was damaged here.
            End::Wrong { one_piece: false } => {
                self.record.wrong += 1;
                if self.record.wrong >= WRONG_MAX { self.next_mirror(true) } else { self.again(true) }
            }
            // It may have lied about the length only: what follows is asked for, once.
            End::Wrong { one_piece: true } if !self.record.asked_for_more => {
                self.record.asked_for_more = true;
                self.again(false)
            }
            End::Wrong { one_piece: true } => self.next_mirror(true),
            // It was there a moment ago.
            End::Unreachable { .. } if self.record.answered => self.brought_nothing(),
            // A server that is being started again refuses for a moment; one that is mute stays so.
            End::Unreachable { timed_out: false } if self.record.fruitless == 0 => self.brought_nothing(),
            End::Unreachable { .. } => self.next_mirror(false),
        }
    }

    fn cut(&mut self, cut: Cut) -> Next {
        self.record.answered = true;
        self.record.again += u32::from(cut.again);
        if self.record.again >= AGAIN_MAX {
            return self.next_mirror(false);
        }
        if cut.length >= self.furthest.saturating_add(USEFUL_BYTES) {
            self.furthest = cut.length;
            self.record.fruitless = 0;
            return self.again(false);
        }
        if cut.mute && self.has_fresh() {
            self.mute.push_back(self.mirror);
            return self.next_mirror(false);
        }
        self.brought_nothing()
    }

    fn brought_nothing(&mut self) -> Next {
        self.record.fruitless += 1;
        if self.record.fruitless >= FRUITLESS_MAX { self.next_mirror(false) } else { self.again(false) }
    }

    fn again(&mut self, afresh: bool) -> Next {
        if self.record.tries >= TRIES_MAX {
            return self.next_mirror(afresh);
        }
        if afresh {
            self.furthest = 0;
        }
        let doubled = BACK_OFF.saturating_mul(1 << self.record.fruitless.min(16).saturating_sub(1));
        let wait = if self.record.fruitless == 0 { Duration::ZERO } else { doubled.min(BACK_OFF_MAX) };
        Next::Try { mirror: self.mirror, wait, afresh }
    }

    fn next_mirror(&mut self, afresh: bool) -> Next {
        if self.fresh.is_empty() && !self.second_turns {
            self.second_turns = true;
            std::mem::swap(&mut self.fresh, &mut self.mute);
        }
        let Some(mirror) = self.fresh.pop_front() else { return Next::GiveUp { afresh } };
        (self.mirror, self.record) = (mirror, Record::default());
        if afresh {
            self.furthest = 0;
        }
        Next::Try { mirror, wait: Duration::ZERO, afresh }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now(mirror: usize, afresh: bool) -> Next {
        Next::Try { mirror, wait: Duration::ZERO, afresh }
    }

    fn cut(length: u64) -> End {
        End::Cut(Cut { length, ..Cut::default() })
    }

    #[test]
    fn a_server_that_brings_something_is_asked_on() {
        let mut tries = Tries::new(1, 0);
        for number in 1..100 {
            assert_eq!(tries.step(cut(number * USEFUL_BYTES)), now(0, false));
        }
        let mut waits = Vec::new();
        while let Next::Try { wait, afresh: false, .. } = tries.step(cut(100)) {
            waits.push(wait.as_millis());
        }
        assert_eq!(waits, [200, 400, 800]);
        // Little by little is something, too.
        let mut tries = Tries::new(1, 0);
        for number in 1..100 {
            assert!(matches!(tries.step(cut(number * USEFUL_BYTES / 3)), Next::Try { mirror: 0, .. }));
        }
    }

    #[test]
    fn a_byte_a_try_is_nothing() {
        let mut tries = Tries::new(2, 0);
        let asked = (1..).find(|&number| tries.step(cut(number)) == now(1, false));
        assert_eq!(asked, Some(u64::from(FRUITLESS_MAX)));
    }

    /// It goes further each time, and brings all that was there again.
    #[test]
    fn one_that_begins_again_is_not_asked_for_ever() {
        let mut tries = Tries::new(2, USEFUL_BYTES);
        let end = |number| End::Cut(Cut { length: number * USEFUL_BYTES, again: true, mute: false });
        let asked = (2..).take_while(|&number| tries.step(end(number)) == now(0, false)).count();
        assert_eq!(asked + 1, AGAIN_MAX as usize);
    }

    #[test]
    fn one_that_is_mute_is_asked_again_after_the_others() {
        let mute = End::Cut(Cut { mute: true, ..Cut::default() });
        let mut tries = Tries::new(3, 0);
        assert!(tries.has_fresh());
        assert_eq!(tries.step(mute), now(1, false));
        assert_eq!(tries.step(End::Refused), now(2, false));
        assert!(!tries.has_fresh());
        for _ in 1..FRUITLESS_MAX {
            assert!(matches!(tries.step(mute), Next::Try { mirror: 2, .. }));
        }
        assert_eq!(tries.step(mute), now(0, false));
        for _ in 1..FRUITLESS_MAX {
            assert!(matches!(tries.step(mute), Next::Try { mirror: 0, .. }));
        }
        assert_eq!(tries.step(mute), Next::GiveUp { afresh: false });
    }

    #[test]
    fn wrong_bytes_send_to_the_next_mirror() {
        let mut tries = Tries::new(2, 0);
        assert_eq!(tries.step(End::Wrong { one_piece: true }), now(0, false), "there may be more");
        assert_eq!(tries.step(End::Wrong { one_piece: true }), now(1, true));
        assert!(matches!(
            tries.step(End::Wrong { one_piece: false }),
            Next::Try { mirror: 1, afresh: true, .. }
        ));
        assert_eq!(tries.step(End::Whole), Next::Done);
    }

    #[test]
    fn one_without_end_makes_way() {
        let mut tries = Tries::new(2, 0);
        assert_eq!(tries.step(End::TooLong), now(1, true));
        assert_eq!(tries.step(End::TooLong), Next::GiveUp { afresh: true });
    }

    #[test]
    fn nobody_there_is_told_soon() {
        let mut tries = Tries::new(2, 0);
        let refused = End::Unreachable { timed_out: false };
        assert!(matches!(tries.step(refused), Next::Try { mirror: 0, .. }));
        assert_eq!(tries.step(refused), now(1, false));
        assert_eq!(tries.step(End::Unreachable { timed_out: true }), Next::GiveUp { afresh: false });
    }

    /// What a server does with a request.
    #[derive(Debug, Clone)]
    enum Act {
        /// Sends that many bytes of what was asked for.
        Follow {
            bytes: u64,
            mute: bool,
        },
        /// Sends that many from the first on.
        Begin {
            bytes: u64,
            mute: bool,
        },
        Stray,
        Wrong,
        TooLong,
        Refused,
        Unreachable {
            timed_out: bool,
        },
    }

    /// As long as what is fetched is in these tests.
    const SIZE: u64 = 10 * USEFUL_BYTES;

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let bytes = || prop_oneof![0..3_u64, 0..SIZE];
        let one = prop_oneof![
            4 => (bytes(), any::<bool>()).prop_map(|(bytes, mute)| Act::Follow { bytes, mute }),
            4 => (bytes(), any::<bool>()).prop_map(|(bytes, mute)| Act::Begin { bytes, mute }),
            1 => Just(Act::Stray),
            1 => Just(Act::Wrong),
            1 => Just(Act::TooLong),
            1 => Just(Act::Refused),
            1 => any::<bool>().prop_map(|timed_out| Act::Unreachable { timed_out }),
        ];
        prop::collection::vec(one, 1..60)
    }

    proptest! {
        /// Whatever servers do, for ever: every mirror is asked, each a few times, none for more than a few times the
        /// file, and it ends.
        #[test]
        fn it_ends(acts in acts(), mirrors in 1..5_usize, there in 0..SIZE) {
            let mut tries = Tries::new(mirrors, there);
            let (mut length, mut pieces, mut mirror) = (there, 2, 0);
            let mut asked = vec![0_u64; mirrors];
            let mut fetched = vec![0_u64; mirrors];
            for act in acts.iter().cycle() {
                asked[mirror] += 1;
                let had = length > 0;
                let end = match *act {
                    Act::Follow { bytes, mute } => {
                        let bytes = bytes.min(SIZE - length);
                        fetched[mirror] += bytes;
                        length += bytes;
                        pieces += 1;
                        End::Cut(Cut { length, again: false, mute })
                    }
                    Act::Begin { bytes, mute } => {
                        fetched[mirror] += bytes;
                        (length, pieces) = (bytes, 1);
                        End::Cut(Cut { length, again: had, mute })
                    }
                    Act::Stray => {
                        length = 0;
                        End::Cut(Cut { length, again: had, mute: false })
                    }
                    Act::Wrong => {
                        fetched[mirror] += SIZE - length;
                        length = SIZE;
                        End::Wrong { one_piece: pieces <= 1 }
                    }
                    Act::TooLong => End::TooLong,
                    Act::Refused => End::Refused,
                    Act::Unreachable { timed_out } => End::Unreachable { timed_out },
                };
                match tries.step(end) {
                    Next::Done => prop_assert!(false, "nothing was whole"),
                    Next::GiveUp { .. } => {
                        prop_assert!(asked.iter().all(|&times| times > 0), "{asked:?}");
                        return Ok(());
                    }
                    Next::Try { mirror: next, wait, afresh } => {
                        prop_assert!(next < mirrors && wait <= BACK_OFF_MAX);
                        mirror = next;
                        if afresh { (length, pieces) = (0, 0); }
                    }
                }
                // A mirror has two turns at most, and in each so many downloads from the first byte on.
                let downloads = 2 * u64::from(1 + AGAIN_MAX + WRONG_MAX);
                prop_assert!(fetched[mirror] <= downloads * SIZE, "{} bytes", fetched[mirror]);
                let useful = downloads * (SIZE / USEFUL_BYTES + 1) * u64::from(FRUITLESS_MAX);
                prop_assert!(asked[mirror] <= useful.min(2 * u64::from(TRIES_MAX)), "{} requests", asked[mirror]);
            }
        }
    }
}
