//! How a session must have ended that was killed while a phone was at work, by what the phone was asked.

use farmhand::transport::Client;
use farmhand_api::{Answer, DeviceState, PhaseName, Request, SessionView, Settle, Verdict};
use farmhand_records::DeviceName;
use farmhand_records::v1::Phase;
use farmhand_sim::fastboot::Asked;
use farmhand_tests::{
    Daemon, Followed, Home, Remembered, TestPhone, at_work, devices, follow_after, remembered, sessions,
    sha256, stop, until,
};

use crate::plan::{DEVICE, Hit, Kind, Plan, misc, system};

/// A kill, as it was found.
pub(crate) struct Kill<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) home: &'a Home,
    pub(crate) phone: &'a TestPhone,
    /// What was remembered.
    pub(crate) before: Remembered,
    /// What the phone had been asked.
    pub(crate) at_death: Vec<Asked>,
}

impl Kill<'_> {
    pub(crate) async fn judge(self, mut daemon: Daemon, client: Client, followed: Followed) -> Hit {
        let (plan, view) = (self.plan, &followed.view);
        assert_eq!(view.phase, PhaseName::Finished, "{plan}");
        assert_eq!(sessions(&client).await.unwrap().len(), 1, "{plan}: one wish, one session");
        self.given_back(&client).await;
        let unknown = view.verdict == Some(Verdict::Unknown);
        if unknown {
            self.may_be_unknown(view);
            assert!(self.is_aside(&client).await, "{plan}: unknown, and its device is free");
            self.effects(view.attempt).await;
            self.settle(&client, &followed).await;
        } else {
            assert_eq!(view.verdict, Some(Verdict::Passed), "{plan}: {:?}", view.problem);
            assert!(!self.is_aside(&client).await, "{plan}: passed, and its device is set aside");
            self.effects(view.attempt).await;
            self.done().await;
        }
        stop(&client, 0).await;
        assert!(daemon.ended().await.success(), "{plan}: it stops in order");
        self.home.only_boards_are_left().await;
        let after = remembered(self.home).await;
        assert_eq!(after.leases(), &[], "{plan}: nobody holds anything");
        assert!(after.schedule.queue.is_empty(), "{plan}: nobody waits");
        let between = self.phase() == Some(&Phase::HandoffIntended);
        Hit { between, step_open: self.step_open(), steps_kept: self.steps_done() > 0, unknown }
    }

    fn phase(&self) -> Option<&Phase> {
        self.before.sessions.values().next().map(|session| &session.phase)
    }

    /// The device's own record says that its handoff was acknowledged.
    fn recorded(&self) -> bool {
        self.before.devices.values().any(|device| device.handoff.is_some())
    }

    fn step_open(&self) -> bool {
        self.before.progress.values().any(|progress| progress.begun > progress.done)
    }

    /// Steps that were proven to be done.
    fn steps_done(&self) -> usize {
        let done = self.before.progress.get(&DeviceName::new(DEVICE).unwrap());
        done.map_or(0, |progress| progress.done as usize)
    }

    /// Unknown is for what cannot be known, and says why.
    fn may_be_unknown(&self, view: &SessionView) {
        let plan = self.plan;
        let problem = view.problem.as_ref().unwrap_or_else(|| panic!("{plan}: unknown, and nothing said"));
        assert_eq!(problem.code, "F301", "{plan}: {problem:?}");
        assert!(!problem.detail.is_empty(), "{plan}: unknown, and not why: {problem:?}");
        let between = self.phase() == Some(&Phase::HandoffIntended) && !self.recorded();
        let could = match plan.kind {
            Kind::BootTcp => between,
            // It counts packets: what it had not heard is proven not to be begun.
            Kind::BootUdp => between && times(&self.at_death, "boot") > 0,
            Kind::Write => false,
            Kind::WriteOnce => between || self.step_open(),
        };
        assert!(could, "{plan}: unknown, though it could be known: {problem:?}");
    }

    /// What reached the phone, whatever was said of it.
    async fn effects(&self, attempts: u32) {
        let (plan, asked) = (self.plan, self.phone.asked().await);
        let boots = times(&asked, "boot");
        if plan.kind.boots() {
            assert!(boots <= 1, "{plan}: {boots} boots: {asked:#?}");
            assert_eq!(attempts, 1, "{plan}: once is one attempt");
        } else {
            assert_eq!(boots, 0, "{plan}");
        }
        let whole = match plan.kind {
            Kind::BootTcp | Kind::BootUdp => return,
            Kind::Write | Kind::WriteOnce => self.pieces(&asked),
        };
        for (at, command) in Kind::PARTITIONS.into_iter().enumerate() {
            let (then, now) = (times(&self.at_death, command), times(&asked, command));
            if at < self.steps_done() {
                assert_eq!(then, now, "{plan}: {command} was proven, and is done again: {asked:#?}");
            }
            if plan.kind == Kind::WriteOnce {
                assert!(now <= whole[at], "{plan}: {command}, {now} times: {asked:#?}");
                assert_eq!(attempts, 1, "{plan}: once is one attempt");
            } else {
                assert!(
                    now <= then + whole[at],
                    "{plan}: {command} is done more than once again: {asked:#?}"
                );
            }
        }
        let left = times(&asked, "reboot");
        assert!(left <= attempts as usize, "{plan}: {left} restarts in {attempts} attempts");
    }

    /// How many commands each step takes, from what was downloaded for it.
    fn pieces(&self, asked: &[Asked]) -> [usize; 3] {
        let of_system: std::collections::BTreeSet<_> = asked
            .iter()
            .filter(|asked| asked.command == "flash:system")
            .filter_map(|asked| asked.data.as_ref().map(|data| data.sha256.clone()))
            .collect();
        [1, 1, of_system.len()]
    }

    /// All that was wished for is so.
    async fn done(&self) {
        let (plan, counters) = (self.plan, self.phone.counters().await);
        if plan.kind.boots() {
            return assert_eq!(counters.boots, 1, "{plan}: passed: {counters}");
        }
        for (name, bytes) in [("misc", misc()), ("system", system())] {
            let found = self.phone.partition(name, bytes.len() as u64).await;
            assert_eq!(found, sha256(&bytes), "{plan}: {name}");
        }
        assert!(counters.erases > 0, "{plan}: {counters}");
        assert_eq!(counters.system_starts, 1, "{plan}: {counters}");
    }

    async fn is_aside(&self, client: &Client) -> bool {
        let devices = devices(client).await.unwrap();
        devices.iter().any(|device| device.state == DeviceState::Quarantined)
    }

    async fn given_back(&self, client: &Client) {
        let at_rest = async || (at_work(client).await.unwrap() == 0).then_some(());
        until("the session has given its device back", at_rest).await;
        let devices = devices(client).await.unwrap();
        let leased = devices.iter().find(|device| device.state == DeviceState::Leased);
        assert!(leased.is_none(), "{}: {leased:?}", self.plan);
    }

    /// A person looks at the phone, and says.
    async fn settle(&self, client: &Client, followed: &Followed) {
        let (plan, id) = (self.plan, followed.view.id);
        let before = self.phone.counters().await;
        let done = if plan.kind.boots() { before.boots } else { before.system_starts };
        let settle = if done > 0 { Settle::Booted } else { Settle::NotBooted };
        let answer = client.ask(Request::Resume { session: id, settle: Some(settle) }).await;
        assert!(matches!(answer, Ok(Answer::Session(_))), "{plan}: {answer:?}");
        let last = followed.events.last().map(|event| event.seq);
        let view = follow_after(client, id, last).await.unwrap().view;
        assert_eq!(view.verdict, Some(Verdict::Passed), "{plan}: settled, and {:?}", view.problem);
        self.given_back(client).await;
        self.done().await;
        let after = self.phone.counters().await;
        if plan.kind.boots() {
            assert_eq!(after.boots, 1, "{plan}: settled, and booted once: {after}");
            let more = u64::from(done == 0);
            assert_eq!(after.boot_commands, before.boot_commands + more, "{plan}: {after}");
        }
        // What was proven stays proven, whatever a person said of what was in doubt.
        let asked = self.phone.asked().await;
        for command in &Kind::PARTITIONS[..self.steps_done()] {
            assert_eq!(times(&asked, command), times(&self.at_death, command), "{plan}: {command}");
        }
    }
}

fn times(asked: &[Asked], command: &str) -> usize {
    let is_it = |asked: &&Asked| match command {
        "boot" => asked.command == "boot",
        other => asked.command.starts_with(other),
    };
    asked.iter().filter(is_it).count()
}
