//! Who has which device: pure. Time is an input; what must be durable is said, and answered only then.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use farmhand_api::{DeviceSelect, Problem, ProblemClass};
use farmhand_messages::scheduler::{LeaseLost, Offer, QueuePlace, Standing};
use farmhand_records::v1::{Lease, Quarantine, Schedule, TokenOf, Waiting};
use farmhand_records::{DeviceName, FencingToken, SessionId};

use crate::config::nearest;
use crate::problems::{quarantined, two_names};

/// A lease runs for this long unless it is renewed; a session renews it every third of that.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
/// The shell tells the time every second; longer than this without a word and the farm itself did not run (SIGSTOP, a
/// machine that slept), nor did the sessions that would have renewed.
const PAUSE: Duration = Duration::from_secs(3);

/// What a request comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step<A> {
    /// The answer; to be given once what `durable` asks for is done.
    pub(crate) answer: A,
    /// The schedule changed, and must be on disk first.
    pub(crate) durable: bool,
}

impl<A> Step<A> {
    fn same(answer: A) -> Self {
        Self { answer, durable: false }
    }

    fn changed(answer: A) -> Self {
        Self { answer, durable: true }
    }
}

/// The scheduler's mind.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    schedule: Schedule,
    /// None until the directory has told: then nothing can be said of what there is.
    offers: Option<Vec<Offer>>,
    /// When each lease runs out. Not durable: a lease starts anew in full when a farm starts.
    ends: BTreeMap<SessionId, Duration>,
    /// When each lease began, in milliseconds since 1970; for people.
    since_unix_ms: BTreeMap<SessionId, u64>,
    /// When each waiting session last asked: one that asks no more has ended, and makes room.
    asked: BTreeMap<SessionId, Duration>,
    /// Sessions with an intent that is not resolved.
    intents: Vec<SessionId>,
    granting: bool,
    /// When it was last told the time.
    seen: Duration,
}

impl State {
    /// Begins from what was durable; every lease runs anew in full from `now`. Every lease that outlived the farm may
    /// have an intent behind it, until its session says otherwise.
    pub(crate) fn recover(schedule: Schedule, now: Duration) -> Self {
        let sessions: Vec<_> = schedule.leases.iter().map(|lease| lease.session).collect();
        Self {
            ends: sessions.iter().map(|&session| (session, now + LEASE)).collect(),
            asked: schedule.queue.iter().map(|waiting| (waiting.session, now)).collect(),
            intents: sessions,
            schedule,
            granting: true,
            seen: now,
            ..Self::default()
        }
    }

    /// It is `now`. Time in which the farm did not run counts for nobody: who could not renew keeps what was left.
    fn is_now(&mut self, now: Duration) {
        let passed = now.saturating_sub(std::mem::replace(&mut self.seen, now));
        if passed > PAUSE {
            self.ends.values_mut().chain(self.asked.values_mut()).for_each(|when| *when += passed);
        }
    }

    /// What is to be durable.
    pub(crate) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The devices that there are.
    pub(crate) fn offers(&self) -> &[Offer] {
        self.offers.as_deref().unwrap_or_default()
    }

    /// These are the devices that there are.
    pub(crate) fn set_offers(&mut self, offers: Vec<Offer>) {
        self.offers = Some(offers);
    }

    /// Grants nothing from now on.
    pub(crate) fn stop_granting(&mut self) {
        self.granting = false;
    }

    fn lease_of(&self, device: &DeviceName) -> Option<&Lease> {
        self.schedule.leases.iter().find(|lease| lease.device == *device)
    }

    /// The lease on a device, under whichever of its names.
    pub(crate) fn held(&self, offer: &Offer) -> Option<&Lease> {
        names(offer).find_map(|name| self.lease_of(name))
    }

    /// Why a device is set aside, under whichever of its names.
    pub(crate) fn aside(&self, offer: &Offer) -> Option<&Quarantine> {
        names(offer).find_map(|name| self.quarantine_of(name))
    }

    /// A device turned out to have other names: whether it may be had as this one.
    pub(crate) fn had_as(&self, device: &DeviceName, also: &[DeviceName]) -> Result<(), Problem> {
        if let Some(lease) = also.iter().find_map(|name| self.lease_of(name)) {
            return Err(two_names(device, &lease.device, lease.session));
        }
        let aside = |name| Some((name, self.quarantine_of(name)?));
        match also.iter().find_map(aside) {
            Some((name, why)) => Err(quarantined(name, why.session, vec![why.why.clone()])),
            None => Ok(()),
        }
    }

    /// Since when a session has its lease, in milliseconds since 1970.
    pub(crate) fn since_unix_ms(&self, session: SessionId) -> Option<u64> {
        self.since_unix_ms.get(&session).copied()
    }

    fn quarantine_of(&self, device: &DeviceName) -> Option<&Quarantine> {
        self.token_of(device).and_then(|token| token.quarantine.as_ref())
    }

    fn token_of(&self, device: &DeviceName) -> Option<&TokenOf> {
        self.schedule.tokens.iter().find(|token| token.device == *device)
    }

    fn token_mut(&mut self, device: &DeviceName) -> &mut TokenOf {
        let tokens = &mut self.schedule.tokens;
        let place = tokens.iter().position(|token| token.device == *device).unwrap_or_else(|| {
            tokens.push(TokenOf { device: device.clone(), token: FencingToken(0), quarantine: None });
            tokens.len() - 1
        });
        &mut tokens[place]
    }

    /// A session wants a device.
    pub(crate) fn acquire(
        &mut self,
        session: SessionId,
        board: &str,
        select: &DeviceSelect,
        now: Duration,
        unix_ms: u64,
    ) -> Step<Result<Standing, Problem>> {
        self.is_now(now);
        if let Some(lease) = self.schedule.leases.iter_mut().find(|lease| lease.session == session) {
            let was_revoked = std::mem::take(&mut lease.revoked);
            let (device, token) = (lease.device.clone(), lease.token);
            let virtual_ = self.offers().iter().any(|offer| offer.device == device && offer.virtual_);
            self.ends.insert(session, now + LEASE);
            return Step { answer: Ok(Standing::Granted { device, token, virtual_ }), durable: was_revoked };
        }
        if self.offers.is_none() {
            return Step::same(Ok(Standing::Queued { place: 1, behind: None }));
        }
        let waiting = Waiting { session, board: board.to_owned(), select: select.clone() };
        self.asked.insert(session, now);
        let fits = match self.fitting(&waiting) {
            Ok(fits) => fits,
            Err(problem) => {
                let was_waiting = self.leave_queue(session);
                return Step { answer: Err(problem), durable: was_waiting };
            }
        };
        let place = self.schedule.queue.iter().position(|other| other.session == session);
        let ahead = &self.schedule.queue[..place.unwrap_or(self.schedule.queue.len())];
        let free = fits.iter().find(|offer| self.granting && self.is_free(offer, ahead));
        if let Some((device, virtual_)) = free.map(|offer| (offer.device.clone(), offer.virtual_)) {
            self.leave_queue(session);
            let record = self.token_mut(&device);
            record.token = record.token.next();
            let token = record.token;
            self.schedule.leases.push(Lease { device: device.clone(), session, token, revoked: false });
            self.ends.insert(session, now + LEASE);
            self.since_unix_ms.insert(session, unix_ms);
            return Step::changed(Ok(Standing::Granted { device, token, virtual_ }));
        }
        let rivals = ahead.iter().filter(|other| self.compete(other, &waiting)).count();
        let behind = match ahead.iter().rev().find(|other| self.compete(other, &waiting)) {
            Some(other) => Some(other.session),
            None => fits.iter().find_map(|offer| self.held(offer)).map(|lease| lease.session),
        };
        let queued =
            Standing::Queued { place: u32::try_from(rivals).unwrap_or(u32::MAX).saturating_add(1), behind };
        if place.is_some() {
            return Step::same(Ok(queued));
        }
        self.schedule.queue.push(waiting);
        Step::changed(Ok(queued))
    }

    /// How each that waits stands in the queue, in its order; none for one that is to be asked for: it has a device, or
    /// there is none for it. All of them in one go: alike wishes are looked at once.
    pub(crate) fn standings(&self) -> Vec<(SessionId, Option<QueuePlace>)> {
        struct Alike<'a> {
            wish: &'a Waiting,
            fits: BTreeMap<&'a DeviceName, &'a Offer>,
            is_refused: bool,
            behind: Option<SessionId>,
            ahead: u32,
            last: Option<(usize, SessionId)>,
        }
        let mut groups: Vec<Alike<'_>> = Vec::new();
        let mut claimed = BTreeSet::new();
        let mut standings = Vec::new();
        for (at, wish) in self.schedule.queue.iter().enumerate() {
            let alike =
                |group: &Alike<'_>| group.wish.board == wish.board && group.wish.select == wish.select;
            let own = groups.iter().position(alike).unwrap_or_else(|| {
                let fits = self.fitting(wish);
                let is_refused = fits.is_err();
                let fits = fits.unwrap_or_default();
                let behind = fits.iter().find_map(|offer| self.held(offer)).map(|lease| lease.session);
                let fits = fits.into_iter().map(|offer| (&offer.device, offer)).collect();
                groups.push(Alike { wish, fits, is_refused, behind, ahead: 0, last: None });
                groups.len() - 1
            });
            let is_rival =
                |group: &&Alike<'_>| group.fits.keys().any(|device| groups[own].fits.contains_key(device));
            let rivals = groups.iter().filter(is_rival);
            let (ahead, last) = rivals.fold((0, None), |(ahead, last): (u32, Option<_>), group| {
                (ahead.saturating_add(group.ahead), last.max(group.last))
            });
            let group = &mut groups[own];
            let could = |offer: &Offer| {
                self.granting
                    && !claimed.contains(&offer.device)
                    && self.held(offer).is_none()
                    && self.aside(offer).is_none()
            };
            let to_ask = group.is_refused || group.fits.values().any(|offer| could(offer));
            let behind = last.map_or(group.behind, |(_, session)| Some(session));
            standings.push((wish.session, (!to_ask).then_some((ahead.saturating_add(1), behind))));
            group.ahead = group.ahead.saturating_add(1);
            group.last = Some((at, wish.session));
            if group.ahead == 1 {
                claimed.extend(group.fits.keys().copied());
            }
        }
        standings
    }

    /// The devices that will do, or why none ever will.
    fn fitting(&self, waiting: &Waiting) -> Result<Vec<&Offer>, Problem> {
        let wanted = |offer: &&Offer| match &waiting.select {
            DeviceSelect::Board => offer.board == waiting.board,
            DeviceSelect::Named(name) => offer.device == *name,
            DeviceSelect::Port(port) => offer.port.as_deref() == Some(port),
        };
        let all: Vec<_> = self.offers().iter().filter(wanted).collect();
        if let [offer] = all[..]
            && offer.board != waiting.board
        {
            return Err(no_device(
                "F204",
                format!("{} is a {}, and the job is for {}", offer.device, offer.board, waiting.board),
                vec![format!("name a device of that board, or set `board = \"{}\"`", offer.board)],
            ));
        }
        let real = all.iter().any(|offer| offer.present && !offer.virtual_);
        let fits: Vec<_> =
            all.iter().copied().filter(|offer| offer.present && !(real && offer.virtual_)).collect();
        let named = matches!(waiting.select, DeviceSelect::Named(_));
        let (aside, usable): (Vec<&Offer>, Vec<&Offer>) =
            fits.iter().partition(|offer| self.aside(offer).is_some());
        if !usable.is_empty() {
            return Ok(if named { fits } else { usable });
        }
        if let Some(offer) = aside.first() {
            let quarantine = self.aside(offer);
            let why = quarantine.map(|quarantine| quarantine.why.clone()).into_iter().collect();
            let session = quarantine.and_then(|quarantine| quarantine.session);
            return Err(quarantined(&offer.device, session, why));
        }
        Err(self.nothing_fits(waiting, &all))
    }

    fn nothing_fits(&self, waiting: &Waiting, absent: &[&Offer]) -> Problem {
        if let Some(offer) = absent.first() {
            return no_device(
                "F202",
                format!("{} is not plugged in", offer.device),
                vec!["plug it in, or choose another: `farmhand devices`".into()],
            );
        }
        let wanted = match &waiting.select {
            DeviceSelect::Board => format!("no device of board {}", waiting.board),
            DeviceSelect::Named(name) => format!("no device is called {name}"),
            DeviceSelect::Port(port) => format!("no device on port {port}"),
        };
        let known: Vec<_> =
            self.offers().iter().map(|offer| format!("{} ({})", offer.device, offer.board)).collect();
        let there = if known.is_empty() {
            "none is known".into()
        } else {
            format!("there are: {}", known.join(", "))
        };
        let mut help = vec![there, "`farmhand devices` lists them; `farm.toml` names new ones".into()];
        if let DeviceSelect::Named(name) = &waiting.select
            && let Some(near) =
                nearest(name.as_str(), self.offers().iter().map(|offer| offer.device.as_str()))
        {
            help.insert(0, format!("did you mean {near}?"));
        }
        no_device("F201", wanted, help)
    }

    /// Nobody has it, nobody who came earlier could take it, and it is not set aside.
    fn is_free(&self, offer: &Offer, ahead: &[Waiting]) -> bool {
        self.held(offer).is_none()
            && self.aside(offer).is_none()
            && !ahead.iter().any(|other| self.could_take(other, &offer.device))
    }

    fn could_take(&self, waiting: &Waiting, device: &DeviceName) -> bool {
        self.fitting(waiting).is_ok_and(|fits| fits.iter().any(|offer| offer.device == *device))
    }

    fn compete(&self, one: &Waiting, other: &Waiting) -> bool {
        self.fitting(other).is_ok_and(|fits| fits.iter().any(|offer| self.could_take(one, &offer.device)))
    }

    fn leave_queue(&mut self, session: SessionId) -> bool {
        let before = self.schedule.queue.len();
        self.schedule.queue.retain(|waiting| waiting.session != session);
        self.asked.remove(&session);
        before != self.schedule.queue.len()
    }

    /// A session renews its lease.
    pub(crate) fn renew(
        &mut self,
        session: SessionId,
        token: FencingToken,
        intent: bool,
        now: Duration,
    ) -> Step<Result<(), LeaseLost>> {
        self.is_now(now);
        let Some(lease) = self.schedule.leases.iter_mut().find(|lease| lease.session == session) else {
            return Step::same(Err(LeaseLost::Unknown));
        };
        if lease.token != token {
            return Step::same(Err(LeaseLost::Fenced));
        }
        let was_revoked = std::mem::take(&mut lease.revoked);
        self.ends.insert(session, now + LEASE);
        self.intents.retain(|&other| other != session);
        if intent {
            self.intents.push(session);
        }
        Step { answer: Ok(()), durable: was_revoked }
    }

    /// A session is done with its device, or waits no longer.
    pub(crate) fn release(&mut self, session: SessionId, quarantine: Option<Quarantine>) -> Step<()> {
        let mut changed = self.leave_queue(session);
        if let Some(place) = self.schedule.leases.iter().position(|lease| lease.session == session) {
            let lease = self.schedule.leases.remove(place);
            if quarantine.is_some() {
                self.token_mut(&lease.device).quarantine = quarantine;
            }
            changed = true;
        }
        self.ends.remove(&session);
        self.since_unix_ms.remove(&session);
        self.intents.retain(|&other| other != session);
        Step { answer: (), durable: changed }
    }

    /// A device is set aside. The session that has it keeps its lease until it releases it.
    pub(crate) fn quarantine(&mut self, device: &DeviceName, quarantine: Quarantine) -> Step<()> {
        self.token_mut(device).quarantine = Some(quarantine);
        Step::changed(())
    }

    /// A device is given back, under all its names.
    pub(crate) fn unquarantine(&mut self, device: &DeviceName) -> Step<bool> {
        let offer = self.offers().iter().find(|offer| offer.device == *device);
        let called: Vec<_> =
            offer.map_or_else(|| vec![device.clone()], |offer| names(offer).cloned().collect());
        // Under its other names, what was set aside for the same: another's doubt is not settled with it.
        let why = self.quarantine_of(device).map(|why| why.session);
        let tokens = self.schedule.tokens.iter_mut().filter(|token| called.contains(&token.device));
        let same = |token: &&mut TokenOf| {
            let of = token.quarantine.as_ref().map(|quarantine| quarantine.session);
            why.is_none() || token.device == *device || of == why
        };
        let given_back = tokens.filter(same).filter_map(|token| token.quarantine.take()).count() > 0;
        Step { answer: given_back, durable: given_back }
    }

    /// Time has passed: leases run out, and who asks no more waits no more.
    pub(crate) fn tick(&mut self, now: Duration) -> Step<()> {
        self.is_now(now);
        let ended: Vec<_> =
            self.ends.iter().filter(|&(_, &end)| end <= now).map(|(&session, _)| session).collect();
        let mut changed = false;
        for session in ended {
            if self.intents.contains(&session) {
                for lease in self.schedule.leases.iter_mut().filter(|lease| lease.session == session) {
                    changed |= !std::mem::replace(&mut lease.revoked, true);
                }
            } else {
                changed |= self.release(session, None).durable;
            }
        }
        let silent: Vec<_> = self
            .asked
            .iter()
            .filter(|&(_, &when)| when + LEASE <= now)
            .map(|(&session, _)| session)
            .collect();
        for session in silent {
            changed |= self.leave_queue(session);
        }
        Step { answer: (), durable: changed }
    }
}

/// What a device is called.
fn names(offer: &Offer) -> impl Iterator<Item = &DeviceName> {
    std::iter::once(&offer.device).chain(&offer.also)
}

fn no_device(code: &str, message: String, help: Vec<String>) -> Problem {
    Problem {
        class: ProblemClass::NoDevice,
        code: code.into(),
        message,
        detail: Vec::new(),
        help,
        place: None,
    }
}

#[cfg(test)]
mod tests;
