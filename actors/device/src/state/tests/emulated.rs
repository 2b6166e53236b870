//! An emulated machine whose actor is another since it was made.

use super::*;

/// The actor of a machine that was made for this try, and may have been let go.
struct Next(Machine);

impl Next {
    fn after(of: Try) -> Self {
        let record = Device {
            name: name(),
            identity: None,
            epoch: Epoch(4),
            token: FencingToken(1),
            holding: None,
            handoff: None,
            stay: Some(LoaderStay {
                session: of.session,
                attempt: of.attempt,
                plan: of.plan,
                starts: Some(0),
                handoffs: None,
            }),
        };
        Self(Machine::new(&name(), Some(record), Nature::Machine, 9600))
    }

    /// Until there is something to be done with the machine, or nothing any more; with what was answered.
    fn on(&mut self, input: Input) -> (Option<Act>, Vec<Answer>) {
        let (mut input, mut answers) = (input, Vec::new());
        loop {
            let fx = self.0.step(input);
            answers.extend(fx.answers.into_iter().map(|(_, answer)| answer));
            match (fx.persist, fx.act) {
                (Some(_), _) => input = Input::Persisted,
                (None, act) => return (act.map(|(_, act)| act), answers),
            }
        }
    }

    fn ask(&mut self, wish: Wish) -> (Option<Act>, Vec<Answer>) {
        self.on(Input::Ask { id: Some(1), token: Some(FencingToken(1)), wish })
    }

    fn done(&mut self, outcome: Outcome) -> (Option<Act>, Vec<Answer>) {
        self.on(Input::Ended(Box::new(outcome)))
    }

    fn reset(&mut self) -> Option<Act> {
        let wish = Wish::Note { starts: 2, cause: "its guest".into() };
        self.on(Input::Ask { id: None, token: None, wish }).0
    }

    /// A session connects, and the console is open.
    fn connect(&mut self) -> Option<Act> {
        let (act, _) = self.ask(Wish::Connect { baud: 9600 });
        assert!(matches!(act, Some(Act::Open { .. })), "{act:?}");
        let line = Line { epoch: Epoch(4), starts: Some(1), console: ConsoleIs::Open };
        self.done(Outcome::Opened(Ok(line))).0
    }

    fn evidence(&mut self, of: Try, found: Evidence) -> (Option<Act>, Vec<Answer>) {
        let (act, _) = self.ask(Wish::Evidence { of });
        assert!(matches!(act, Some(Act::Settle { .. })), "{act:?}");
        self.done(Outcome::Settled { evidence: found, line: None, stays: false })
    }
}

fn begins(act: Option<&Act>) -> bool {
    matches!(act, Some(Act::Begin { starts: 2, .. }))
}

/// It stands still until then, whoever comes first: the news of it, or the session. Seen red where a start that is told of before
/// the console is open is dropped.
#[test]
fn a_machine_that_reset_itself_goes_on_once_it_is_on_record_that_it_was_let_go() {
    for told_first in [true, false] {
        let of = a_try(1, 1);
        let mut next = Next::after(of);
        if told_first {
            assert_eq!(next.reset(), None);
        }
        assert_eq!(next.connect(), None);
        if !told_first {
            // Held at its first instruction in between, it would look as if it had never run.
            assert_eq!(next.reset(), None);
        }
        let (act, answers) = next.evidence(of, Evidence::Complete("it has run".into()));
        assert!(matches!(&answers[..], [Answer::Evidence(Ok(Evidence::Complete(_)))]), "{answers:?}");
        assert!(begins(act.as_ref()), "{act:?}");
        let record = next.0.record();
        assert_eq!(record.stay, None);
        assert_eq!(
            record.handoff.as_ref().map(|done| (done.session, done.epoch)),
            Some((of.session, Epoch(4)))
        );
        // Known from here on without asking it, also while it is reset.
        next.done(Outcome::Begun);
        let (act, answers) = next.ask(Wish::Evidence { of });
        assert_eq!(act, None);
        assert!(matches!(&answers[..], [Answer::Evidence(Ok(Evidence::Complete(_)))]), "{answers:?}");
    }
}

/// As long as nothing is proven, it is not touched.
#[test]
fn what_is_not_known_to_have_been_let_go_does_not_go_on() {
    let of = a_try(1, 1);
    for found in [Evidence::Unknown("no answer".into()), Evidence::NotStarted("held".into())] {
        let mut next = Next::after(of);
        assert_eq!(next.connect(), None);
        assert_eq!(next.reset(), None);
        assert_eq!(next.evidence(of, found).0, None);
        assert!(next.0.record().stay.is_some());
    }
}

/// Seen red where only a stay of this incarnation's is let go.
#[test]
fn one_that_nobody_will_let_go_any_more_is_ended_with_its_lease() {
    let mut next = Next::after(a_try(1, 1));
    assert_eq!(next.connect(), None);
    assert_eq!(next.ask(Wish::Disconnect).0, Some(Act::LetGo));
    let (act, answers) = next.done(Outcome::LetGo { began: None, starts: None });
    assert_eq!((act, answers), (None, vec![Answer::Disconnected]));
    assert_eq!(next.ask(Wish::Disconnect).0, None, "once");
}

/// What is proven of that machine would be said of another. Seen red where the record keeps the stay.
#[test]
fn a_machine_that_is_restored_is_no_session_s() {
    let of = a_try(1, 1);
    let mut next = Next::after(of);
    let (act, _) = next.on(Input::Ask { id: Some(1), token: None, wish: Wish::Restore });
    assert!(matches!(act, Some(Act::Restore { .. })), "{act:?}");
    assert_eq!(next.0.record().stay, None);
    next.done(Outcome::Restored(Ok((String::new(), 1))));
    let (act, answers) = next.ask(Wish::Evidence { of });
    assert_eq!(act, None);
    assert!(matches!(&answers[..], [Answer::Evidence(Ok(Evidence::Unknown(_)))]), "{answers:?}");
}
