//! What must be true whenever a farm is found dead: read from its records and its boards, which outlive it.

use std::collections::{BTreeMap, BTreeSet};

use farmhand_api::{SessionId, Verdict};
use farmhand_records::v1::{HandoffKind, Phase, Session};
use farmhand_records::{DeviceName, Epoch, FencingToken};
use farmhand_tests::{Home, Remembered, remembered};

use super::{BOARDS, Feed};

/// Attempt numbers that a session passes over when it was behind its mark (`actors/session/src/state.rs`). More than these
/// no session makes here.
const PASSED_OVER: u32 = 16;
/// A board that is short of time takes a command that is in its line only after the kill was looked at: so many kills
/// later it has taken it, or never will.
const LATE: usize = 3;

/// What was seen after the kills so far.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Kills that fell between a handoff's intent and its being issued.
    pub(crate) between: usize,
    /// Sessions that were behind their mark once.
    put_back: BTreeSet<SessionId>,
    ended: BTreeMap<SessionId, Verdict>,
    tokens: BTreeMap<DeviceName, FencingToken>,
    epochs: BTreeMap<DeviceName, Epoch>,
    boards: BTreeMap<&'static str, Issued>,
}

/// The handoffs of one board, each accounted for.
#[derive(Debug, Default)]
struct Issued {
    /// Attempts that are recorded as issued.
    recorded: BTreeSet<(SessionId, u32)>,
    /// Attempts of which no record says so, most of them left by a kill between intent and issued: since which kill, and
    /// whether the board had accepted them.
    ambiguous: BTreeMap<(SessionId, u32), (usize, bool)>,
    leaves: u64,
    attempts: u64,
}

impl Ledger {
    pub(crate) fn sum(&self) -> String {
        let sum = |of: fn(&Issued) -> u64| self.boards.values().map(of).sum::<u64>();
        let accepted =
            |issued: &Issued| issued.ambiguous.values().filter(|(_, accepted)| *accepted).count() as u64;
        format!(
            "{} handoffs in {} attempts, {} of them told by the board alone",
            sum(|issued| issued.leaves),
            sum(|issued| issued.attempts),
            sum(accepted)
        )
    }

    /// Looks at a dead farm.
    pub(crate) async fn look(&mut self, kill: usize, home: &Home, feed: &Feed) {
        let now = remembered(home).await;
        self.put_back.extend(&now.put_back);
        self.between += usize::from(now.intended() > 0);
        for wish in &feed.wishes {
            let Some(id) = wish.id else { continue };
            assert_eq!(
                now.keys.get(&wish.key),
                Some(&id),
                "kill {kill}: {} was acknowledged, and is lost",
                wish.key
            );
            assert!(now.sessions.contains_key(&id), "kill {kill}: {id} was acknowledged, and is lost");
        }
        self.only_forward(kill, &now, feed);
        for board in BOARDS {
            self.issued(kill, board, home, &now, feed);
        }
        let mut holders: Vec<_> = now.leases().iter().map(|lease| &lease.device).collect();
        holders.sort();
        holders.dedup();
        assert_eq!(
            holders.len(),
            now.leases().len(),
            "kill {kill}: one device, two holders: {:?}",
            now.leases()
        );
    }

    /// A verdict stays, and tokens and epochs only grow.
    fn only_forward(&mut self, kill: usize, now: &Remembered, feed: &Feed) {
        for (&id, &verdict) in &self.ended {
            assert!(
                now.verdict(id) == Some(verdict) || feed.settled(id),
                "kill {kill}: {id} had ended {verdict:?}"
            );
        }
        self.ended = now.sessions.keys().filter_map(|&id| Some((id, now.verdict(id)?))).collect();
        for token in &now.schedule.tokens {
            let before = self.tokens.insert(token.device.clone(), token.token);
            assert!(before <= Some(token.token), "kill {kill}: {} went back from {before:?}", token.device);
        }
        for device in now.devices.values() {
            let before = self.epochs.insert(device.name.clone(), device.epoch);
            assert!(before <= Some(device.epoch), "kill {kill}: {} went back from {before:?}", device.name);
        }
    }

    /// Each leave-programming that the board accepted belongs to an attempt of its own.
    fn issued(&mut self, kill: usize, board: &'static str, home: &Home, now: &Remembered, feed: &Feed) {
        let on_it =
            |session: &&Session| session.lease.as_ref().is_some_and(|lease| lease.device.as_str() == board);
        let sessions: Vec<_> = now.sessions.values().filter(on_it).collect();
        let attempts: u64 = sessions.iter().map(|session| self.attempts_of(session)).sum();
        let once = sessions.iter().filter(|session| session.handoff == HandoffKind::Once);
        for session in once.filter(|session| self.attempts_of(session) > 1) {
            // Only a person may say that it was not done, and have it tried again.
            assert!(feed.settled(session.id), "kill {kill}: {} is once, and was tried again", session.id);
        }
        let issued = self.boards.entry(board).or_default();
        issued.attempts = attempts;
        issued.leaves = home.board(board).counters().leaves;
        for session in sessions {
            issued.note(kill, (session.id, session.attempt.0), &session.phase);
        }
        issued.balance(kill, board);
    }

    /// Attempts that may have been issued. A session that was behind its mark passes over numbers that may have been used.
    fn attempts_of(&self, session: &Session) -> u64 {
        let mut attempts = session.attempt.0;
        if self.put_back.contains(&session.id) {
            while attempts > PASSED_OVER {
                attempts -= PASSED_OVER;
            }
        }
        assert!(attempts <= PASSED_OVER, "{}: {attempts} attempts", session.id);
        u64::from(attempts)
    }
}

impl Issued {
    fn note(&mut self, kill: usize, attempt: (SessionId, u32), phase: &Phase) {
        // Begun and given up while nobody looked, such as for a gap in the output.
        for unseen in (1..attempt.1).map(|number| (attempt.0, number)) {
            if !self.recorded.contains(&unseen) {
                self.ambiguous.entry(unseen).or_insert((kill, false));
            }
        }
        match phase {
            Phase::HandoffIssued(_) | Phase::Observing | Phase::Finished(Verdict::Passed, _) => {
                self.ambiguous.remove(&attempt);
                self.recorded.insert(attempt);
            }
            Phase::HandoffIntended => {
                // Proven not to have begun, the same attempt comes to its intent again.
                let (since, accepted) = self.ambiguous.entry(attempt).or_insert((kill, false));
                *since = if *accepted { *since } else { kill };
            }
            _ => {}
        }
    }

    /// What the board accepted is what is recorded, and of what is in doubt what it alone knows of: no more, no less.
    fn balance(&mut self, kill: usize, board: &str) {
        let accepted = self.ambiguous.values().filter(|(_, accepted)| *accepted).count();
        let accounted = (self.recorded.len() + accepted) as u64;
        let over = self.leaves.checked_sub(accounted);
        let Some(over) = over else { panic!("kill {kill}: {board} has lost a handoff: {self:#?}") };
        let in_time = |(_, (at, accepted)): &(_, &mut (usize, bool))| !*accepted && *at + LATE >= kill;
        let mut open: Vec<_> = self.ambiguous.iter_mut().filter(in_time).collect();
        // The last kill's first, and of those a session's last attempt: below it are the numbers that were passed over.
        open.sort_by_key(|(attempt, seen)| std::cmp::Reverse((seen.0, **attempt)));
        let enough = open.len() as u64 >= over;
        open.into_iter().take(usize::try_from(over).unwrap()).for_each(|(_, (_, accepted))| *accepted = true);
        assert!(enough, "kill {kill}: {board} was handed off in no attempt, or in one twice: {self:#?}");
        assert!(self.leaves <= self.attempts, "kill {kill}: {board}: more handoffs than attempts: {self:#?}");
    }
}

#[test]
fn a_handoff_is_put_down_to_the_attempt_and_not_to_a_number_that_was_passed_over() {
    let mut issued = Issued { leaves: 1, attempts: 2, ..Issued::default() };
    issued.note(1, (SessionId(46), 1), &Phase::Observing);
    issued.balance(1, "uno-2");
    issued.leaves = 2;
    issued.note(2, (SessionId(46), 18), &Phase::HandoffIntended);
    issued.balance(2, "uno-2");
    issued.note(3, (SessionId(46), 18), &Phase::Observing);
    issued.balance(3, "uno-2");
}

#[test]
#[should_panic = "uno-2 has lost a handoff"]
fn a_lost_handoff_is_found_out() {
    let mut issued = Issued { leaves: 1, attempts: 2, ..Issued::default() };
    issued.note(1, (SessionId(1), 1), &Phase::Observing);
    issued.note(1, (SessionId(2), 1), &Phase::Observing);
    issued.balance(1, "uno-2");
}
