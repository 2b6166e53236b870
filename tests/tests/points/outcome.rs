//! How a session must have ended that was killed and started again.

use farmhand::transport::Client;
use farmhand_api::{Answer, DeviceState, EpochCause, PhaseName, Request, SessionView, Settle, Verdict};
use farmhand_records::v1::Phase;
use farmhand_tests::{
    Counters, Daemon, Followed, Home, Remembered, at_work, devices, epochs_of, follow_after, remembered,
    sessions, stop, until,
};

use super::{DEVICE, Kind, Plan};

/// A kill, as it was found.
pub(super) struct Kill<'a> {
    pub(super) plan: &'a Plan,
    pub(super) home: &'a Home,
    /// What was remembered.
    pub(super) before: Remembered,
    /// What the board had counted.
    pub(super) at_death: Counters,
}

impl Kill<'_> {
    pub(super) async fn judge(self, mut daemon: Daemon, client: Client, followed: Followed) {
        let (plan, view) = (self.plan, &followed.view);
        assert_eq!(view.phase, PhaseName::Finished, "{plan}");
        assert_eq!(sessions(&client).await.unwrap().len(), 1, "{plan}: one wish, one session");
        self.verdict(view);
        self.effects(view);
        self.epoch(&client, view).await;
        self.given_back(&client, view).await;
        if view.verdict == Some(Verdict::Unknown) && self.is_aside(&client).await {
            self.settle(&client, &followed).await;
        }
        stop(&client, 0).await;
        assert!(daemon.ended().await.success(), "{plan}: it stops in order");
        self.home.only_boards_are_left().await;
        let after = remembered(self.home).await;
        assert_eq!(after.leases(), &[], "{plan}: nobody holds anything");
        assert!(after.schedule.queue.is_empty(), "{plan}: nobody waits");
    }

    fn counters(&self) -> Counters {
        self.home.board(DEVICE).counters()
    }

    /// The same as without the kill; `unknown` only where nobody can know.
    fn verdict(&self, view: &SessionView) {
        let plan = self.plan;
        match view.verdict {
            Some(Verdict::Passed) => {}
            Some(Verdict::Unknown) if plan.kind != Kind::Run => {
                assert!(self.cannot_be_known(), "{plan}: {:?}, though it could be known", view.problem);
                assert!(view.problem.is_some(), "{plan}: unknown, and nothing is said of why");
            }
            other => panic!("{plan}: {other:?} {:?}", view.problem),
        }
    }

    /// Whether a handoff that must not be repeated fell between what was remembered and what the board proves.
    fn cannot_be_known(&self) -> bool {
        let phase = self.before.sessions.values().next().map(|session| (&session.phase, session.id));
        let observes = self.plan.kind == Kind::RunOnce;
        match phase {
            Some((Phase::HandoffIntended, id)) => {
                let devices = self.before.devices.values();
                let recorded = devices.flat_map(|device| &device.handoff).any(|done| done.session == id);
                let accepted = self.at_death.leaves > 0;
                // The loader gave up and started the program: to hand off now would start it a second time.
                let started = self.counters().watchdog_resets > self.at_death.watchdog_resets;
                if recorded { observes } else { accepted || started }
            }
            // Nobody listened while it ran.
            Some((Phase::HandoffIssued(_) | Phase::Observing, _)) => observes,
            _ => false,
        }
    }

    /// What the board counted.
    fn effects(&self, view: &SessionView) {
        let (plan, counted) = (self.plan, self.counters());
        let attempts = u64::from(view.attempt);
        assert!(counted.leaves <= attempts, "{plan}: {} handoffs in {attempts} attempts", counted.leaves);
        if plan.kind != Kind::Run {
            assert_eq!(attempts, 1, "{plan}: once is one attempt");
        }
        if view.verdict == Some(Verdict::Passed) {
            assert!(counted.leaves >= 1, "{plan}: passed, and never handed off: {counted:?}");
        }
    }

    /// A verdict is earned in an epoch of the session's own, never in one that began by itself.
    async fn epoch(&self, client: &Client, view: &SessionView) {
        let plan = self.plan;
        if view.verdict != Some(Verdict::Passed) || plan.kind == Kind::FlashOnce {
            return;
        }
        // A device that was made for want of a real one is known only once it is wanted.
        let known = devices(client).await.unwrap().iter().any(|device| device.name.is_some());
        if !known {
            return;
        }
        let epochs = epochs_of(client, DEVICE).await.unwrap();
        let epoch = view.epoch.unwrap_or_else(|| panic!("{plan}: passed in no epoch"));
        assert_eq!(epochs.get(&epoch), Some(&EpochCause::Handoff(view.id)), "{plan}: {epochs:?}");
    }

    async fn is_aside(&self, client: &Client) -> bool {
        let devices = devices(client).await.unwrap();
        devices.iter().any(|device| device.state == DeviceState::Quarantined)
    }

    async fn given_back(&self, client: &Client, view: &SessionView) {
        let at_rest = async || (at_work(client).await.unwrap() == 0).then_some(());
        until("the session has given its device back", at_rest).await;
        let devices = devices(client).await.unwrap();
        let leased = devices.iter().find(|device| device.state == DeviceState::Leased);
        assert!(leased.is_none(), "{}: {leased:?}", self.plan);
        if view.verdict == Some(Verdict::Passed) {
            assert!(!self.is_aside(client).await, "{}: passed, and its device is set aside", self.plan);
        }
    }

    /// A person looks at the board, and says.
    async fn settle(&self, client: &Client, followed: &Followed) {
        let (plan, id) = (self.plan, followed.view.id);
        let booted = self.counters().leaves > 0;
        let settle = if booted { Settle::Booted } else { Settle::NotBooted };
        let answer = client.ask(Request::Resume { session: id, settle: Some(settle) }).await;
        assert!(matches!(answer, Ok(Answer::Session(_))), "{plan}: {answer:?}");
        let last = followed.events.last().map(|event| event.seq);
        let view = follow_after(client, id, last).await.unwrap().view;
        assert_eq!(self.counters().leaves, 1, "{plan}: settled, and handed off once");
        match view.verdict {
            Some(Verdict::Passed) => {}
            // It ran while nobody listened.
            Some(Verdict::Unknown) if booted && plan.kind == Kind::RunOnce => {}
            other => panic!("{plan}: settled, and {other:?} {:?}", view.problem),
        }
        self.given_back(client, &view).await;
    }
}
