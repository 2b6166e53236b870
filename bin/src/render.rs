//! A problem, for people: what happened, where it was asked for, what to do next.

use std::fmt::Write as _;

use farmhand::protocol::{Place, Problem};

use crate::term::paint;

/// Its text, with a newline at its end.
pub(crate) fn problem(problem: &Problem, colour: bool) -> String {
    let mut text = String::new();
    let head = paint(colour, "1;31", &format!("error[{}]", problem.code));
    let _infallible = writeln!(text, "{head}: {}", problem.message);
    if let Some(Place { file, line, column }) = &problem.place {
        let arrow = paint(colour, "34", "-->");
        let _infallible = writeln!(text, "  {arrow} {file}:{line}:{column}");
    }
    for line in &problem.detail {
        let _infallible = writeln!(text, "  {line}");
    }
    let mut labelled = false;
    for line in &problem.help {
        let label = line.split_once(':').map(|(label, _)| label);
        let own_label =
            label.is_some_and(|label| label.chars().all(|c| c.is_ascii_lowercase()) && !label.is_empty());
        let _infallible = if own_label || line.ends_with('?') {
            writeln!(text, "  {line}")
        } else if std::mem::replace(&mut labelled, true) {
            writeln!(text, "        {line}")
        } else {
            writeln!(text, "  {} {line}", paint(colour, "36", "next:"))
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use farmhand::protocol::ProblemClass;
    use insta::assert_snapshot;

    use super::*;

    fn of(code: &str, message: &str, detail: &[&str], help: &[&str], place: Option<Place>) -> Problem {
        let owned = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
        Problem {
            class: ProblemClass::Firmware,
            code: code.into(),
            message: message.into(),
            detail: owned(detail),
            help: owned(help),
            place,
        }
    }

    #[test]
    fn a_failed_expectation() {
        let place = Place { file: "examples/blink/farmhand.toml".into(), line: 5, column: 11 };
        let text = problem(
            &of(
                "F101",
                "\"blink 3\" not seen within 20 s",
                &["closest, +18.2 s, epoch 3: | blimk 3"],
                &["farmhand logs s-3"],
                Some(place),
            ),
            false,
        );
        assert_snapshot!(text, @r#"
        error[F101]: "blink 3" not seen within 20 s
          --> examples/blink/farmhand.toml:5:11
          closest, +18.2 s, epoch 3: | blimk 3
          next: farmhand logs s-3
        "#);
    }

    #[test]
    fn a_handoff_that_cannot_be_proven() {
        let help = [
            "look: is Linux on its screen?",
            "yes:  farmhand resume s-7 --booted",
            "no:   farmhand resume s-7 --not-booted",
        ];
        let text = problem(
            &of("F301", "cannot prove whether phone-1 booted; not repeated", &[], &help, None),
            false,
        );
        assert_snapshot!(text, @r"
        error[F301]: cannot prove whether phone-1 booted; not repeated
          look: is Linux on its screen?
          yes:  farmhand resume s-7 --booted
          no:   farmhand resume s-7 --not-booted
        ");
    }

    #[test]
    fn several_next_steps_and_a_guess() {
        let help = ["did you mean uno-1?", "farmhand devices", "farmhand init --add PORT"];
        assert_snapshot!(problem(&of("F201", "no device is called uno1", &[], &help, None), false), @r"
        error[F201]: no device is called uno1
          did you mean uno-1?
          next: farmhand devices
                farmhand init --add PORT
        ");
    }
}
