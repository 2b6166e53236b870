//! What must be true whenever a farm is found dead: read from its records and its phones, which outlive it.

use std::collections::{BTreeMap, BTreeSet};

use farmhand_api::{SessionId, Verdict};
use farmhand_records::v1::HandoffKind;
use farmhand_records::{DeviceName, Epoch, FencingToken};
use farmhand_tests::{Home, Remembered, remembered};

use super::feed::{Feed, Kind, STEPS, Wish, asked_since};

/// Attempt numbers that a session passes over when it was behind its mark (`actors/session/src/state.rs`).
const PASSED_OVER: u32 = 16;

/// What was seen after the kills so far.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Kills that fell between a handoff's intent and its being issued.
    pub(crate) between: usize,
    /// Kills that fell between a step's being begun and its being recorded as done.
    pub(crate) step_open: usize,
    /// Sessions that were behind their mark once.
    put_back: BTreeSet<SessionId>,
    ended: BTreeMap<SessionId, Verdict>,
    tokens: BTreeMap<DeviceName, FencingToken>,
    epochs: BTreeMap<DeviceName, Epoch>,
    /// Of the wish that is under way: how often each step had been asked for when it was found to be proven.
    proven: BTreeMap<(String, usize), usize>,
}

impl Ledger {
    /// Looks at a dead farm.
    pub(crate) async fn look(&mut self, kill: usize, home: &Home, feed: &Feed) {
        let now = remembered(home).await;
        self.put_back.extend(&now.put_back);
        self.between += usize::from(now.intended() > 0);
        self.step_open += usize::from(now.progress.values().any(|progress| progress.begun > progress.done));
        for wish in &feed.wishes {
            let Some(id) = wish.id else { continue };
            let known = now.keys.get(&wish.key) == Some(&id) && now.sessions.contains_key(&id);
            assert!(known, "kill {kill}: {} was acknowledged as {id}, and is lost", wish.key);
        }
        self.only_forward(kill, &now, feed);
        for wish in feed.open() {
            self.issued(kill, wish, &now, feed).await;
        }
        let holders: BTreeSet<_> = now.leases().iter().map(|lease| &lease.device).collect();
        assert_eq!(holders.len(), now.leases().len(), "kill {kill}: two holders: {:?}", now.leases());
    }

    /// A verdict stays, and tokens and epochs only grow.
    fn only_forward(&mut self, kill: usize, now: &Remembered, feed: &Feed) {
        for (&id, &verdict) in &self.ended {
            let settled = feed.wishes.iter().any(|wish| wish.id == Some(id) && wish.settled > 0);
            let stays = now.verdict(id) == Some(verdict) || settled && verdict == Verdict::Unknown;
            assert!(stays, "kill {kill}: {id} had ended {verdict:?}, and is {:?}", now.verdict(id));
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

    /// What reached the phone of a wish that is under way: no more than one `boot` that was not settled as not done, no
    /// step of what is once twice, no step again that was proven.
    async fn issued(&mut self, kill: usize, wish: &Wish, now: &Remembered, feed: &Feed) {
        let asked = asked_since(wish, &feed.phones[wish.phone]).await;
        let times = |command: &str| asked.iter().filter(|asked| asked.command == command).count();
        let Some(session) = wish.id.and_then(|id| now.sessions.get(&id)) else { return };
        let id = session.id;
        let not_done = wish.not_done as usize;
        if session.handoff == HandoffKind::Once {
            // Only a person may say that it was not done, and have it tried again.
            let mut attempts = session.attempt.0;
            while self.put_back.contains(&id) && attempts >= PASSED_OVER {
                attempts -= PASSED_OVER;
            }
            let most = 1 + wish.not_done;
            assert!(attempts <= most, "kill {kill}: {id} is once, and attempt {attempts} came: {session:#?}");
        }
        if wish.kind == Kind::Boot {
            let boots = times("boot");
            assert!(boots <= 1 + not_done, "kill {kill}: {id} was booted {boots} times: {asked:#?}");
            return;
        }
        assert_eq!(times("boot"), 0, "kill {kill}: {id}");
        let progress = now.progress.values().find(|progress| progress.session == id);
        let done = progress.map_or(0, |progress| progress.done as usize);
        for (at, command) in STEPS.iter().enumerate() {
            let so_often = times(command);
            if at < done {
                let proven = *self.proven.entry((wish.key.clone(), at)).or_insert(so_often);
                assert_eq!(
                    so_often, proven,
                    "kill {kill}: {id}: {command} was proven, and done again: {asked:#?}"
                );
            }
            if wish.kind == Kind::WriteOnce {
                let data: Vec<_> = asked.iter().filter(|asked| asked.command == *command).collect();
                let pieces: BTreeSet<_> =
                    data.iter().map(|asked| asked.data.as_ref().map(|data| &data.sha256)).collect();
                let most = pieces.len() * (1 + not_done);
                assert!(
                    data.len() <= most,
                    "kill {kill}: {id} is once: {command} {} times: {asked:#?}",
                    data.len()
                );
            }
        }
    }
}
