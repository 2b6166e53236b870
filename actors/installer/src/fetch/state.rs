//! What is tried next, by how the last try ended. Pure: it reads no clock and opens nothing.

use std::time::Duration;

/// Tries of one mirror that bring nothing, before the next one's turn.
const FRUITLESS_MAX: u32 = 4;
/// Whole downloads of one mirror that were something else, before the next one's turn: bytes that come do not make up for that.
const WRONG_MAX: u32 = 3;
/// Tries in all: a server that cuts every 256 kB of the largest archive (400 MB) is still served.
const TRIES_MAX: u32 = 2000;
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
    /// It broke off, or the server is busy.
    Cut {
        /// How much came.
        bytes: u64,
    },
    /// The server has no such thing, or gives it to nobody.
    Refused,
    /// Nobody answers there.
    Unreachable {
        /// It took as long as a connection may take.
        timed_out: bool,
    },
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
    GiveUp,
}

/// The tries of one download.
#[derive(Debug)]
pub(crate) struct Tries {
    mirrors: usize,
    mirror: usize,
    tries: u32,
    fruitless: u32,
    /// How often this mirror's pieces made something else.
    wrong: u32,
    /// Whether this mirror has answered with anything.
    answered: bool,
    /// Whether this mirror was asked for more than it said there was.
    asked_for_more: bool,
}

impl Tries {
    pub(crate) fn new(mirrors: usize) -> Self {
        Self { mirrors, mirror: 0, tries: 0, fruitless: 0, wrong: 0, answered: false, asked_for_more: false }
    }

    /// One step.
    pub(crate) fn step(&mut self, end: End) -> Next {
        self.tries += 1;
        if self.tries >= TRIES_MAX && end != End::Whole {
            return Next::GiveUp;
        }
        match end {
            End::Whole => Next::Done,
            End::Refused => self.next_mirror(false),
            End::Cut { bytes } => {
                self.answered = true;
                self.fruitless = if bytes > 0 { 0 } else { self.fruitless + 1 };
                if self.fruitless >= FRUITLESS_MAX { self.next_mirror(false) } else { self.again(false) }
            }
            // One of the pieces was of something else, or was damaged here.
            End::Wrong { one_piece: false } => {
                self.wrong += 1;
                if self.wrong >= WRONG_MAX { self.next_mirror(true) } else { self.again(true) }
            }
            // It may have lied about the length only: what follows is asked for, once.
            End::Wrong { one_piece: true } if !self.asked_for_more => {
                self.asked_for_more = true;
                self.again(false)
            }
            End::Wrong { one_piece: true } => self.next_mirror(true),
            // It was there a moment ago.
            End::Unreachable { .. } if self.answered => {
                self.fruitless += 1;
                if self.fruitless >= FRUITLESS_MAX { self.next_mirror(false) } else { self.again(false) }
            }
            // A server that is being started again refuses for a moment; one that is mute stays so.
            End::Unreachable { timed_out: false } if self.fruitless == 0 => {
                self.fruitless = 1;
                self.again(false)
            }
            End::Unreachable { .. } => self.next_mirror(false),
        }
    }

    fn again(&self, afresh: bool) -> Next {
        let wait = BACK_OFF.saturating_mul(1 << self.fruitless.min(16).saturating_sub(1)).min(BACK_OFF_MAX);
        let wait = if self.fruitless == 0 { Duration::ZERO } else { wait };
        Next::Try { mirror: self.mirror, wait, afresh }
    }

    fn next_mirror(&mut self, afresh: bool) -> Next {
        self.mirror += 1;
        (self.fruitless, self.wrong, self.answered, self.asked_for_more) = (0, 0, false, false);
        if self.mirror >= self.mirrors {
            return Next::GiveUp;
        }
        Next::Try { mirror: self.mirror, wait: Duration::ZERO, afresh }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now(mirror: usize, afresh: bool) -> Next {
        Next::Try { mirror, wait: Duration::ZERO, afresh }
    }

    #[test]
    fn a_server_that_brings_something_is_asked_on() {
        let mut tries = Tries::new(1);
        for _ in 0..100 {
            assert_eq!(tries.step(End::Cut { bytes: 1 }), now(0, false));
        }
        let mut waits = Vec::new();
        while let Next::Try { wait, afresh: false, .. } = tries.step(End::Cut { bytes: 0 }) {
            waits.push(wait.as_millis());
        }
        assert_eq!(waits, [200, 400, 800]);
    }

    #[test]
    fn wrong_bytes_send_to_the_next_mirror() {
        let mut tries = Tries::new(2);
        assert_eq!(tries.step(End::Wrong { one_piece: true }), now(0, false), "there may be more");
        assert_eq!(tries.step(End::Wrong { one_piece: true }), now(1, true));
        assert!(matches!(
            tries.step(End::Wrong { one_piece: false }),
            Next::Try { mirror: 1, afresh: true, .. }
        ));
        assert_eq!(tries.step(End::Whole), Next::Done);
    }

    #[test]
    fn nobody_there_is_told_soon() {
        let mut tries = Tries::new(2);
        let refused = End::Unreachable { timed_out: false };
        assert!(matches!(tries.step(refused), Next::Try { mirror: 0, .. }));
        assert_eq!(tries.step(refused), now(1, false));
        assert_eq!(tries.step(End::Unreachable { timed_out: true }), Next::GiveUp);
    }

    fn ends() -> impl Strategy<Value = Vec<End>> {
        let one = prop_oneof![
            any::<bool>().prop_map(|one_piece| End::Wrong { one_piece }),
            (0..2_u64).prop_map(|bytes| End::Cut { bytes }),
            Just(End::Refused),
            any::<bool>().prop_map(|timed_out| End::Unreachable { timed_out }),
        ];
        prop::collection::vec(one, 0..400)
    }

    proptest! {
        /// Whatever servers do: mirrors are asked in order, and nothing that brings nothing is tried for ever.
        #[test]
        fn it_ends(ends in ends(), mirrors in 1..4_usize) {
            let mut tries = Tries::new(mirrors);
            let (mut last, mut fruitless, mut wrong) = (0, 0, 0);
            for end in ends {
                match end {
                    End::Cut { bytes: 1.. } => fruitless = 0,
                    End::Wrong { .. } => wrong += 1,
                    _ => fruitless += 1,
                }
                match tries.step(end) {
                    Next::Done => prop_assert!(false, "nothing was whole"),
                    Next::GiveUp => {
                        prop_assert_eq!(last, mirrors - 1);
                        return Ok(());
                    }
                    Next::Try { mirror, wait, .. } => {
                        prop_assert!(mirror == last || mirror == last + 1);
                        if mirror != last { (fruitless, wrong) = (0, 0); }
                        prop_assert!(mirror < mirrors && wait <= BACK_OFF_MAX);
                        prop_assert!(fruitless <= FRUITLESS_MAX && wrong <= WRONG_MAX, "{fruitless} {wrong}");
                        last = mirror;
                    }
                }
            }
        }
    }
}
