//! Single flight: who waits for what. Pure; a wish and whoever waits are values to it.

/// As many may wait for one installation.
pub(crate) const WAITING_MAX: usize = 1024;

/// Whoever waits, by a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Waiter(pub(crate) u64);

/// What the machine is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input<W> {
    /// Somebody wants it.
    Asked { wish: W, waiter: Waiter },
    /// An installation goes on.
    Stepped { wish: W },
    /// An installation ended.
    Ended { wish: W },
}

/// What the shell is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect<W> {
    /// Nothing: an installation that goes on will answer, or there is nobody to tell.
    Nothing,
    /// Start an installation.
    Start(W),
    /// Refuse: as many wait as may.
    Refuse(Waiter),
    /// Tell them of the step.
    Tell(Vec<Waiter>),
    /// Answer them.
    Answer(Vec<Waiter>),
}

/// The installations that go on.
#[derive(Debug)]
pub(crate) struct Flights<W> {
    // Few at a time; a wish has no order that a map could use, only equality.
    waiting: Vec<(W, Vec<Waiter>)>,
}

impl<W: Clone + Eq> Flights<W> {
    pub(crate) fn new() -> Self {
        Self { waiting: Vec::new() }
    }

    /// One step.
    pub(crate) fn step(&mut self, input: Input<W>) -> Effect<W> {
        match input {
            Input::Asked { wish, waiter } => match self.of(&wish) {
                Some(at) if self.waiting[at].1.len() >= WAITING_MAX => Effect::Refuse(waiter),
                Some(at) => {
                    self.waiting[at].1.push(waiter);
                    Effect::Nothing
                }
                None => {
                    self.waiting.push((wish.clone(), vec![waiter]));
                    Effect::Start(wish)
                }
            },
            Input::Stepped { wish } => match self.of(&wish) {
                Some(at) => Effect::Tell(self.waiting[at].1.clone()),
                // It ended: its last steps may come after.
                None => Effect::Nothing,
            },
            Input::Ended { wish } => match self.of(&wish) {
                Some(at) => Effect::Answer(self.waiting.swap_remove(at).1),
                None => Effect::Nothing,
            },
        }
    }

    fn of(&self, wish: &W) -> Option<usize> {
        self.waiting.iter().position(|(other, _)| other == wish)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Move {
        Ask(u8),
        Step(u8),
        End(u8),
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            (0..4_u8).prop_map(Move::Ask),
            (0..4_u8).prop_map(Move::Step),
            (0..4_u8).prop_map(Move::End)
        ];
        prop::collection::vec(one, 0..200)
    }

    proptest! {
        /// At any moment at most one installation of a thing goes on; everybody who asked is answered once, by an
        /// installation that began after nobody's, or went on at, the moment of asking.
        #[test]
        fn one_flight_and_one_answer(moves in moves()) {
            let mut flights = Flights::new();
            let mut running: BTreeMap<u8, BTreeSet<Waiter>> = BTreeMap::new();
            let mut answered = BTreeSet::new();
            let mut next = 0;
            for a_move in moves {
                match a_move {
                    Move::Ask(wish) => {
                        let waiter = Waiter(next);
                        next += 1;
                        let effect = flights.step(Input::Asked { wish, waiter });
                        let started = !running.contains_key(&wish);
                        prop_assert_eq!(effect, if started { Effect::Start(wish) } else { Effect::Nothing });
                        running.entry(wish).or_default().insert(waiter);
                    }
                    Move::Step(wish) => match (flights.step(Input::Stepped { wish }), running.get(&wish)) {
                        (Effect::Tell(told), Some(waiting)) => {
                            prop_assert_eq!(&told.into_iter().collect::<BTreeSet<_>>(), waiting);
                        }
                        (effect, waiting) => {
                            prop_assert!(effect == Effect::Nothing && waiting.is_none(), "{:?}", effect);
                        }
                    },
                    Move::End(wish) => match (flights.step(Input::Ended { wish }), running.remove(&wish)) {
                        (Effect::Answer(told), Some(waiting)) => {
                            for waiter in &told {
                                prop_assert!(answered.insert(*waiter), "answered twice");
                            }
                            prop_assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), waiting);
                        }
                        (effect, waiting) => {
                            prop_assert!(effect == Effect::Nothing && waiting.is_none(), "{:?}", effect);
                        }
                    },
                }
            }
            let waiting: usize = running.values().map(BTreeSet::len).sum();
            prop_assert_eq!(answered.len() + waiting, usize::try_from(next).unwrap());
        }
    }

    #[test]
    fn no_more_wait_than_may() {
        let mut flights = Flights::new();
        for number in 0..WAITING_MAX as u64 {
            flights.step(Input::Asked { wish: "x", waiter: Waiter(number) });
        }
        let one_more = Waiter(u64::MAX);
        assert_eq!(flights.step(Input::Asked { wish: "x", waiter: one_more }), Effect::Refuse(one_more));
        assert_eq!(flights.step(Input::Asked { wish: "y", waiter: one_more }), Effect::Start("y"));
        let Effect::Answer(all) = flights.step(Input::Ended { wish: "x" }) else {
            panic!("nobody is answered")
        };
        assert_eq!(all.len(), WAITING_MAX);
    }
}
