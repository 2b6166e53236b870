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
    handoffs: u64,
    attempts: u64,
}

impl Ledger {
    pub(crate) fn sum(&self) -> String {
        format!("{} handoffs in {} attempts", self.handoffs, self.attempts)
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
        self.issued(kill, home, &now, feed);
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

    /// A verdict stays, and tokens and epochs only grow.
    fn only_forward(&mut self, kill: usize, now: &Remembered, feed: &Feed) {
        for (&id, &verdict) in &self.ended {
            let settled = feed.wishes.iter().any(|wish| wish.id == Some(id) && wish.settled);
            assert!(now.verdict(id) == Some(verdict) || settled, "kill {kill}: {id} had ended {verdict:?}");
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

    /// No attempt was issued twice, and what must be issued once was.
    fn issued(&mut self, kill: usize, home: &Home, now: &Remembered, feed: &Feed) {
        (self.handoffs, self.attempts) = (0, 0);
        for board in BOARDS {
            let leaves = home.board(board).counters().leaves;
            let on_it = |session: &&Session| {
                session.lease.as_ref().is_some_and(|lease| lease.device.as_str() == board)
            };
            let sessions: Vec<_> = now.sessions.values().filter(on_it).collect();
            let attempts: u64 = sessions.iter().map(|session| self.attempts_of(session)).sum();
            assert!(
                leaves <= attempts,
                "kill {kill}: {board} was handed off {leaves} times in {attempts} attempts"
            );
            // Issued for certain: recorded so, or passed. Of one that may be repeated, so was each attempt before.
            let certain = |session: &&&Session| {
                matches!(
                    session.phase,
                    Phase::HandoffIssued(_) | Phase::Observing | Phase::Finished(Verdict::Passed, _)
                )
            };
            let certain = sessions.iter().filter(certain).count() as u64;
            assert!(
                leaves >= certain,
                "kill {kill}: {board} was handed off {leaves} times, and {certain} are recorded"
            );
            // Only a person may say that it was not done, and have it tried again.
            let settled = |id| feed.wishes.iter().any(|wish| wish.id == Some(id) && wish.settled);
            let once = sessions.iter().filter(|session| session.handoff == HandoffKind::Once);
            for session in once.filter(|session| self.attempts_of(session) > 1) {
                assert!(settled(session.id), "kill {kill}: {} is once, and was tried again", session.id);
            }
            self.handoffs += leaves;
            self.attempts += attempts;
        }
    }
}
