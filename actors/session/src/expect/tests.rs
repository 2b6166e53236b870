use farmhand_records::v1::{Build, DeviceSelect, Goal, OnGap, Place, Source, Toolchain};
use proptest::prelude::*;

use super::*;

fn job(expect: &[&str], fail_on: &[&str]) -> Job {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    Job {
        title: "t".into(),
        project: "/p".into(),
        goal: Goal::Run,
        board: "arduino:avr:uno".into(),
        build: Build {
            source: Source::Sketch("/p".into()),
            toolchain: Toolchain::Managed,
            flags: vec![],
            cxx_flags: vec![],
            link_flags: vec![],
            jobs: 0,
        },
        device: DeviceSelect::Board,
        once: false,
        expect: texts(expect),
        expect_places: vec![Place { file: "farmhand.toml".into(), line: 5, column: 11 }],
        fail_on: texts(fail_on),
        timeout_ms: 20_000,
        on_gap: OnGap::Reset,
        baud: 115_200,
        infra_retries: 0,
    }
}

fn made(expect: &[&str], fail_on: &[&str]) -> Expect {
    Expect::new(&job(expect, fail_on), &Observed::default()).unwrap()
}

/// Everything at once, and then silence.
fn judge(expect: &[&str], fail_on: &[&str], output: &str) -> Judged {
    let mut made = made(expect, fail_on);
    match made.push(100, output.as_bytes(), 0) {
        Judged::GoOn | Judged::Advanced => made.quiet(),
        judged => judged,
    }
}

#[test]
fn in_order() {
    assert_eq!(judge(&["one", "two"], &[], "zero one two"), Judged::All);
    assert_eq!(judge(&["one", "two"], &[], "two one"), Judged::GoOn);
    assert_eq!(judge(&["a", "a"], &[], "a"), Judged::GoOn);
    assert_eq!(judge(&["a", "a"], &[], "aa"), Judged::All);
}

#[test]
fn what_comes_first_in_the_stream_counts() {
    assert_eq!(judge(&["PASS"], &["panic"], "PASS\npanic"), Judged::All);
    let failed = judge(&["PASS"], &["panic"], "ok\r\nkernel panic: x\r\nPASS");
    assert_eq!(failed, Judged::Failed { pattern: "panic".into(), line: "kernel panic: x".into() });
}

/// One line says that it is done, and that it failed.
#[test]
fn what_is_forbidden_counts_to_the_end_of_the_line_that_completes_it() {
    let output = "test 1\r\ntest done, errors: PANIC\r\nidle\r\n";
    for cut in 0..output.len() {
        let mut made = made(&["test 1", "test done"], &["PANIC"]);
        let first = made.push(0, &output.as_bytes()[..cut], 0);
        let judged = match first {
            Judged::GoOn | Judged::Advanced => made.push(cut as u64, &output.as_bytes()[cut..], 0),
            judged => judged,
        };
        let line = "test done, errors: PANIC";
        let Judged::Failed { pattern, line: seen } = judged else { panic!("cut at {cut}: {judged:?}") };
        assert_eq!(pattern, "PANIC");
        assert!(line.starts_with(&seen), "cut at {cut}: {seen}");
    }
    assert!(matches!(judge(&["tick 2"], &["tick 2"], "tick 1\ntick 2\n"), Judged::Failed { .. }));
    assert!(matches!(judge(&["a", "b"], &["a"], "a\nb\n"), Judged::Failed { .. }));
    assert_eq!(judge(&["done\n"], &["PANIC"], "done\nPANIC"), Judged::All);
    assert_eq!(judge(&["login:"], &["PANIC"], "login:"), Judged::All);
}

#[test]
fn a_line_without_an_end_does_not_wait_for_ever() {
    let mut made = made(&["done"], &["PANIC"]);
    assert_eq!(made.push(0, b"done", 0), Judged::GoOn);
    assert_eq!(made.matched(), 0, "a restart judges the line again");
    assert_eq!(made.push(4, &[b'.'; LINE_BYTES_MAX - 1], 0), Judged::GoOn);
    assert_eq!(made.push(3 + LINE_BYTES_MAX as u64, b".", 0), Judged::All);
}

#[test]
fn a_failure_that_began_before_a_match_is_seen() {
    let failed = judge(&["boot", "ok"], &["boot failed"], "boot failed, ok");
    assert!(matches!(failed, Judged::Failed { .. }), "{failed:?}");
}

#[test]
fn a_prompt_without_a_newline_matches() {
    let mut expect = made(&["login:"], &[]);
    assert_eq!(expect.push(0, b"\r\nlog", 0), Judged::GoOn);
    assert_eq!(expect.push(5, b"in:", 0), Judged::All);
}

#[test]
fn an_end_of_line_waits_for_what_could_undo_it() {
    let mut expect = made(&["^blink 3$"], &[]);
    assert_eq!(expect.push(0, b"blink 3", 0), Judged::GoOn);
    assert_eq!(expect.push(7, b"0\r\n", 0), Judged::GoOn);
    assert_eq!(expect.push(10, b"blink 3", 0), Judged::GoOn);
    assert_eq!(expect.push(17, b"\r\n", 0), Judged::All);
    let mut prompt = made(&["^> $"], &[]);
    assert_eq!(prompt.push(0, b"> ", 0), Judged::GoOn);
    assert_eq!(prompt.quiet(), Judged::All);
}

#[test]
fn bytes_that_are_not_text_match_too() {
    let mut expect = made(&[r"(?-u)\xff\x00ok"], &[]);
    assert_eq!(expect.push(0, b"\xfe\xff\x00ok", 0), Judged::All);
}

#[test]
fn the_window_is_bounded_and_a_match_may_span_it() {
    let mut expect = made(&["needle"], &[]);
    let noise = vec![b'.'; 10_000];
    let mut offset = 0;
    for _ in 0..100 {
        assert_eq!(expect.push(offset, &noise, 0), Judged::GoOn);
        offset += noise.len() as u64;
        assert!(expect.window.len() <= 2 * WINDOW_BYTES + noise.len());
    }
    assert_eq!(expect.push(offset, b"nee", 0), Judged::GoOn);
    assert_eq!(expect.push(offset + 3, b"dle", 0), Judged::All);
    assert_eq!(expect.offset(), offset + 6);
}

#[test]
fn what_is_known_is_passed_over() {
    let mut expect = made(&["aa"], &[]);
    assert_eq!(expect.push(10, b"xa", 0), Judged::GoOn);
    assert_eq!(expect.push(10, b"xa", 0), Judged::GoOn);
    assert_eq!(expect.push(11, b"a", 0), Judged::GoOn);
    assert_eq!(expect.push(11, b"aa", 0), Judged::All);
}

#[test]
fn a_pattern_that_is_none_names_its_place() {
    let problem = Expect::new(&job(&["(unclosed"], &[]), &Observed::default()).unwrap_err();
    assert_eq!(problem.class, farmhand_api::ProblemClass::Configuration);
    assert_eq!(problem.place.map(|place| (place.line, place.column)), Some((5, 11)));
}

#[test]
fn the_closest_line_has_its_time_in_the_epoch() {
    let mut expect = made(&["blink 3"], &[]);
    expect.began(1_000_000);
    expect.push(0, b"blink 1\r\n", 2_000_000);
    expect.push(9, b"blimk 3\r\nfoo\r\n", 19_200_000);
    let (line, since) = expect.closest().unwrap();
    assert_eq!((line.text.as_str(), since), ("blimk 3", 18_200_000));
    assert_eq!(expect.wanted(), Some("blink 3"));
}

fn pieces() -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
    let word = prop_oneof![
        Just("boot"),
        Just("boot failed"),
        Just("ok"),
        Just("\r\n"),
        Just("3"),
        Just("0"),
        Just(" "),
        Just("b")
    ];
    let text = prop::collection::vec(word, 0..12).prop_map(|words| words.concat().into_bytes());
    (text, prop::collection::vec(1..5_usize, 40))
}

/// The end, and how many had matched by then.
fn run(mut expect: Expect, output: &[u8], cuts: &[usize], from: usize) -> (Judged, usize) {
    let mut at = from;
    for cut in cuts.iter().cycle() {
        if at >= output.len() {
            break;
        }
        let end = (at + cut).min(output.len());
        match expect.push(at as u64, &output[at..end], 0) {
            Judged::GoOn | Judged::Advanced => at = end,
            judged => return (judged, expect.matched()),
        }
    }
    match expect.quiet() {
        Judged::Advanced => (Judged::GoOn, expect.matched()),
        judged => (judged, expect.matched()),
    }
}

/// The line of a failure is as far as it had come: that depends on the chunks.
fn verdict((judged, matched): (Judged, usize)) -> (Option<String>, bool, usize) {
    match judged {
        Judged::Failed { pattern, .. } => (Some(pattern), false, matched),
        judged => (None, judged == Judged::All, matched),
    }
}

proptest! {
    /// However the chunks are cut, the verdict is the same.
    #[test]
    fn chunks_do_not_matter((output, cuts) in pieces(), pattern in prop_oneof![Just("boot"), Just("^ok$"), Just(r"3\b")]) {
        let (expects, fails) = ([pattern, "ok"], ["boot failed", "00$"]);
        let whole = run(made(&expects, &fails), &output, &[output.len().max(1)], 0);
        let cut = run(made(&expects, &fails), &output, &cuts, 0);
        prop_assert_eq!(verdict(whole), verdict(cut));
    }

    /// A restart at any byte, which goes on from what was observed, comes to the same verdict.
    #[test]
    fn a_restart_does_not_matter((output, cuts) in pieces(), at in 0..60_usize) {
        let (expects, fails) = (["boot", "^ok", "3"], ["boot failed"]);
        let whole = run(made(&expects, &fails), &output, &cuts, 0);
        let at = at.min(output.len());
        let mut first = made(&expects, &fails);
        let judged = first.push(0, &output[..at], 0);
        prop_assume!(matches!(judged, Judged::GoOn | Judged::Advanced));
        let observed = Observed {
            offset: first.offset(),
            matched: u32::try_from(first.matched()).unwrap(),
            elapsed_ms: 0,
        };
        let again = Expect::new(&job(&expects, &fails), &observed).unwrap();
        let from = usize::try_from(observed.offset.saturating_sub(WINDOW_BYTES as u64)).unwrap();
        prop_assert_eq!(verdict(whole), verdict(run(again, &output, &cuts, from)));
    }
}
