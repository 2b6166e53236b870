//! The world around a session, simulated: a device that counts its handoff effects, its recorder, its lease. It outlives
//! every crash of the farm, and never lies.
#![allow(dead_code, reason = "two tests use it, each a part")]

use std::collections::BTreeMap;

use bytes::Bytes;
use farmhand_api::{EpochCause, LogFrom, LogItem, Problem, ProblemClass, Stamp};
use farmhand_messages::compiler::{Built, Sizes};
use farmhand_messages::device::{Connected, DeviceError, Since, Transferred};
use farmhand_messages::scheduler::Standing;
use farmhand_messages::session::{Outcome, Written};
use farmhand_records::v1::{
    Build, DeviceSelect, Evidence, Goal, HandoffKind, Job, Observed, OnGap, Phase, Place, Session, Source,
    Toolchain,
};
use farmhand_records::{Attempt, ContentHash, DeviceName, Epoch, FencingToken, PlanHash, SessionId};
use farmhand_session::Act;

/// What the program says once it runs.
const SAYS: &str = "ok\r\n";

/// A job that is passed when the program has said its line.
pub(crate) fn session(kind: HandoffKind, goal: Goal) -> Session {
    let once = kind == HandoffKind::Once;
    let source = Source::Sketch("/project".into());
    let build = Build {
        source,
        toolchain: Toolchain::Managed,
        flags: vec![],
        cxx_flags: vec![],
        link_flags: vec![],
        jobs: 0,
    };
    let job = Job {
        title: "blink".into(),
        project: "/project".into(),
        goal,
        board: "arduino:avr:uno".into(),
        build,
        device: DeviceSelect::Board,
        once,
        expect: vec!["ok".into()],
        expect_places: vec![Place { file: "farmhand.toml".into(), line: 5, column: 11 }],
        fail_on: vec![],
        timeout_ms: 20_000,
        on_gap: if once { OnGap::Unknown } else { OnGap::Reset },
        baud: 115_200,
        infra_retries: 0,
    };
    Session {
        id: SessionId(7),
        job,
        phase: Phase::Preparing,
        attempt: Attempt(0),
        lease: None,
        artifact: None,
        plan: None,
        handoff: kind,
        epoch: None,
        observed: Observed::default(),
        cancel: false,
        infra_failures: 0,
        created_unix_ms: 1,
        finished_unix_ms: None,
    }
}

/// How a handoff goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handoff {
    /// The device acknowledges it.
    Acknowledged,
    /// The device's actor dies before the command leaves.
    DiesBefore,
    /// It dies when the command has come through.
    DiesAfter,
}

/// The device, its recorder, and who has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Device {
    /// Handoffs that came through, by attempt.
    pub(crate) effects: BTreeMap<Attempt, u32>,
    /// The newest epoch that was reserved.
    pub(crate) epoch: u64,
    /// The epoch that runs.
    pub(crate) running: Option<Epoch>,
    /// It waits in its loader, written for this attempt.
    pub(crate) loader: Option<Attempt>,
    /// What was recorded.
    pub(crate) recording: Vec<LogItem>,
    pub(crate) offset: u64,
    /// It runs, and nobody records.
    pub(crate) unheard: bool,
    /// The program has not said its line yet.
    pub(crate) silent: bool,
    /// There was such a gap.
    pub(crate) gaps: u32,
    pub(crate) token: u64,
    pub(crate) leased: bool,
    pub(crate) quarantined: bool,
    /// The scheduler was told that there is an intent.
    pub(crate) intent: bool,
    /// So many times it answers that the lease is another's.
    pub(crate) fences: u32,
    /// So many times it was looked up where it is.
    pub(crate) claims: u32,
}

impl Device {
    pub(crate) fn name() -> DeviceName {
        DeviceName::new("uno-1").unwrap()
    }

    pub(crate) fn total(&self) -> u32 {
        self.effects.values().sum()
    }

    /// The farm dies; the device goes on, and says its line to nobody.
    pub(crate) fn farm_dies(&mut self) {
        self.unheard = self.running.is_some();
        self.silent = false;
    }

    /// The handoff comes through.
    pub(crate) fn start(&mut self, attempt: Attempt, epoch: Epoch) {
        *self.effects.entry(attempt).or_default() += 1;
        self.loader = None;
        self.running = Some(epoch);
        self.silent = true;
        let cause = EpochCause::Handoff(SessionId(7));
        self.recording.push(LogItem::EpochBegan {
            offset: self.offset,
            epoch,
            stamp: Stamp::default(),
            cause,
        });
    }

    /// The program says its line, if it has not yet, and somebody records it.
    pub(crate) fn speak(&mut self) {
        if std::mem::take(&mut self.silent) {
            self.say(SAYS);
        }
    }

    /// The program says something, and somebody records it.
    pub(crate) fn say(&mut self, text: &str) {
        let Some(epoch) = self.running else { return };
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        self.recording.push(LogItem::Chunk { offset: self.offset, epoch, stamp: Stamp::default(), bytes });
        self.offset += text.len() as u64;
    }

    /// The device starts by itself, and the recorder notices.
    pub(crate) fn restart(&mut self) {
        self.epoch += 1;
        let epoch = Epoch(self.epoch);
        self.running = Some(epoch);
        let cause = EpochCause::Itself("watchdog".into());
        self.recording.push(LogItem::EpochBegan {
            offset: self.offset,
            epoch,
            stamp: Stamp::default(),
            cause,
        });
    }

    /// What a reader is given.
    pub(crate) fn read(&self, from: LogFrom) -> Vec<LogItem> {
        let begins = |item: &LogItem| match (item, from) {
            (LogItem::EpochBegan { epoch, .. }, LogFrom::Epoch(wanted)) => *epoch >= wanted,
            (LogItem::Chunk { offset, bytes, .. }, LogFrom::Offset(wanted)) => {
                offset + bytes.len() as u64 > wanted
            }
            (LogItem::EpochBegan { offset, .. } | LogItem::Gap { offset, .. }, LogFrom::Offset(wanted)) => {
                *offset >= wanted
            }
            _ => false,
        };
        let first = self.recording.iter().position(begins).unwrap_or(self.recording.len());
        self.recording[first..].to_vec()
    }

    /// Does an act that leaves the device as it is, or may be repeated; the handoff is [`Self::hand_off`].
    pub(crate) fn act(&mut self, act: &Act, evidence: bool) -> Outcome {
        match act {
            Act::Build => Outcome::Built(Ok(Built {
                artifact: "/artifacts/1".into(),
                hash: ContentHash([1; 32]),
                sizes: Sizes { image_bytes: 900, image_bytes_max: 32_256, ..Sizes::default() },
                before: None,
                unchanged: false,
                compiled: 1,
                cached: 0,
            })),
            Act::Acquire { lift, .. } => {
                self.quarantined &= lift.is_none();
                if self.quarantined && !self.leased {
                    return Outcome::Standing(Err(problem(ProblemClass::Busy, "F203")));
                }
                if !std::mem::replace(&mut self.leased, true) {
                    self.token += 1;
                }
                let token = FencingToken(self.token);
                Outcome::Standing(Ok(Standing::Granted { device: Self::name(), token, virtual_: true }))
            }
            Act::Plan { .. } => Outcome::Planned(Ok(PlanHash([2; 32]))),
            Act::Connect { .. } => {
                if std::mem::take(&mut self.unheard) {
                    self.gaps += 1;
                    let why = "the farm was not there".into();
                    self.recording.push(LogItem::Gap { offset: self.offset, stamp: Stamp::default(), why });
                }
                let epoch = Epoch(self.epoch);
                Outcome::Connected(Ok(Connected {
                    identity: None,
                    epoch,
                    holding: None,
                    virtual_: true,
                    console: true,
                }))
            }
            Act::Transfer { attempt, .. } => {
                (self.running, self.loader) = (None, Some(*attempt));
                Outcome::Transferred(Ok(Transferred { image_bytes: 900, written_bytes: 900, since: None }))
            }
            Act::Reserve { .. } => {
                self.epoch += 1;
                Outcome::Reserved(Ok(Epoch(self.epoch)))
            }
            Act::Evidence { attempt, .. } => Outcome::Evidence(Ok(match self.effects.get(attempt) {
                _ if !evidence => Evidence::Unknown("it cannot be asked".into()),
                Some(_) => Evidence::Complete("it counts".into()),
                None => Evidence::NotStarted("it counts".into()),
            })),
            Act::Confirm { epoch, .. } => Outcome::Confirmed(Ok(match self.running {
                Some(running) if running == *epoch => None,
                running => Some(Since::Itself(format!("{running:?} runs"))),
            })),
            Act::Reach { .. } => Outcome::Reached(self.offset),
            Act::Renew { .. } => Outcome::Renewed(Ok(())),
            Act::Stop { .. } => Outcome::Stopped(Written { done: vec!["misc".into()], begun: None }),
            Act::Release { quarantine, .. } => {
                self.quarantined |= self.leased && quarantine.is_some();
                self.leased = false;
                Outcome::Released
            }
            Act::Handoff { .. } | Act::Observe { .. } | Act::End => unreachable!("done by the test itself"),
        }
    }

    /// Whether the handoff comes through.
    pub(crate) fn would_start(&self, attempt: Attempt) -> bool {
        self.loader == Some(attempt)
    }

    pub(crate) fn not_in_loader() -> Outcome {
        Outcome::HandedOff(Err(DeviceError::Ambiguous("not in its loader".into())))
    }
}

pub(crate) fn problem(class: ProblemClass, code: &str) -> Problem {
    let message = format!("{code} happened");
    Problem { class, code: code.into(), message, detail: vec![], help: vec![], place: None }
}
