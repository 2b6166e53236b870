//! Following a session to its end, through a farm's death.

use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::time::{Duration, Instant};

use farmhand::protocol::{
    Answer, DeviceState, Event, EventBody, EventSeq, Item, LogFrom, LogItem, LogOf, PhaseName, Problem,
    ProblemClass, Request, SessionId, SessionView, Verdict,
};
use farmhand::transport::{Client, ClientError, Replies, Reply};
use tokio::time::{Sleep, sleep, timeout};

use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::reach::Reach;
use crate::render;
use crate::screen::Screen;
use crate::seen::Seen;
use crate::signals::Signals;
use crate::term::{Term, paint};
use crate::units::took;

/// A farm that goes is asked for again so often, without anything new in between; then the person is told how to
/// come back. Each try starts a farm, if none runs.
const LOST_MAX: u32 = 5;
/// Before the next try.
const LOST_PAUSE: Duration = Duration::from_millis(200);
/// What a board said before the end reaches us within this: the farm hands it on before it answers.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// A console that is not there is asked for again so often: a virtual board that has to be found takes a while.
const LOG_TRIES: u32 = 50;
/// Before the next try.
const LOG_PAUSE: Duration = Duration::from_millis(200);
/// Before the handoff room on the disk is waited for so long; then the person is told, and the session waits alone.
const ROOM: Duration = Duration::from_secs(30);
/// A prompt without an end shows after so much silence.
const PROMPT: Duration = Duration::from_millis(150);

/// What Ctrl-C does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnInterrupt {
    /// Before the handoff it cancels; after it, it leaves.
    Cancel,
    /// It leaves: the session was not ours to begin with.
    Leave,
}

/// Follows a session, and says how it ended; gives the exit code.
pub(crate) async fn follow(
    reach: &mut Reach,
    client: Client,
    term: &Term,
    view: &SessionView,
    on_interrupt: OnInterrupt,
) -> Result<u8, Failed> {
    let signals = Signals::new().map_err(|error| Failed::io("hear signals", &error))?;
    let mut follower = Follower {
        term: term.clone(),
        screen: Screen::of_project(term, &view.project),
        session: view.id,
        on_interrupt,
        signals,
        after: None,
        seen: Seen::default(),
        handed_off: false,
        cancelling: false,
        matched: None,
        elapsed_ms: None,
        progressed: false,
        no_room: None,
    };
    let outcome = follower.through_deaths(reach, client).await;
    follower.screen.end();
    match outcome? {
        Some(view) => {
            let aside = is_aside(reach, &view).await;
            Ok(follower.verdict(&view, aside))
        }
        None => match follower.no_room.take() {
            Some((_, problem)) => Err(Failed(Box::new(problem))),
            None => Ok(follower.detached(reach)),
        },
    }
}

struct Follower {
    term: Term,
    screen: Screen,
    session: SessionId,
    on_interrupt: OnInterrupt,
    signals: Signals,
    /// The last event that was shown.
    after: Option<EventSeq>,
    seen: Seen,
    handed_off: bool,
    cancelling: bool,
    matched: Option<String>,
    elapsed_ms: Option<u64>,
    /// Something new came since the last connection.
    progressed: bool,
    /// It waits for room since then, and why.
    no_room: Option<(Instant, Problem)>,
}

type Asking = Pin<Box<dyn Future<Output = Result<Answer, ClientError>> + Send>>;

impl Follower {
    /// The session's end, or none where the person leaves.
    async fn through_deaths(
        &mut self,
        reach: &mut Reach,
        client: Client,
    ) -> Result<Option<SessionView>, Failed> {
        let mut client = Ok(client);
        let mut lost = 0;
        loop {
            let error = match client {
                Ok(client) => match self.one_connection(client).await {
                    Ok(end) => return Ok(end),
                    Err(error) if error.is_lost() => Failed::from(error),
                    Err(error) => return Err(error.into()),
                },
                Err(failed) => failed,
            };
            lost = if std::mem::take(&mut self.progressed) { 1 } else { lost + 1 };
            if lost > LOST_MAX {
                return Err(self.gave_up(error));
            }
            self.screen.step("farm", "is gone; start it again and go on");
            sleep(LOST_PAUSE).await;
            client = reach.client().await;
        }
    }

    fn gave_up(&self, error: Failed) -> Failed {
        let Failed(mut problem) = error;
        problem.detail.insert(0, format!("{} is not lost: it goes on where it was", self.session));
        problem.help = vec![format!("farmhand attach {}", self.session), "farmhand status".into()];
        Failed(problem)
    }

    async fn one_connection(&mut self, client: Client) -> Result<Option<SessionView>, ClientError> {
        let session = self.session;
        let mut events = client.stream(Request::Events { after: self.after, session: Some(session) }).await?;
        let mut log = Some(client.stream(log_of(session)).await?);
        let (mut refused, again) = (0, None);
        tokio::pin!(again);
        let mut asking: Option<Asking> = None;
        loop {
            tokio::select! {
                event = events.next() => match event?.ok_or(ClientError::Lost)? {
                    Reply::Item(Item::Event(event)) => {
                        self.event(&event);
                        if event.body == EventBody::Phase(PhaseName::Queued) && asking.is_none() {
                            asking = Some(ask(&client, Request::Session(session)));
                        }
                    }
                    Reply::Item(Item::Log(_) | Item::Guest { .. }) => {}
                    // An older end, that a person has settled since: what follows it is yet to come.
                    Reply::Done(Answer::Session(view)) if view.phase != PhaseName::Finished => {
                        let request = Request::Events { after: self.after, session: Some(session) };
                        events = client.stream(request).await?;
                    }
                    Reply::Done(Answer::Session(view)) => {
                        self.last_words(log).await;
                        return Ok(Some(*view));
                    }
                    // The stream ended and the session did not: ask again.
                    Reply::Done(_) => return Err(ClientError::Lost),
                },
                item = next_of(&mut log) => match item {
                    Ok(Some(Reply::Item(Item::Log(item)))) => self.console(&item),
                    Ok(Some(Reply::Item(_))) => {}
                    Ok(Some(Reply::Done(_)) | None) => log = None,
                    Err(error) if error.is_lost() => return Err(error),
                    // A farm that was just started does not know its devices yet.
                    Err(_) if refused < LOG_TRIES => {
                        refused += 1;
                        log = None;
                        again.set(Some(sleep(LOG_PAUSE)));
                    }
                    Err(error) => {
                        self.screen.step("console", &format!("cannot be shown: {error}"));
                        log = None;
                    }
                },
                () = due(again.as_mut()) => {
                    again.set(None);
                    log = Some(client.stream(log_of(session)).await?);
                }
                answer = answered(&mut asking) => match answer {
                    Ok(Answer::Session(view)) => self.place_in_queue(&view),
                    Ok(_) => {}
                    Err(error) if error.is_lost() => return Err(error),
                    Err(error) => self.screen.step("session", &error.to_string()),
                },
                name = self.signals.next() => {
                    let cancels = self.on_interrupt == OnInterrupt::Cancel && name == "Ctrl-C";
                    if !cancels || self.handed_off || self.cancelling {
                        self.no_room = None;
                        return Ok(None);
                    }
                    self.cancelling = true;
                    self.screen.step("cancel", "before the handoff; once more to leave it alone");
                    asking = Some(ask(&client, Request::Cancel(session)));
                }
                () = sleep(PROMPT) => {
                    self.screen.quiet();
                    if self.no_room.as_ref().is_some_and(|(since, _)| since.elapsed() >= ROOM) {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn event(&mut self, event: &Event) {
        self.after = Some(event.seq);
        self.progressed = true;
        self.no_room = match &event.body {
            EventBody::WaitsForRoom { path, ends } if !self.handed_off => {
                Some((Instant::now(), self.waits(path, ends.as_deref())))
            }
            _ => None,
        };
        match &event.body {
            EventBody::Phase(
                PhaseName::HandoffIntended | PhaseName::HandoffIssued | PhaseName::Observing,
            ) => {
                self.handed_off = true;
            }
            // A new attempt begins before its handoff.
            EventBody::Phase(phase) if *phase != PhaseName::Finished => self.handed_off = false,
            EventBody::Finished { matched, elapsed_ms, .. } => {
                self.matched.clone_from(matched);
                self.elapsed_ms = Some(*elapsed_ms);
            }
            _ => {}
        }
        self.screen.event(event);
    }

    fn waits(&self, path: &str, ends: Option<&Problem>) -> Problem {
        let session = self.session;
        let detail =
            ends.map(|ends| format!("it could not record how it ended: {} ({})", ends.message, ends.code));
        Problem {
            class: ProblemClass::Infra,
            code: "F813".into(),
            message: format!("the disk is full at {path}; {session} waits for room, and nothing was lost"),
            detail: detail.into_iter().collect(),
            help: vec![format!("make room; it goes on by itself: farmhand attach {session}")],
            place: None,
        }
    }

    /// Shows what was not shown: after a reconnect the recording begins again.
    fn console(&mut self, item: &LogItem) {
        let LogItem::Chunk { offset, epoch, stamp, bytes } = item else {
            return self.screen.console(item);
        };
        let seen = self.seen.take(*epoch, *stamp, *offset, bytes.len());
        if seen < bytes.len() {
            self.progressed = true;
            let (offset, bytes) = (offset + seen as u64, bytes.slice(seen..));
            self.screen.console(&LogItem::Chunk { offset, epoch: *epoch, stamp: *stamp, bytes });
        }
    }

    async fn last_words(&mut self, mut log: Option<Replies>) {
        // A console that was refused, or has ended, says nothing more.
        if log.is_none() {
            return;
        }
        let all = async {
            while let Ok(Some(Reply::Item(Item::Log(item)))) = next_of(&mut log).await {
                self.console(&item);
            }
        };
        let _they_are_in_the_recording = timeout(LAST_WORDS, all).await;
    }

    fn place_in_queue(&mut self, view: &SessionView) {
        if view.phase == PhaseName::Queued && !view.detail.is_empty() {
            self.screen.step("queue", &view.detail);
        }
    }

    /// The verdict: on stdout, with why on stderr before it.
    fn verdict(&self, view: &SessionView, aside: bool) -> u8 {
        let code = exit::of_session(view);
        if self.term.events {
            self.term.answer(&json::session_result(view, self.matched.as_deref(), aside));
            return code;
        }
        if let Some(problem) = &view.problem {
            let mut problem = problem.clone();
            if self.screen.diagnosed && problem.class == ProblemClass::Build {
                problem.detail.clear();
            }
            problem.detail =
                problem.detail.iter().map(|line| self.screen.clickable(line).into_owned()).collect();
            let text = render::problem(&problem, self.term.colour_err);
            let _nobody_reads = std::io::stderr().lock().write_all(text.as_bytes());
        }
        if let (true, Some(device)) = (aside, &view.device) {
            self.term.say(&format!("  device   {device} is set aside until somebody has looked at it"));
            self.term.say(&format!("  next: farmhand quarantine {device} --lift"));
        }
        if self.term.json {
            self.term.answer(&json::session_result(view, self.matched.as_deref(), aside));
            return code;
        }
        let (matched, colour) = (self.matched.as_deref(), self.term.colour_out);
        self.term.answer(&verdict_line(view, matched, self.elapsed_ms, aside, colour));
        code
    }

    fn detached(&self, reach: &Reach) -> u8 {
        let session = self.session;
        let goes_on = if reach.is_local() { "goes on with the next command" } else { "goes on" };
        let text = match self.handed_off {
            true => format!("{session} was handed off and {goes_on}"),
            false => format!("{session} {goes_on}"),
        };
        self.term.say(&format!("  detached: {text}"));
        self.term.say(&format!("  next: farmhand attach {session}\n        farmhand cancel {session}"));
        if self.term.json {
            self.term.answer(&json::detached(session, self.handed_off));
        }
        exit::CANCELLED
    }
}

/// Whether a session left its device set aside.
pub(crate) async fn is_aside(reach: &mut Reach, view: &SessionView) -> bool {
    if view.device.is_none() || view.verdict == Some(Verdict::Passed) {
        return false;
    }
    // A farm that is gone by now says it when it is asked next.
    let Ok(Answer::Devices(devices)) = reach.ask(Request::Devices).await else { return false };
    devices.iter().any(|device| {
        device.name == view.device
            && device.state == DeviceState::Quarantined
            && device.holder == Some(view.id)
    })
}

/// `passed  s-1  uno-sim  matched "blink 3"  9.1 s`
pub(crate) fn verdict_line(
    view: &SessionView,
    matched: Option<&str>,
    elapsed_ms: Option<u64>,
    aside: bool,
    colour: bool,
) -> String {
    let sgr = match view.verdict {
        Some(Verdict::Passed) => "1;32",
        Some(Verdict::Unknown) => "1;33",
        Some(_) => "1;31",
        None => "1",
    };
    let word = verdict_word(view).unwrap_or("unfinished");
    let mut parts = vec![paint(colour, sgr, word), view.id.to_string()];
    let aside = if aside { " quarantined" } else { "" };
    parts.extend(view.device.as_ref().map(|device| format!("{device}{aside}")));
    if view.verdict == Some(Verdict::Passed) {
        parts.extend(matched.map(|matched| format!("matched {matched:?}")));
        let recorded = view.finished_unix_ms.map(|end| end.saturating_sub(view.created_unix_ms));
        parts.extend(elapsed_ms.or(recorded).map(took));
    }
    parts.join("  ")
}

/// How a session ended, in a word. What is recorded as ours may be nobody's fault but the settings', or want of a
/// device: then its class says more.
pub(crate) fn verdict_word(view: &SessionView) -> Option<&'static str> {
    let word = json::verdict_word(view.verdict?);
    let class = view.problem.as_ref().map(|problem| problem.class);
    Some(match (view.verdict?, class) {
        (Verdict::Infra, Some(ProblemClass::Usage)) => "usage",
        (Verdict::Infra, Some(ProblemClass::Configuration)) => "configuration",
        (Verdict::Infra, Some(ProblemClass::NoDevice)) => "no device",
        (Verdict::Infra, Some(ProblemClass::Permission)) => "permission",
        (Verdict::Infra, Some(ProblemClass::Busy)) => "busy",
        (Verdict::Infra, Some(ProblemClass::Build)) => "build",
        (Verdict::Infra, Some(ProblemClass::Package)) => "package",
        _ => word,
    })
}

fn ask(client: &Client, request: Request) -> Asking {
    let client = client.clone();
    Box::pin(async move { client.ask(request).await })
}

async fn answered(asking: &mut Option<Asking>) -> Result<Answer, ClientError> {
    match asking {
        Some(future) => {
            let answer = future.await;
            *asking = None;
            answer
        }
        None => std::future::pending().await,
    }
}

fn log_of(session: SessionId) -> Request {
    Request::Log { of: LogOf::Session(session), from: LogFrom::Start, follow: true }
}

/// When it is time; never where nothing is set.
async fn due(timer: Pin<&mut Option<Sleep>>) {
    match timer.as_pin_mut() {
        Some(timer) => timer.await,
        None => std::future::pending().await,
    }
}

async fn next_of(stream: &mut Option<Replies>) -> Result<Option<Reply>, ClientError> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use farmhand::protocol::{DeviceName, Problem};

    use super::*;

    fn view(verdict: Verdict, class: Option<ProblemClass>) -> SessionView {
        let problem = |class| Problem {
            class,
            code: "F1".into(),
            message: String::new(),
            detail: Vec::new(),
            help: Vec::new(),
            place: None,
        };
        SessionView {
            id: SessionId(7),
            title: "b".into(),
            project: "/p".into(),
            board: "x".into(),
            device: Some(DeviceName::new("uno-1").unwrap()),
            phase: PhaseName::Finished,
            detail: String::new(),
            attempt: 1,
            epoch: None,
            verdict: Some(verdict),
            problem: class.map(problem),
            created_unix_ms: 0,
            finished_unix_ms: Some(1400),
        }
    }

    #[test]
    fn a_verdict_says_whose_doing_it_was_and_how_the_device_was_left() {
        use ProblemClass::{Build, Configuration, Firmware, Infra, NoDevice, Package};
        let line =
            |verdict, class, aside| verdict_line(&view(verdict, class), Some("blink 3"), None, aside, false);
        assert_eq!(line(Verdict::Passed, None, false), "passed  s-7  uno-1  matched \"blink 3\"  1.4 s");
        assert_eq!(line(Verdict::Unknown, None, true), "unknown  s-7  uno-1 quarantined");
        assert_eq!(line(Verdict::Failed, Some(Firmware), false), "failed  s-7  uno-1");
        assert_eq!(line(Verdict::Failed, Some(Build), false), "failed  s-7  uno-1");
        assert_eq!(line(Verdict::Infra, Some(Infra), true), "infra  s-7  uno-1 quarantined");
        assert_eq!(line(Verdict::Infra, Some(NoDevice), false), "no device  s-7  uno-1");
        assert_eq!(line(Verdict::Infra, Some(Configuration), false), "configuration  s-7  uno-1");
        assert_eq!(line(Verdict::Infra, Some(Package), false), "package  s-7  uno-1");
    }
}
