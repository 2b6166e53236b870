use farmhand_messages::scheduler::Seen;

use super::*;
use proptest::prelude::*;

const UNO: &str = "arduino:avr:uno";

fn name(text: &str) -> DeviceName {
    DeviceName::new(text).unwrap()
}

fn offer(device: &str) -> Offer {
    Offer {
        device: name(device),
        board: UNO.into(),
        port: None,
        serial: None,
        also: Vec::new(),
        present: true,
        seen: Seen::Now,
        virtual_: false,
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn farm(devices: &[&str]) -> State {
    let mut state = State::recover(Schedule::default(), at(0));
    state.set_offers(devices.iter().map(|device| offer(device)).collect());
    state
}

/// Time passes, second by second, as it does for a farm that runs.
fn run_to(state: &mut State, seconds: u64) -> bool {
    (state.seen.as_secs()..=seconds).filter(|&second| state.tick(at(second)).durable).count() > 0
}

fn ask(state: &mut State, session: u64, now: u64) -> Result<Standing, Problem> {
    state.acquire(SessionId(session), UNO, &DeviceSelect::Board, at(now), 0).answer
}

fn granted(standing: Result<Standing, Problem>) -> Option<(String, u64)> {
    match standing {
        Ok(Standing::Granted { device, token, .. }) => Some((device.to_string(), token.0)),
        _ => None,
    }
}

#[test]
fn first_come_first_served_with_a_growing_token() {
    let mut state = farm(&["uno-1"]);
    assert_eq!(granted(ask(&mut state, 1, 0)), Some(("uno-1".into(), 1)));
    assert_eq!(granted(ask(&mut state, 1, 1)), Some(("uno-1".into(), 1)), "asking again is safe");
    assert_eq!(ask(&mut state, 2, 1), Ok(Standing::Queued { place: 1, behind: Some(SessionId(1)) }));
    assert_eq!(ask(&mut state, 3, 1), Ok(Standing::Queued { place: 2, behind: Some(SessionId(2)) }));
    assert!(state.release(SessionId(1), None).durable);
    assert_eq!(granted(ask(&mut state, 3, 2)), None, "s-2 came first");
    assert_eq!(granted(ask(&mut state, 2, 2)), Some(("uno-1".into(), 2)));
}

#[test]
fn before_the_directory_has_told_nothing_is_refused() {
    let mut state = State::recover(Schedule::default(), at(0));
    assert_eq!(ask(&mut state, 1, 0), Ok(Standing::Queued { place: 1, behind: None }));
    state.set_offers(Vec::new());
    assert!(ask(&mut state, 1, 1).is_err());
}

#[test]
fn a_lease_that_is_not_renewed_runs_out() {
    let mut state = farm(&["uno-1"]);
    ask(&mut state, 1, 0).unwrap();
    run_to(&mut state, 20);
    assert!(state.renew(SessionId(1), FencingToken(1), false, at(20)).answer.is_ok());
    assert!(!run_to(&mut state, 40));
    assert!(run_to(&mut state, 50));
    assert_eq!(granted(ask(&mut state, 2, 51)), Some(("uno-1".into(), 2)));
    assert_eq!(state.renew(SessionId(1), FencingToken(1), false, at(52)).answer, Err(LeaseLost::Unknown));
}

#[test]
fn after_an_intent_a_lease_that_runs_out_is_revoked_and_nobody_gets_the_device() {
    let mut state = farm(&["uno-1"]);
    ask(&mut state, 1, 0).unwrap();
    state.renew(SessionId(1), FencingToken(1), true, at(1)).answer.unwrap();
    assert!(run_to(&mut state, 100));
    assert_eq!(granted(ask(&mut state, 2, 101)), None);
    // Its own session comes back, resolves, and lets go.
    assert_eq!(granted(ask(&mut state, 1, 102)), Some(("uno-1".into(), 1)));
    state.release(SessionId(1), None);
    assert_eq!(granted(ask(&mut state, 2, 103)), Some(("uno-1".into(), 2)));
}

#[test]
fn a_restart_starts_every_lease_anew_and_takes_each_for_an_intent() {
    let mut state = farm(&["uno-1"]);
    ask(&mut state, 1, 0).unwrap();
    let mut state = State::recover(state.schedule().clone(), at(1000));
    state.set_offers(vec![offer("uno-1")]);
    run_to(&mut state, 1020);
    assert_eq!(granted(ask(&mut state, 2, 1020)), None);
    run_to(&mut state, 1040);
    assert!(state.lease_of(&name("uno-1")).is_some_and(|lease| lease.revoked));
    assert_eq!(granted(ask(&mut state, 2, 1041)), None, "it may have an intent");
}

#[test]
fn a_virtual_device_gives_way_to_a_real_one() {
    let mut state = farm(&[]);
    let simulated = Offer { virtual_: true, ..offer("uno-sim") };
    state.set_offers(vec![simulated.clone(), offer("uno-1")]);
    assert_eq!(granted(ask(&mut state, 1, 0)), Some(("uno-1".into(), 1)));
    state.set_offers(vec![simulated]);
    assert_eq!(granted(ask(&mut state, 2, 0)), Some(("uno-sim".into(), 1)));
}

#[test]
fn what_never_can_be_is_said_at_once() {
    let mut state = farm(&["uno-1"]);
    let code = |result: Result<Standing, Problem>| result.map_err(|problem| problem.code).unwrap_err();
    let select = DeviceSelect::Named(name("uno-9"));
    assert_eq!(code(state.acquire(SessionId(1), UNO, &select, at(0), 0).answer), "F201");
    let select = DeviceSelect::Named(name("uno-1"));
    assert_eq!(code(state.acquire(SessionId(1), "other:board:x", &select, at(0), 0).answer), "F204");
    state.set_offers(vec![Offer { present: false, ..offer("uno-1") }]);
    assert_eq!(code(ask(&mut state, 1, 0)), "F202");
    state.set_offers(vec![offer("uno-1")]);
    let quarantine = Quarantine { why: "?".into(), session: None, since_unix_ms: 0 };
    state.quarantine(&name("uno-1"), quarantine);
    assert_eq!(code(ask(&mut state, 1, 0)), "F203");
    assert!(state.unquarantine(&name("uno-1")).answer);
    assert!(granted(ask(&mut state, 1, 0)).is_some());
}

#[test]
fn who_asks_no_more_waits_no_more() {
    let mut state = farm(&["uno-1"]);
    ask(&mut state, 1, 0).unwrap();
    ask(&mut state, 2, 0).unwrap();
    run_to(&mut state, 29);
    ask(&mut state, 3, 29).unwrap();
    state.renew(SessionId(1), FencingToken(1), false, at(29)).answer.unwrap();
    assert!(run_to(&mut state, 31));
    state.release(SessionId(1), None);
    assert!(granted(ask(&mut state, 3, 32)).is_some());
}

#[test]
fn time_in_which_the_farm_did_not_run_counts_for_nobody() {
    let mut state = farm(&["uno-1"]);
    ask(&mut state, 1, 0).unwrap();
    ask(&mut state, 2, 0).unwrap();
    run_to(&mut state, 10);
    // A night.
    assert!(!state.tick(at(30_000)).durable, "nobody could renew, or ask again");
    assert_eq!(granted(ask(&mut state, 3, 30_001)), None);
    assert!(state.renew(SessionId(1), FencingToken(1), false, at(30_002)).answer.is_ok());
    // The first word after it may be a session's, too.
    assert!(state.renew(SessionId(1), FencingToken(1), false, at(60_000)).answer.is_ok());
    assert_eq!(ask(&mut state, 2, 60_000), Ok(Standing::Queued { place: 1, behind: Some(SessionId(1)) }));
    assert!(!run_to(&mut state, 60_020));
    assert!(run_to(&mut state, 60_060), "it does not renew, and the farm runs");
    assert!(state.lease_of(&name("uno-1")).is_none());
}

#[derive(Debug, Clone)]
enum Do {
    Acquire(u64),
    Renew(u64, bool),
    Release(u64),
    Tick,
    Restart,
}

/// Some want one that they name.
fn select(session: u64) -> DeviceSelect {
    match session {
        4 => DeviceSelect::Named(name("uno-1")),
        5 => DeviceSelect::Named(name("uno-2")),
        _ => DeviceSelect::Board,
    }
}

fn doing() -> impl Strategy<Value = Do> {
    let session = 1..8_u64;
    prop_oneof![
        4 => session.clone().prop_map(Do::Acquire),
        2 => (session.clone(), any::<bool>()).prop_map(|(session, intent)| Do::Renew(session, intent)),
        2 => session.prop_map(Do::Release),
        2 => Just(Do::Tick),
        1 => Just(Do::Restart),
    ]
}

proptest! {
    /// Whatever happens: one lease a device and a session, tokens only grow, and a device is never granted past an
    /// intent that is not resolved.
    #[test]
    fn leases_are_exclusive(steps in prop::collection::vec((doing(), 0..20_u64), 1..80)) {
        let mut state = farm(&["uno-1", "uno-2"]);
        let mut now = 0;
        let mut tokens: BTreeMap<DeviceName, FencingToken> = BTreeMap::new();
        let mut intents: BTreeMap<SessionId, DeviceName> = BTreeMap::new();
        for (step, later) in steps {
            now += later;
            match step {
                Do::Acquire(session) => {
                    let id = SessionId(session);
                    let had = state.schedule().leases.iter().any(|lease| lease.session == id);
                    let standing = state.acquire(id, UNO, &select(session), at(now), 0).answer;
                    if let Ok(Standing::Granted { device, token, .. }) = standing && !had {
                        prop_assert!(tokens.get(&device).is_none_or(|&old| old < token));
                        prop_assert!(!intents.values().any(|other| *other == device));
                        tokens.insert(device, token);
                    }
                }
                Do::Renew(session, intent) => {
                    let id = SessionId(session);
                    let lease = state.schedule().leases.iter().find(|lease| lease.session == id).cloned();
                    if let Some(lease) = lease {
                        state.renew(id, lease.token, intent, at(now)).answer.unwrap();
                        intents.remove(&id);
                        if intent {
                            intents.insert(id, lease.device);
                        }
                    }
                }
                Do::Release(session) => {
                    state.release(SessionId(session), None);
                    intents.remove(&SessionId(session));
                }
                // A farm that runs; what comes later than a few seconds otherwise is one that did not.
                Do::Tick => { run_to(&mut state, now); }
                Do::Restart => {
                    state = State::recover(state.schedule().clone(), at(now));
                    state.set_offers(vec![offer("uno-1"), offer("uno-2")]);
                }
            }
            let leases = &state.schedule().leases;
            for (place, lease) in leases.iter().enumerate() {
                let mut others = leases[place + 1..].iter();
                let twice = others.any(|other| other.device == lease.device || other.session == lease.session);
                prop_assert!(!twice);
                let waits = state.schedule().queue.iter().any(|waiting| waiting.session == lease.session);
                prop_assert!(!waits);
            }
            // Told to all at once, it is the same as told to each.
            for (id, standing) in state.standings() {
                let asked = state.clone().acquire(id, UNO, &select(id.0), at(now), 0).answer;
                let told = match asked {
                    Ok(Standing::Queued { place, behind }) => Some((place, behind)),
                    _ => None,
                };
                prop_assert_eq!(standing, told);
            }
        }
    }
}

/// Guards: `held`, `aside`, and the names in `unquarantine`.
#[test]
fn a_device_under_two_names_is_had_set_aside_and_given_back_under_both() {
    let mut state = State::recover(Schedule::default(), at(0));
    let named = |one: &str, other: &str| Offer { also: vec![name(other)], ..offer(one) };
    state.set_offers(vec![named("tcp-1", "udp-1"), named("udp-1", "tcp-1")]);
    let ask = |state: &mut State, session, device: &str, now| {
        let select = DeviceSelect::Named(name(device));
        state.acquire(SessionId(session), UNO, &select, at(now), 0).answer
    };
    assert_eq!(granted(ask(&mut state, 1, "tcp-1", 0)), Some(("tcp-1".into(), 1)));
    let waits = Ok(Standing::Queued { place: 1, behind: Some(SessionId(1)) });
    assert_eq!(ask(&mut state, 2, "udp-1", 1), waits);
    assert_eq!(state.standings(), [(SessionId(2), Some((1, Some(SessionId(1)))))], "it need not ask");
    let why = Quarantine { why: "no evidence".into(), since_unix_ms: 0, session: Some(SessionId(1)) };
    state.release(SessionId(1), Some(why));
    assert_eq!(ask(&mut state, 2, "udp-1", 2).unwrap_err().code, "F203");
    assert_eq!(state.unquarantine(&name("udp-1")), Step { answer: true, durable: true });
    assert_eq!(granted(ask(&mut state, 2, "udp-1", 3)), Some(("udp-1".into(), 1)));
    // Each for something of its own: to settle one settles not the other.
    let why = |session| Quarantine {
        why: "no evidence".into(),
        since_unix_ms: 0,
        session: Some(SessionId(session)),
    };
    state.release(SessionId(2), Some(why(2)));
    state.quarantine(&name("tcp-1"), why(1));
    assert_eq!(state.unquarantine(&name("udp-1")), Step { answer: true, durable: true });
    assert_eq!(ask(&mut state, 4, "udp-1", 4).unwrap_err().code, "F203");
}

/// Guard: `had_as`. Both were granted before anybody knew that they are one.
#[test]
fn what_was_granted_before_they_were_known_to_be_one_is_told() {
    let mut state = farm(&["tcp-1", "udp-1"]);
    let (tcp, udp) = (name("tcp-1"), name("udp-1"));
    assert_eq!(state.had_as(&udp, std::slice::from_ref(&tcp)), Ok(()));
    assert_eq!(granted(ask(&mut state, 1, 0)), Some(("tcp-1".into(), 1)));
    let refused = state.had_as(&udp, std::slice::from_ref(&tcp)).unwrap_err();
    assert_eq!((refused.class, refused.code.as_str()), (ProblemClass::Busy, "F212"));
    assert!(refused.message.contains("s-1"), "{refused:?}");
    assert_eq!(state.had_as(&tcp, std::slice::from_ref(&udp)), Ok(()), "its own lease is not another's");
    let why = Quarantine { why: "no evidence".into(), since_unix_ms: 0, session: Some(SessionId(1)) };
    state.release(SessionId(1), Some(why));
    let refused = state.had_as(&udp, &[tcp]).unwrap_err();
    assert_eq!((refused.code.as_str(), refused.detail.as_slice()), ("F203", &["no evidence".to_owned()][..]));
}
